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

"""Mends what reconcile/findings.py finds, one server at a time.

A finding is checked again before it is mended: where rows of the API database
are removed, in the transaction that removes them, with these locked.
"""

import contextlib
import logging

from oslo_db import api as oslo_db_api

from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist.db import rows
from nova_cells_persist import exception
from nova_cells_persist.objects import build_list
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import heal
from nova_cells_persist.objects import revision
from nova_cells_persist.reconcile import agreement
from nova_cells_persist.reconcile import allocations
from nova_cells_persist.reconcile import answers
from nova_cells_persist.reconcile import burial
from nova_cells_persist.reconcile import codes
from nova_cells_persist.reconcile import cross_cell_move
from nova_cells_persist.reconcile import findings
from nova_cells_persist.reconcile import removal
from nova_cells_persist.reconcile import server as of_server
from nova_cells_persist.reconcile import sync

LOG = logging.getLogger(__name__)

#: How often a server is looked at again, for what a repair has uncovered.
ROUNDS = 4


def mend(cloud, uuid, wanted, since, journal):
    """Mend what is wrong with a server.

    :param cloud: an audit.Cloud
    :param uuid: of the server
    :param wanted: the codes to mend
    :param since: as of Cloud.cases()
    :param journal: a journal.Journal
    :returns: an iterator of (Finding, None if it is mended, else an exception
        that says why not; AllocationsLeft if it is, but for these)
    :raises: EndOfRun, after what was done before it
    """
    done: dict[tuple, tuple[codes.Finding, Exception | None]] = {}
    try:
        _mend_all(cloud, uuid, wanted, since, journal, done)
    finally:
        # Whatever ends it here: what has been done is to be known.
        yield from done.values()


def _mend_all(cloud, uuid, wanted, since, journal, done):
    case = cloud.case(uuid, since)
    for _ in range(ROUNDS):
        found = [finding for finding in cloud.findings(case)
                 if finding.code in wanted]
        for finding in found:
            if _key(finding) in done:
                # There again: if it counted as mended, it is not.
                _, reason = done[_key(finding)]
                done[_key(finding)] = finding, (
                    reason or exception.NotMended(evidence=finding.evidence))
        found = [each for each in found if _key(each) not in done]
        if not found:
            break
        for finding in found:
            reason = _mend_one(cloud, finding, since, journal)
            if reason is not codes.GONE:
                done[_key(finding)] = finding, reason
        # What is recent now is what has just been mended.
        since = None
        case = cloud.case(uuid)


def _key(finding):
    # A second thing may be wrong of the same kind: a build whose request spec
    # has been rebuilt may be damaged itself.
    return finding.code, finding.repair


def _mend_one(cloud, finding, since, journal):
    if finding.by_hand:
        return exception.ByHand(evidence=finding.evidence,
                                repair=finding.repair)
    try:
        return _try(cloud, finding, since, journal)
    except exception.EndOfRun:
        raise
    except (exception.CellsPersistException, nova_exc.NovaException,
            *damage.UNREADABLE) as exc:
        LOG.debug('%s', finding, exc_info=True)
        return exc


@oslo_db_api.wrap_db_retry(
    max_retries=5, retry_interval=0.1, jitter=True,
    exception_checker=lambda exc: isinstance(exc, exception.Deadlock))
def _try(cloud, finding, since, journal):
    entry = None
    try:
        # What a cell refuses says so itself.
        with answers.about(database.API_DATABASE, finding.uuid), _checked(
                cloud, finding, since) as case:
            if case is None:
                return codes.GONE
            entry = journal.entry(cloud, finding,
                                  _touched(cloud, case, finding))
            return _REPAIRS[finding.code](cloud, case, finding, entry)
    finally:
        if entry is not None:
            entry.end()


@contextlib.contextmanager
def _checked(cloud, finding, since):
    """Yield the Case if the finding is there still, None if it is not."""
    if finding.code not in _IN_TRANSACTION:
        case = cloud.case(finding.uuid, since)
        yield case if _is_there(cloud, case, finding) else None
        return
    with database.api_writer(cloud.context) as session:
        rows.lock(session, finding.uuid)
        case = cloud.case(finding.uuid, since, session)
        yield case if _is_there(cloud, case, finding) else None


