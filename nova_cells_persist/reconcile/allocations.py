#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""What placement has allocated to a server, through Nova's report client."""

import logging

from keystoneauth1 import exceptions as ks_exc

from nova import exception as nova_exc
from nova.scheduler.client import report

from nova_cells_persist import exception

LOG = logging.getLogger(__name__)

#: What Nova raises where placement is out of reach, or answers no JSON.
_FAILURES = (ks_exc.ClientException, nova_exc.NovaException, ValueError)


def get(context, uuid):
    """Return the allocations of a server.

    :returns: as placement does; {} if there are none, None if it is out of
        reach, which is logged
    """
    try:
        found = report.report_client_singleton().get_allocs_for_consumer(
            context, uuid)
    except _FAILURES as exc:
        LOG.warning('Placement is out of reach, so the allocations of server '
                    '%s stay: %s', uuid, exc)
        return None
    return found if found.get('allocations') else {}


def delete(context, uuid):
    """Delete them, whatever there are.

    :returns: whether they are gone; if not, that is logged
    """
    try:
        # None means that nobody has answered.
        return report.report_client_singleton().delete_allocation_for_instance(
            context, uuid, force=True) is not None
    except _FAILURES as exc:
        LOG.warning('The allocations of server %s stay in placement: %s',
                    uuid, exc)
        return False


def take_back(context, migration_uuid, uuid):
    """Let a server have what its migration has, where it has any.

    As revert_allocation_for_migration() of nova/conductor/tasks/migrate.py.

    :returns: whether the migration has none any more; if not, that is logged
    """
    found = get(context, migration_uuid)
    if not found:
        return found is not None
    try:
        return report.report_client_singleton().move_allocations(
            context, migration_uuid, uuid)
    except _FAILURES as exc:
        LOG.warning('The allocations of server %s stay with its migration '
                    '%s: %s', uuid, migration_uuid, exc)
        return False


def put_back(context, uuid, found):
    """Allocate again what get() has returned, unless something is allocated.

    :returns: whether nothing was
    :raises: AllocationsNotPutBack
    """
    now = get(context, uuid)
    if now:
        return False
    if now is None or not _put(context, uuid, found):
        raise exception.AllocationsNotPutBack(instance_uuid=uuid)
    return True


def restore(context, uuid, held):
    """Let a server and its migration hold what they held before.

    :param held: {uuid of either: as of get()}
    :returns: whether they held anything else
    :raises: AllocationsNotPutBack, also if the server has been given
        something else since
    """
    before = {each: _resources(found) for each, found in held.items()}
    now = {each: get(context, each) for each in held}
    if None in now.values():
        raise exception.AllocationsNotPutBack(instance_uuid=uuid)
    there = {each: _resources(found) for each, found in now.items()}
    if there == before:
        return False
    for each in (uuid, *(set(held) - {uuid})):
        if there[each] == before[each]:
            continue
        # A repair has moved it from one to the other, or removed it.
        if there[each] not in ({}, *before.values()) or not _replace(
                context, each, held[each], now[each]):
            raise exception.AllocationsNotPutBack(instance_uuid=uuid)
    return True


def _resources(found):
    return {provider: each['resources'] for provider, each in
            found.get('allocations', {}).items()}


def _replace(context, uuid, found, now):
    if not found:
        return delete(context, uuid)
    return _put(context, uuid, found, now.get('consumer_generation'))


def _put(context, uuid, found, generation=None):
    allocated = {provider: {'resources': each['resources']}
                 for provider, each in found['allocations'].items()}
    try:
        is_done = report.report_client_singleton().put_allocations(
            context, uuid, dict(found, allocations=allocated,
                                consumer_generation=generation))
    except _FAILURES as exc:
        LOG.warning('The allocations of server %s could not be put back '
                    'into placement: %s', uuid, exc)
        return False
    if not is_done:
        LOG.warning('Placement has refused the allocations of server %s. '
                    'Its log says why; it may be that the host is full by '
                    'now.', uuid)
    return is_done
