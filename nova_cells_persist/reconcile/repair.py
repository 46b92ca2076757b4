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

from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.db import instance_mapping as db_mapping
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist.db import rows
from nova_cells_persist import exception
from nova_cells_persist.objects import build_list
from nova_cells_persist.objects import heal
from nova_cells_persist.objects import revision
from nova_cells_persist.reconcile import allocations
from nova_cells_persist.reconcile import answers
from nova_cells_persist.reconcile import burial
from nova_cells_persist.reconcile import codes
from nova_cells_persist.reconcile import findings
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
    :param journal: an undo.Journal
    :returns: a list of (Finding, None if it is mended, else an exception
        that says why not)
    """
    done = {}
    case = cloud.case(uuid, since)
    for _ in range(ROUNDS):
        found = [finding for finding in cloud.findings(case)
                 if finding.code in wanted]
        for finding in found:
            if done.get(finding.code) is not None:
                # It has been mended, and is there again.
                done[finding.code] = finding, (
                    done[finding.code][1] or exception.NotMended(
                        evidence=finding.evidence))
        found = [each for each in found if each.code not in done]
        if not found:
            break
        for finding in found:
            reason = _mend_one(cloud, finding, since, journal)
            if reason is not GONE:
                done[finding.code] = finding, reason
        # What is recent now is what has just been mended.
        since = None
        case = cloud.case(uuid)
    return list(done.values())


#: Of a finding that was not there any more when it was to be mended.
GONE = object()


def _mend_one(cloud, finding, since, journal):
    entry = None
    try:
        with _checked(cloud, finding, since) as case:
            if case is None:
                return GONE
            entry = journal.entry(cloud, finding,
                                  _touched(cloud, case, finding))
            _REPAIRS[finding.code](cloud, case, finding, entry)
    except (exception.DatabaseError, exception.UndoFile):
        raise   # the next one would not fare better
    except database.FAILURES + (
            exception.CellsPersistException, nova_exc.NovaException,
            ValueError) as exc:
        LOG.debug('%s', finding, exc_info=True)
        return exc
    finally:
        if entry is not None:
            entry.end()
    return None


@contextlib.contextmanager
def _checked(cloud, finding, since):
    """Yield the Case if the finding is there still, None if it is not."""
    if finding.code not in _IN_TRANSACTION:
        case = cloud.case(finding.uuid, since)
        yield case if _is_there(cloud, case, finding) else None
        return
    with database.api_writer(cloud.context) as session:
        with answers.of(database.API_DATABASE):
            rows.lock(session, finding.uuid)
        case = cloud.case(finding.uuid, since, session)
        yield case if _is_there(cloud, case, finding) else None


def _is_there(cloud, case, finding):
    return any((each.code, each.cells) == (finding.code, finding.cells)
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
# which it writes before it changes anything.


def _finish_build(cloud, case, finding, entry):
    entry.begin()
    build = objects.BuildRequest.get_by_instance_uuid(
        cloud.context, case.uuid)
    if finding.cells:
        cell = cloud.cells[finding.cells[0]]
        burial.complete(cloud.targeted(cell), build)
        burial.map_to(cloud.context, case.uuid, cell, build.instance)
    else:
        burial.bury(cloud.targeted(cloud.cell0), cloud.cell0, build)
    build.destroy()


def _rewrite_build(cloud, case, finding, entry):
    if not findings.can_be_rewritten(case):
        if findings.may_be_of_another_nova(case):
            raise exception.ByHand(evidence=finding.evidence,
                                   repair=finding.repair)
        _remove_everything(cloud, case, finding, entry)
        return
    entry.begin()
    with database.api_writer(cloud.context) as session:
        db_build.delete_all(session, [case.uuid])
        build_list.adopt(cloud.context, db_build.mirror(session, case.uuid))


def _give_up(cloud, case, finding, entry):
    entry.begin()
    context = cloud.targeted(cloud.cells[finding.cells[0]])
    with database.writer(context) as session:
        if not db_instance.give_up(session, case.uuid):
            return   # a host has just taken it
    burial.fail(context, objects.Instance.get_by_uuid(context, case.uuid),
                'nova-cells-persist')


def _map(cloud, case, finding, entry):
    entry.begin()
    cell = cloud.cells[finding.cells[0]]
    burial.map_to(cloud.context, case.uuid, cell,
                  objects.Instance.get_by_uuid(cloud.targeted(cell),
                                               case.uuid))


def _remove_everything(cloud, case, finding, entry):
    context = cloud.context
    allocated = allocations.get(context, case.uuid)
    entry.begin(**({'allocations': allocated} if allocated else {}))
    # Once the rows are gone nobody would find these.
    if allocated:
        allocations.delete(context, case.uuid)
    for cell in case.copies():
        _delete_copies(cloud, case.uuid, cell)
    with database.api_writer(context) as session:
        db_build.delete_all(session, [case.uuid])
        db_build.delete_mirror(session, case.uuid)
        db_mapping.delete(session, case.uuid)
        db_spec.delete(session, [case.uuid])
        db_spec.delete_nova_spec(session, case.uuid)


def _remove_build(cloud, case, finding, entry):
    entry.begin()
    with database.api_writer(cloud.context) as session:
        db_build.delete_all(session, [case.uuid])
        db_build.delete_mirror(session, case.uuid)


def _delete_spare(cloud, case, finding, entry):
    if not finding.cells:
        raise exception.ByHand(evidence=finding.evidence,
                               repair=finding.repair)
    entry.begin()
    context = cloud.targeted(cloud.cells[finding.cells[0]])
    with database.writer(context) as session:
        db_instance.delete_unbuilt(session, case.uuid)


def _remove_copies(cloud, case, finding, entry):
    entry.begin()
    for cell in finding.cells:
        _delete_copies(cloud, case.uuid, cell)


def _delete_copies(cloud, uuid, cell):
    with cloud.writing(cell) as session:
        db_spec.delete_strays(session, uuid)


def _move_copies(cloud, case, finding, entry):
    """Take revisions to the cell of the server, and into its history."""
    entry.begin()
    home = cloud.targeted(cloud.cells[case.cell])
    places = [cloud.targeted(cloud.cells[cell]) for cell in case.strays]
    for place in places + ([cloud.context] if case.waiting else []):
        with database.reader(place) as session:
            moved = [dict(row._mapping) for row in
                     db_spec.revisions(session, case.uuid)]
        with database.writer(home) as session:
            there = {row.revision for row in
                     db_spec.revisions(session, case.uuid)}
            # What is newer than the newest there was not known to it. The
            # row of Nova's tells what is true, as ever.
            moved = [row for row in moved if row['revision'] not in there and
                     (not there or row['revision'] < max(there))]
            for row in moved:
                del row['id']
            if moved:
                db_spec.insert(session, moved)
        with database.writer(place) as session:
            db_spec.delete(session, [case.uuid])


def _rebuild(cloud, case, finding, entry):
    entry.begin()
    what = ('missing' if finding.code == codes.MISSING_SPEC
            else 'damaged')
    if heal.rebuild(cloud.context, case.uuid, what) is None:
        raise exception.NothingToRebuildFrom(instance_uuid=case.uuid)


def _reconcile(cloud, case, finding, entry):
    entry.begin()
    context = cloud.targeted(cloud.cells[case.cell])
    if revision.reconcile(context, case.uuid, 'heal') is False:
        raise exception.NotWritten(instance_uuid=case.uuid,
                                   database=cloud.name_of(case.cell))


def _sync(cloud, case, finding, entry):
    entry.begin()
    fields = findings.differing(
        findings.fields_of(case.nova_spec), case.instance, case.group,
        case.flavor)
    sync.sync(cloud.targeted(None),
              of_server.Server(cloud.targeted(None), case.uuid), fields)


_REPAIRS = {
    codes.STUCK_BUILD: _finish_build,
    codes.UNREADABLE_BUILD: _rewrite_build,
    codes.STUCK_INSTANCE: _give_up,
    codes.DELETED_BUILD: _remove_everything,
    codes.LANDED_BUILD: _remove_build,
    codes.UNMAPPED_INSTANCE: _map,
    codes.TWO_CELLS: _delete_spare,
    codes.ORPHANED_MAPPING: _remove_everything,
    codes.ORPHANED_SPEC: _remove_everything,
    codes.ORPHANED_COPY: _remove_copies,
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
        _finish_build, _rewrite_build, _map, _remove_everything,
        _remove_build, _move_copies))
