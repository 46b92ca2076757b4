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

"""Take back what a request spec says of a move that did not come to be.

Nova's super-conductor saves the request spec of a move once it has cast the
move to a compute, and nobody resets it if that fails. The save may even come
after the failure. So both look: who ends a task of a server, and who has
saved. The later of the two sees what the other one has done.
"""

import collections
import datetime
import functools

from oslo_log import log as logging
from oslo_utils import timeutils

from nova.compute import task_states
from nova.compute import vm_states
from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.db import reason
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist import exception
from nova_cells_persist.objects import contract
from nova_cells_persist.objects import landing
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import record

LOG = logging.getLogger(__name__)

#: While a server is in one of these, its request spec may be the one of the
#: server that it is about to become.
RESIZING = frozenset([
    task_states.RESIZE_PREP, task_states.RESIZE_MIGRATING,
    task_states.RESIZE_MIGRATED, task_states.RESIZE_FINISH,
    task_states.RESIZE_REVERTING])
REBUILDING = frozenset([
    task_states.REBUILDING, task_states.REBUILD_BLOCK_DEVICE_MAPPING,
    task_states.REBUILD_SPAWNING])
MOVING = RESIZING | REBUILDING

#: In these a server that was offloaded is on its way back.
UNSHELVING = frozenset([task_states.UNSHELVING, task_states.SPAWNING])

#: How long nova-api may take from what it saves of an unshelve until it says
#: in the server's row that it is being unshelved.
SAVED = datetime.timedelta(seconds=10) + contract.CLOCKS

#: What is persisted of a server: a context of the database in which its
#: revisions are; these, oldest first; the JSON that is the record, or None.
Seen = collections.namedtuple('Seen', 'home history text')


def _never_failing(function):
    """Decorate what must not fail an operation of Nova.

    What cannot be done is logged, and the next move tries again before it
    schedules.
    """
    @functools.wraps(function)
    def wrapper(context, instance_uuid, *args):
        try:
            function(context, instance_uuid, *args)
        except Exception as exc:
            expected = isinstance(exc, database.FAILURES + (
                nova_exc.NovaException, ValueError,
                exception.CellsPersistException))
            why = (reason.of(exc) if isinstance(exc, database.FAILURES)
                   else exc)
            LOG.warning('Request spec of %(uuid)s: whether it describes the '
                        'server as it is could not be told, and is left to '
                        'be healed: %(reason)s',
                        {'uuid': instance_uuid, 'reason': why},
                        exc_info=not expected)
    return wrapper


@_never_failing
def restore(context, instance_uuid, failed=lambda history, instance: None):
    """Make the persisted request spec describe the server as it is.

    Does nothing while the server is moving, or if there is nothing to do.

    :param failed: a function of the revisions and the Instance; it returns
        the number of the revision to take back, or None
    """
    seen = look(context, instance_uuid)
    instance = seen and _instance(seen.home, instance_uuid)
    if instance and not _moving(seen.home, instance):
        settle(seen, instance, failed(seen.history, instance))


def of_unshelve(history, instance):
    """Return the number of the revision of an unshelve that has failed."""
    if _is_unshelved(instance):
        return None
    row = contract.failed_unshelve(history, instance)
    return row and row.revision


def of_abandoned_unshelve(history, instance):
    """As of_unshelve(), of a server that is at rest.

    Who was to take it back has died, or could not. What was saved just now
    may be of one that begins.
    """
    if instance.vm_state != vm_states.SHELVED_OFFLOADED:
        return None
    row = contract.failed_unshelve(history, instance)
    return (row.revision if row and row.created_at < timeutils.utcnow() - SAVED
            else None)


def of_rebuild(image_id):
    """Return a function that returns the number of that of a rebuild.

    :param image_id: the image that the server was to get, on no host yet
    """
    def number(history, instance):
        row = contract.failed_rebuild(history, image_id)
        return row and row.revision

    return number


@_never_failing
def restore_refused(context, instance_uuid, move):
    """Take back what an operation has saved that is refused.

    :param move: the Operation
    """
    if move.revision:
        restore(context, instance_uuid, _of_refused(move))
    elif move.saved:
        # Its cell could not be told of it. Nova's row is as it was.
        record.write(context, instance_uuid, lambda text: text and (
            contract.taken_back(text, *move.saved)), 'restore')


