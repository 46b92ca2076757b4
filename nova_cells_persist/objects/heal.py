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

"""Rebuild Nova's row of a request spec that is missing or damaged.

From the newest revision in the server's cell that can be read; where there is
none, from the server itself.
"""

import collections
import functools

from oslo_config import cfg
from oslo_db import exception as db_exc
from oslo_log import log as logging
from oslo_versionedobjects import exception as ovo_exc

from nova.compute import utils as compute_utils
from nova import context as nova_context
from nova import exception as nova_exc
from nova import objects
from nova.objects import request_spec as stock
from nova.virt import hardware

from nova_cells_persist.db import database
from nova_cells_persist.db import reason
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist import exception
from nova_cells_persist.objects import cells
from nova_cells_persist.objects import contract
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import landing
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import revision

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

#: What a row is rebuilt from: its JSON, and the revision that has it, None if
#: it was made from the server itself.
_Source = collections.namedtuple('_Source', 'text revision')


def rebuild(context, instance_uuid, damaged=None):
    """Write Nova's row anew.

    :param damaged: the JSON in it that cannot be read; None if it is missing
    :returns: Nova's row, as it is then: another process may have been faster;
        None if there is nothing that it could be rebuilt from, or nothing
        that answers within [cells_persist]cell_timeout
    """
    cell = cells.of_server(context, instance_uuid)
    # The caller's context may be targeted at a cell that is down.
    own = cells.targeted(context, None)
    source = (_ask(own, cell, instance_uuid) if cell else
              _source(own, instance_uuid))
    if source is None:
        return None
    if _write(own, instance_uuid, source.text, damaged):
        _note(own, instance_uuid, source)
        LOG.warning('Request spec of %(uuid)s: its row in request_specs of '
                    'the API database was %(what)s and has been rebuilt from '
                    '%(source)s.',
                    {'uuid': instance_uuid,
                     'what': 'missing' if damaged is None else 'damaged',
                     'source': _in_words(source)})
    return stock.RequestSpec._get_by_instance_uuid_from_db(
        own, instance_uuid)


def _ask(context, cell, instance_uuid):
    timeout = CONF.cells_persist.cell_timeout
    answer = nova_context.scatter_gather_cells(
        context.elevated(), [cell], timeout, _source,
        instance_uuid)[cell.uuid]
    if not nova_context.is_cell_failure_sentinel(answer):
        return answer
    LOG.warning('Request spec of %(uuid)s: cell %(cell)s did not give its '
                'copy: %(reason)s',
                {'uuid': instance_uuid, 'cell': cell.identity,
                 'reason': _why(answer, timeout)})
    return None


def _why(failure, timeout):
    if isinstance(failure, database.FAILURES):
        return reason.of(failure)
    if isinstance(failure, Exception):
        return exception.in_short(failure)
    return 'it did not answer within %d s' % timeout


def _source(context, instance_uuid):
    try:
        row = newest_readable(_revisions(context, instance_uuid),
                              functools.partial(_warn, context))
    except ovo_exc.IncompatibleObjectVersion:
        return None
    if row is not None:
        return _Source(row.spec, row)
    return (_of_build(context, instance_uuid) if database.is_api(context)
            else _of_instance(context, instance_uuid))


def _revisions(context, instance_uuid):
    rows = revision.history(context, instance_uuid)
    if rows or database.is_api(context):
        return rows
    # They may be on their way to it still.
    landing.land_late(context, instance_uuid)
    return revision.history(context, instance_uuid)


def newest_readable(rows, pass_over=lambda row, exc: None):
    """Return the newest revision that a request spec can be rebuilt from.

    :param rows: the revisions of a server, oldest first
    :param pass_over: is called with each one that cannot be read, and why
    :returns: one of the rows, or None
    :raises: IncompatibleObjectVersion if a newer Nova has written it, and will
        rebuild the request spec
    """
    for row in reversed(rows):
        try:
            damage.spec(row.spec)
            return row
        except damage.UNREADABLE as exc:
            pass_over(row, exc)
            if isinstance(exc, ovo_exc.IncompatibleObjectVersion):
                raise
    return None


