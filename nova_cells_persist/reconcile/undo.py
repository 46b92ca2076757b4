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

"""What repairs have changed, in a file from which it can be put back.

The file has a line of JSON for each thing: what the databases have of a
server before a repair, written before anything is changed; then what they
have after it. It is readable for its owner alone, since rows of builds have
the user data of servers.
"""

import contextlib
import hashlib
import os
import stat
from typing import NamedTuple

from oslo_serialization import jsonutils
from oslo_utils import timeutils

from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.db import rows
from nova_cells_persist import exception
from nova_cells_persist.reconcile import allocations
from nova_cells_persist.reconcile import answers
from nova_cells_persist.reconcile import codes

#: As a file begins.
_BEGINNING = b'{"time": "'

#: How the API database is called among the uuids of cells.
API = 'api'


class Journal:
    """The file that a run of repairs writes.

    :ivar path: of the file, which is there once there was something to write
    :ivar has_changes: whether anything was changed that is in it
    """

    def __init__(self, path=None):
        """Choose the file.

        :param path: None for a new one in the current folder
        """
        self.path = path or 'nova-cells-persist-undo-%s.jsonl' % (
            timeutils.utcnow().strftime('%Y%m%dT%H%M%S.%f'))
        self._file = None
        self.has_changes = False

    def entry(self, cloud, finding, cells):
        """Return an Entry for a repair that is about to be done.

        :param cloud: an audit.Cloud
        :param cells: the ids of the cells that the repair may write to
        """
        return Entry(self, cloud, finding, cells)

    def write(self, entry):
        """Write a line, and be sure that it is on the disk.

        :raises: UndoFile
        """
        try:
            if self._file is None:
                self._file = _open(self.path)
            self._file.write(jsonutils.dumps(entry).encode() + b'\n')
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as exc:
            raise exception.UndoFile(path=self.path,
                                     reason=exc.strerror or exc)

    def close(self):
        if self._file is not None:
            # What could not be written was said when it was to be.
            with contextlib.suppress(OSError):
                self._file.close()


def _open(path):
    """Open a file to append to it, for its owner alone.

    What is left of a line that was cut short goes: nothing was done after it,
    and the next line would become a part of it.

    :raises: OSError; UndoFile if something else is in it
    """
    file = os.fdopen(os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), 'r+b')
    try:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            if not _BEGINNING.startswith(file.read(len(_BEGINNING))):
                raise _no_undo_file(path)
            os.fchmod(file.fileno(), 0o600)
            file.seek(0)
            file.truncate(sum(len(line) for line in file
                              if line.endswith(b'\n')))
    except BaseException:
        file.close()
        raise
    return file


def _no_undo_file(path):
    return exception.UndoFile(path=path, reason='it is no undo file')


class Entry:
    """One repair in the file."""

    def __init__(self, journal, cloud, finding, cells):
        self._journal = journal
        self._cloud = cloud
        self._finding = finding
        self._cells = cells
        self._before = None

    def begin(self, **more):
        """Write what there is before anything is changed.

        :param more: what else there is to put back: ``allocations``, as
            placement has them; ``gone``, {uuid of a cell: a server that is
            deleted from there, as of db.rows.read_instance()}; ``made``, the
            uuids of cells into which the server is written
        :raises: UndoFile if that cannot be written
        """
        finding = self._finding
        before = look(self._cloud, finding.uuid, self._cells)
        self._journal.write(dict({
            'time': timeutils.utcnow().isoformat(), 'uuid': finding.uuid,
            'code': finding.code, 'evidence': finding.evidence,
            'before': before}, **more))
        self._before = digests(before)

    def end(self):
        """Write what there is after it, once all is committed.

        :raises: NotNoted if that cannot be written, and something was changed
        """
        if self._before is None:
            return
        uuid, code = self._finding.uuid, self._finding.code
        after = digests(look(self._cloud, uuid, self._cells))
        changed = [place.database
                   for place in _places(self._cloud, self._cells)
                   if after[place.name] != self._before[place.name]]
        try:
            self._journal.write({'uuid': uuid, 'code': code, 'after': after})
        except exception.UndoFile as exc:
            if not changed:
                raise
            raise exception.NotNoted(
                instance_uuid=uuid, code=code, path=self._journal.path,
                databases=' and the '.join(changed),
                reason=exc.data['reason'])
        if changed:
            self._journal.has_changes = True


def look(cloud, uuid, cells):
    """Return what databases have of a server.

    :param cloud: an audit.Cloud
    :param cells: ids of cells; the API database is always read
    :returns: {API or the uuid of a cell: as of db.rows.read()}
    """
    found = {}
    for place in _places(cloud, cells):
        with cloud.reading(place.cell) as session:
            found[place.name] = rows.read(session, place.kind, uuid)
    return found


def digests(found):
    """Return what is short, and different for each look().

    But for the ids of rows, and thus their order.

    :returns: {API or the uuid of a cell: str}
    """
    return {name: hashlib.sha256(jsonutils.dumps(
        {table: sorted(map(_without_ids, rows_of_it))
         for table, rows_of_it in there.items()},
        sort_keys=True).encode()).hexdigest()
        for name, there in found.items()}


def _without_ids(row):
    return jsonutils.dumps({name: value for name, value in row.items()
                            if name not in rows.IDS}, sort_keys=True)