def _of_refused(move):
    """Return a function that returns the number of what it has saved.

    What another request has saved as well, which may have been accepted, is
    that one's to take back.
    """
    def number(history, instance):
        also = any(row.event == move.event and row.revision > move.revision
                   for row in history)
        return None if also else move.revision

    return number


@_never_failing
def restore_after_save(context, instance_uuid):
    """As restore(), for who has saved the spec of a move just now.

    Mostly that is still under way, and its end will look.
    """
    if database.is_api(context) or not _resizing(context, instance_uuid):
        restore(context, instance_uuid)


def look(context, instance_uuid):
    """Return what is persisted of a server, as Seen.

    :returns: None if it has no cell yet, or that cannot be read
    """
    home, history = landing.history(context, instance_uuid)
    if home is None:
        return None
    if database.is_cell_level():
        return Seen(home, history, history[-1].spec if history else None)
    with database.api_reader(home) as session:
        return Seen(home, history, db_spec.nova_spec(session, instance_uuid))


def settle(seen, instance, failed=None):
    """As restore(), of a server that is not moving.

    :param seen: of look()
    :param instance: the Instance, with its flavor
    :param failed: the number of a revision to take back; None if there is none
    """
    uuid = instance.uuid
    home, history, persisted = seen
    if _restored(persisted, history, instance, failed) is None:
        return   # as nearly always, and no row was locked

    def edit(text):
        # Who has saved it since has written the server before.
        now = _instance(home, uuid)
        if now is None or _moving(home, now):
            return None
        return _restored(text, history, now, failed)

    event = 'restore'
    if failed is None and instance.vm_state == vm_states.RESIZED:
        event = 'resize'   # which is through, and nobody has saved its spec
    row, number = record.write(home, uuid, edit, event)
    if row is not None:
        LOG.info('Request spec of %(uuid)s: it did not describe the server '
                 'as it is and was restored, as revision %(revision)s in the '
                 '%(database)s.',
                 {'uuid': uuid, 'database': database.name(home),
                  'revision': number})


def _restored(text, history, instance, failed):
    """Return what is to be persisted in place of text, None to leave it."""
    if text is None:   # whoever reads the row will rebuild it
        return None
    if instance.vm_state in contract.NOT_THERE:
        return None
    wanted = contract.restored(text, history, instance, instance.flavor,
                               failed)
    there = [text] + [row.spec for row in history[-1:]]
    if {primitive.digest_if_readable(each) for each in there} == {
            primitive.digest(wanted)}:
        return None
    return wanted


def completion(context, instance):
    """Return what completes a request spec that Nova saves for a revert.

    Nova's revert_resize() resets the flavor and the NUMA topology.

    :param instance: the Instance, which still has its new flavor
    :returns: a function of the JSON that Nova would save; it returns the
        JSON to be saved
    """
    _, history = landing.history(context, instance.uuid)
    return lambda text: contract.restored(
        text, history, instance, instance.old_flavor)


def _instance(context, instance_uuid):
    try:
        return objects.Instance.get_by_uuid(
            context, instance_uuid, expected_attrs=['flavor'])
    except nova_exc.InstanceNotFound:
        return None


def _resizing(context, instance_uuid):
    """Whether a move is under way that has not failed.

    The last migration may be in error while its task is about to end.

    :param context: of the database of a cell
    """
    with database.reader(context) as session:
        task = db_instance.task(session, instance_uuid)
    return (task is not None and task.task_state in RESIZING and
            task.migration_status != 'error')


def _is_unshelved(instance):
    """Whether a server has been unshelved since, or is about to be."""
    return (instance.vm_state == vm_states.ACTIVE or
            instance.vm_state == vm_states.SHELVED_OFFLOADED and
            instance.task_state in UNSHELVING)


def _moving(context, instance):
    if instance.task_state in RESIZING:
        return _resizing(context, instance.uuid)
    return instance.task_state in REBUILDING