def _warn(context, row, exc):
    LOG.warning('Request spec of %(uuid)s: revision %(revision)d in the '
                '%(database)s cannot be read: %(reason)s',
                {'uuid': row.instance_uuid, 'revision': row.revision,
                 'database': database.name(context),
                 'reason': exception.in_short(exc)})


def _of_build(context, instance_uuid):
    try:
        build = objects.BuildRequest.get_by_instance_uuid(
            context, instance_uuid)
    except nova_exc.BuildRequestNotFound:
        return None
    return _reconstructed(context, build.instance,
                          build.block_device_mappings)


def _of_instance(context, instance_uuid):
    try:
        instance = objects.Instance.get_by_uuid(
            context, instance_uuid,
            expected_attrs=['flavor', 'pci_requests', 'system_metadata',
                            'security_groups'])
    except nova_exc.InstanceNotFound:
        return None
    if not instance.host and not instance.launched_at:
        return None   # never built: Nova has deleted its request spec
    return _reconstructed(context, instance)


def _reconstructed(context, instance, devices=None):
    """Make the request spec from the server; see RequestSpec.from_components.

    What only the request said is lost: scheduler hints but for the server
    group, and whether the availability zone was asked for. It is taken for
    asked for, so that no move takes the server out of the zone it is in.

    :param devices: its BlockDeviceMappingList; None if its cell has that
    """
    group = _group(context, instance.uuid)
    spec = objects.RequestSpec.from_components(
        context, instance.uuid, instance.image_meta, instance.flavor,
        hardware.numa_get_constraints(instance.flavor, instance.image_meta),
        _pci_requests(instance),
        {'scheduler_hints': {'group': group.uuid} if group else {}},
        group, contract.zone(context, instance),
        security_groups=instance.security_groups,
        project_id=instance.project_id, user_id=instance.user_id)
    spec.is_bfv = compute_utils.is_volume_backed_instance(
        context, instance, devices)
    return _Source(primitive.compact(spec._get_update_primitives()['spec']),
                   None)


def _group(context, instance_uuid):
    try:
        return objects.InstanceGroup.get_by_instance_uuid(
            context, instance_uuid)
    except nova_exc.InstanceGroupNotFound:
        return None


def _pci_requests(instance):
    return objects.InstancePCIRequests(
        instance_uuid=instance.uuid,
        requests=[contract.without_placement(request)
                  for request in instance.pci_requests.requests]
        if instance.pci_requests else [])


def _write(context, instance_uuid, text, damaged):
    """Write Nova's row, unless it is another one by now; return whether.

    Another reader may have rebuilt it, and somebody have saved since.
    """
    try:
        with database.api_writer(context) as session:
            if damaged is None:
                db_spec.insert_nova_spec(session, instance_uuid, text)
                return True
            there = db_spec.nova_spec(session, instance_uuid, lock=True)
            return there == damaged and bool(
                db_spec.update_nova_spec(session, instance_uuid, text))
    except db_exc.DBDuplicateEntry:
        return False


def _note(context, instance_uuid, source):
    """Let the revisions say what Nova's row says now."""
    home = landing.home(context, instance_uuid)
    if home is None:
        return
    if source.revision is None:
        revision.follow(home.context, instance_uuid, home.number,
                        source.text, 'reconstructed')
    elif source.revision.revision != home.number:
        revision.follow(home.context, instance_uuid, home.number,
                        source.text, 'heal')
    elif home.pending:
        revision.clear_pending(home.context, instance_uuid, source.revision)


def _in_words(source):
    if source.revision is not None:
        return 'revision %d of its cell' % source.revision.revision
    return ('the server itself. Its scheduler hints are lost, but for a '
            'server group; the availability zone that it is in counts as '
            'asked for')
