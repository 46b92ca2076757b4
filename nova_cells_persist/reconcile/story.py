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

"""The story of one server across all databases, in the order of time."""

import collections
import datetime

from nova_cells_persist.db import database
from nova_cells_persist.db import story as db_story
from nova_cells_persist import exception

#: ``at`` is a datetime or None, ``what`` a sentence.
Event = collections.namedtuple('Event', 'at database what')


def tell(cloud, uuid, since):
    """Return what happened to a server, and what is wrong with it.

    :param cloud: an audit.Cloud
    :param since: as of Cloud.cases()
    :returns: (a list of Event, a list of Finding)
    :raises: NothingOfServer, DatabaseError
    """
    events = []
    with cloud.reading(None) as session:
        events += _events(database.API_DATABASE,
                          db_story.in_api(session, uuid))
    for cell in cloud.cells:
        with cloud.reading(cell) as session:
            events += _events(cloud.name_of(cell),
                              db_story.in_cell(session, uuid))
    if not events:
        raise exception.NothingOfServer(instance_uuid=uuid)
    events.sort(key=lambda event: event.at or datetime.datetime.min)
    return events, cloud.findings(cloud.case(uuid, since))


def _events(name, found):
    return [Event(at, name, what)
            for table, rows in found.items() for row in rows
            for at, what in _TELLERS[table](row)]


def _build(row):
    yield row.created_at, 'accepted, and kept as a build in build_request'


def _mirror(row):
    yield row.created_at, 'kept as a build in build_requests, for Nova'


def _nova_spec(row):
    yield row.created_at, 'request spec saved in request_specs'
    if row.updated_at:
        yield row.updated_at, 'request spec saved there for the last time'


def _revision(row):
    yield row.created_at, 'revision %d of the request spec (%s)%s' % (
        row.revision, row.event, ', pending' if row.pending else '')


def _mapping(row):
    yield row.created_at, 'mapping made, %s' % (
        'of no cell' if row.cell is None or row.updated_at
        else 'to %s' % row.cell)
    if row.updated_at:
        yield row.updated_at, 'mapping is now %s%s' % (
            'of no cell' if row.cell is None else 'to %s' % row.cell,
            ', and queued for delete' if row.queued_for_delete else '')


def _instance(row):
    yield row.created_at, 'instance made'
    if row.launched_at:
        yield row.launched_at, 'launched'
    if row.deleted_at:
        yield row.deleted_at, 'deleted'
    elif row.updated_at:
        yield row.updated_at, 'instance is now %s, task %s, on host %s%s' % (
            row.vm_state, row.task_state or 'none', row.host or 'none',
            ', hidden' if row.hidden else '')


def _action(row):
    yield row.created_at, 'action %s%s' % (
        row.action, ': %s' % row.message if row.message else '')


def _action_event(row):
    yield row.updated_at or row.created_at, '%s%s%s' % (
        row.event, ' on %s' % row.host if row.host else '',
        ': %s' % row.result if row.result else ', not finished')


def _migration(row):
    yield row.created_at, '%s from %s to %s begun' % (
        row.migration_type, row.source_compute, row.dest_compute)
    if row.updated_at:
        yield row.updated_at, 'that %s is %s' % (
            row.migration_type, row.status)


def _fault(row):
    yield row.created_at, 'fault: %s' % row.message


_TELLERS = {
    'build_request': _build,
    'build_requests': _mirror,
    'request_specs': _nova_spec,
    'request_spec': _revision,
    'instance_mappings': _mapping,
    'instances': _instance,
    'instance_actions': _action,
    'instance_actions_events': _action_event,
    'migrations': _migration,
    'instance_faults': _fault,
}