def read(path):
    """Return the repairs in a file, the last one first.

    :returns: a list of dicts with ``before``, and ``after`` if that was
        written
    :raises: UndoFile if it cannot be read
    """
    entries = []
    try:
        with open(path) as file:
            for line in file:
                if not line.endswith('\n'):
                    break   # cut short, and nothing was done after it
                entry = jsonutils.loads(line)
                if 'before' in entry:
                    entries.append(entry)
                else:
                    entries[-1]['after'] = entry['after']
    except OSError as exc:
        raise exception.UndoFile(path=path, reason=exc.strerror)
    except (ValueError, KeyError, IndexError, TypeError):
        raise _no_undo_file(path)
    return entries[::-1]


def undo(cloud, entry, journal=None):
    """Put back what a repair has changed.

    A server that is in a cell stays there, unless the repair has put it
    there: who has brought it there since wants it.

    :param cloud: an audit.Cloud
    :param entry: as of read()
    :param journal: a Journal, to put it back also if the server was changed
        after the repair, or the repair was cut short; what is overwritten is
        written there
    :returns: whether there was something to put back
    :raises: ChangedSince if the server was changed after the repair;
        NotPutBack; AllocationsNotPutBack if the rows could be, and these
        not; DatabaseError; UndoFile
    """
    done = _put_rows_back(cloud, entry, journal)
    # A run before this one may have put back the rows alone.
    if entry.get('allocations') and allocations.put_back(
            cloud.targeted(None), entry['uuid'], entry['allocations']):
        done = True
    return done


def _put_rows_back(cloud, entry, journal):
    uuid, before = entry['uuid'], entry['before']
    cells = _cells(cloud, entry)
    note = None
    try:
        with _locked(cloud, entry, cells) as sessions:
            there = {place.name: rows.read(session, place.kind, uuid)
                     for place, session in sessions}
            now = digests(there)
            if now == digests(before):
                return False
            if now != entry.get('after'):
                if journal is None:
                    raise exception.ChangedSince(instance_uuid=uuid,
                                                 code=entry['code'])
                note = journal.entry(cloud, codes.Finding(
                    entry['code'], uuid, entry['evidence'], ''), cells)
                note.begin(**_overwritten(cloud, entry, there))
            for place, session in sessions:
                with _acting(entry, place):
                    _write(session, place, entry, there)
    finally:
        if note is not None:
            note.end()
    return True


def _cells(cloud, entry):
    """Return the ids of the cells that a repair may have written to."""
    try:
        return [cloud.find(name).id for name in entry['before']
                if name != API]
    except exception.UnknownCell as exc:
        raise exception.NotPutBack(instance_uuid=entry['uuid'],
                                   code=entry['code'], reason=exc)


@contextlib.contextmanager
def _acting(entry, place):
    """Tell a database that refuses these rows from one that is not there."""
    try:
        with answers.about(place.database, entry['uuid']):
            yield
    except exception.StatementFailed as exc:
        raise exception.NotPutBack(
            instance_uuid=entry['uuid'], code=entry['code'], reason=exc)


@contextlib.contextmanager
def _locked(cloud, entry, cells):
    """Lock a server in all of its databases, so that others wait.

    The cells are committed first, and the API database last: what that says
    is what counts.

    :returns: a context manager that yields [(_Place, session)]
    """
    with contextlib.ExitStack() as stack:
        sessions = []
        for place in _places(cloud, cells):
            session = stack.enter_context(
                cloud.writing(place.cell, entry['uuid']))
            with _acting(entry, place):
                (rows if place.kind == database.API else db_instance).lock(
                    session, entry['uuid'])
            sessions.append((place, session))
        yield sessions


def _write(session, place, entry, there):
    uuid, gone = entry['uuid'], entry.get('gone', {})
    before, is_there = (entry['before'][place.name],
                        rows.has_instance(there[place.name]))
    if place.name in _made(entry):
        rows.delete_instance(session, uuid)
    elif place.name in gone and not is_there:
        rows.put_instance_back(session, uuid, gone[place.name])
    elif is_there and not rows.has_instance(before):
        return   # it has come back, with its own copies
    rows.write(session, place.kind, uuid, before)


def _made(entry):
    """Return the cells that have a server since its repair, by uuid."""
    return [name for name in entry.get('made', ())
            if not rows.has_instance(entry['before'][name])]


def _overwritten(cloud, entry, there):
    """Return what more has to be noted to take back what undo() does.

    :param there: as of look(), before it does it
    """
    gone = {}
    for name in _made(entry):
        with cloud.reading(cloud.find(name).id) as session:
            gone[name] = rows.read_instance(session, entry['uuid'])
    return {'gone': {name: found for name, found in gone.items() if found},
            'made': [name for name in entry.get('gone', ())
                     if not rows.has_instance(there[name])]}


class _Place(NamedTuple):
    """A database of a server.

    ``name`` is that in the file, ``cell`` the id of the cell or None,
    ``database`` what it is called.
    """

    name: str
    kind: str
    cell: int | None
    database: str


def _places(cloud, cells):
    """Return the _Place of the API database, and of each of these cells."""
    return [_Place(API, database.API, None, database.API_DATABASE)] + [
        _Place(cloud.cells[cell].uuid, database.CELL, cell,
               cloud.name_of(cell)) for cell in sorted(cells)]