def _is_there(cloud, case, finding):
    return any((each.cells, _key(each)) == (finding.cells, _key(finding))
               for each in cloud.findings(case))


def _touched(cloud, case, finding):
    """Return the ids of the cells that a repair may write to."""
    cells = set(case.instances) | case.strays | set(finding.cells)
    if case.cell is not None:
        cells.add(case.cell)
    if finding.code == codes.STUCK_BUILD:
        cells.add(cloud.cell0.id)
    return cells


# Each takes the Cloud, the Case, the Finding and the entry of the undo file,
# which it writes before it changes anything. It returns None, an exception
# that says what is left to do, or codes.GONE if there was nothing to mend any
# more. Those of reconcile/removal.py are alike.


def _finish_build(cloud, case, finding, entry):
    entry.begin(**({} if finding.cells else {'made': [cloud.cell0.uuid]}))
    build = objects.BuildRequest.get_by_instance_uuid(
        cloud.context, case.uuid)
    if finding.cells:
        cell, instance = cloud.cells[finding.cells[0]], build.instance
        # Of one that has run, what a build says is older than what it has.
        if case.never_ran(cell.id):
            with cloud.acting(cell.id, case.uuid) as context:
                burial.complete(context, build)
    else:
        cell = cloud.cell0
        with cloud.acting(cell.id, case.uuid) as context:
            instance = burial.bury(context, build)
    burial.map_to(cloud.context, case.uuid, cell, instance)
    build.destroy()


def _mend_build(cloud, case, finding, entry):
    if findings.lacks_spec(case):
        _rebuild_spec_of_build(cloud, case, entry)
    elif findings.can_be_rewritten(case):
        _rewrite_build(cloud, case, entry)
    else:
        return removal.of_everything(cloud, case, finding, entry)


def _rebuild_spec_of_build(cloud, case, entry):
    entry.begin()
    with database.api_writer(cloud.context) as session:
        if not db_spec.update_nova_spec(session, case.uuid, case.saved_spec):
            db_spec.insert_nova_spec(session, case.uuid, case.saved_spec)


def _rewrite_build(cloud, case, entry):
    entry.begin()
    with database.api_writer(cloud.context) as session:
        db_build.delete_all(session, [case.uuid])
        build_list.adopt(cloud.context, db_build.mirror(session, case.uuid))


def _give_up(cloud, case, finding, entry):
    entry.begin()
    with cloud.acting(finding.cells[0], case.uuid) as context:
        with database.writer(context) as session:
            if not db_instance.give_up(session, case.uuid):
                return codes.GONE   # a host has just taken it
        burial.fail(context, objects.Instance.get_by_uuid(context, case.uuid),
                    'nova-cells-persist')


def _map(cloud, case, finding, entry):
    entry.begin()
    _map_to(cloud, case.uuid, finding.cells[0])


def _map_to(cloud, uuid, cell):
    with cloud.acting(cell, uuid) as context:
        instance = objects.Instance.get_by_uuid(context, uuid)
    burial.map_to(cloud.context, uuid, cloud.cells[cell], instance)


def _end_move(cloud, case, finding, entry):
    home, other, is_kept = cross_cell_move.ending(case)
    if not is_kept:
        removal.require_two(cloud, case, home, other)
        with cloud.reading(home) as session:
            move = db_instance.cross_cell_move(session, case.uuid)
        removal.begin_deletion(cloud, case.uuid, [other], entry,
                               **_held(cloud, case, move))
        with cloud.writing(home, case.uuid) as session:
            db_instance.end_cross_cell(session, case.uuid)
        left = _end_in_placement(cloud, case, home, move)
        removal.delete_instance(cloud, case.uuid, other)
        return left
    entry.begin()
    # In the order in which Nova does it: hidden twice it could not be found.
    with cloud.writing(home, case.uuid) as session:
        db_instance.hide(session, case.uuid, False)
    if home != case.cell:
        _map_to(cloud, case.uuid, home)
    with cloud.writing(other, case.uuid) as session:
        db_instance.hide(session, case.uuid, True)


def _held(cloud, case, move):
    """Return what an entry has of what a move holds in placement, a dict."""
    if move is None:
        return {}
    held = {uuid: allocations.get(cloud.context, uuid)
            for uuid in (case.uuid, move.uuid)}
    return {} if None in held.values() else {'held': held}


def _end_in_placement(cloud, case, home, move):
    """Let a move have nothing any more of the host that the server left.

    Its server has that again if it has not moved.
    """
    if move is None:
        return None
    instance = case.instances[home]
    if instance.deleted:
        is_done = allocations.delete(cloud.context, move.uuid)
    elif instance.host == move.source_compute:
        is_done = allocations.take_back(cloud.context, move.uuid, case.uuid)
    elif instance.host == move.dest_compute:
        is_done = allocations.delete(cloud.context, move.uuid)
    else:
        return None
    return None if is_done else exception.AllocationsOfMove(
        instance_uuid=case.uuid, migration=move.uuid)


def _move_copies(cloud, case, finding, entry):
    """Take revisions to the cell of the server, and into its history."""
    entry.begin()
    for cell in case.strays:
        with cloud.acting(cell, case.uuid) as context:
            _move_from(context, cloud, case)
    if case.waiting:
        _move_from(cloud.context, cloud, case)


def _move_from(context, cloud, case):
    with database.reader(context) as session:
        moved = revision.copies(session, case.uuid)
    with cloud.writing(case.cell, case.uuid) as session:
        there = {row.revision for row in
                 db_spec.revisions(session, case.uuid)}
        # What is newer than the newest there was not known to it. The row of
        # Nova's tells what is true, as ever.
        moved = [row for row in moved if row['revision'] not in there and
                 (not there or row['revision'] < max(there))]
        if moved:
            db_spec.insert(session, moved)
    with database.writer(context) as session:
        db_spec.delete(session, [case.uuid])


def _rebuild(cloud, case, finding, entry):
    entry.begin()
    if heal.rebuild(cloud.context, case.uuid, case.nova_spec) is None:
        raise exception.NothingToRebuildFrom(instance_uuid=case.uuid)


def _reconcile(cloud, case, finding, entry):
    entry.begin()
    context = cloud.targeted(cloud.cells[case.cell])
    if revision.reconcile(context, case.uuid, 'heal') is False:
        raise exception.NotWritten(instance_uuid=case.uuid,
                                   database=cloud.name_of(case.cell))


def _sync(cloud, case, finding, entry):
    entry.begin()
    fields = agreement.differing(
        agreement.fields_of(case.nova_spec), case.instance, case)
    sync.sync(cloud.targeted(None),
              of_server.Server(cloud.targeted(None), case.uuid), fields)


_REPAIRS = {
    codes.STUCK_BUILD: _finish_build,
    codes.UNREADABLE_BUILD: _mend_build,
    codes.STUCK_INSTANCE: _give_up,
    codes.DELETED_BUILD: removal.of_deleted,
    codes.LANDED_BUILD: removal.of_build,
    codes.UNMAPPED_INSTANCE: _map,
    codes.TWO_CELLS: removal.of_spare,
    codes.INTERRUPTED_MOVE: _end_move,
    codes.ORPHANED_MAPPING: removal.of_everything,
    codes.ORPHANED_SPEC: removal.of_everything,
    codes.ORPHANED_COPY: removal.of_copies,
    codes.MISPLACED_COPY: _move_copies,
    codes.MISSING_SPEC: _rebuild,
    codes.UNREADABLE_SPEC: _rebuild,
    codes.MISSING_COPY: _reconcile,
    codes.UNREADABLE_COPY: _reconcile,
    codes.STALE_COPY: _reconcile,
    codes.PENDING_REVISION: _reconcile,
    codes.CONFLICTING_REVISION: _reconcile,
    codes.SPEC_DIFFERS: _sync,
}

#: What takes rows out of the API database, or gives a server its cell. The
#: others look again by themselves, with the row that they write locked.
_IN_TRANSACTION = frozenset(
    code for code, repair in _REPAIRS.items() if repair in (
        _finish_build, _mend_build, _map, removal.of_everything,
        removal.of_deleted, removal.of_build, _move_copies, _end_move))
