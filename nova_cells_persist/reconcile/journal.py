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

"""The file from which repairs can be put back.

It has a line of JSON for each thing: what the databases have of a server
before a repair, written before anything is changed; then what they have after
it. It is readable for its owner alone, since rows of builds have the user data
of servers.
"""

import contextlib
import hashlib
import os
import stat
from typing import NamedTuple

from oslo_serialization import jsonutils
from oslo_utils import timeutils

from nova_cells_persist.db import database
from nova_cells_persist.db import models
from nova_cells_persist.db import rows
from nova_cells_persist import exception

#: As a file begins.
_BEGINNING = b'{"time": "'

#: How the API database is called among the uuids of cells.
API = 'api'


class Place(NamedTuple):
    """A database of a server.

    ``name`` is that in the file, ``cell`` the id of the cell or None,
    ``database`` what it is called.
    """

    name: str
    kind: str
    cell: int | None
    database: str


def places(cloud, cells):
    """Return the Place of the API database, and of each of these cells."""
    return [Place(API, database.API, None, database.API_DATABASE)] + [
        Place(cloud.cells[cell].uuid, database.CELL, cell,
              cloud.name_of(cell)) for cell in sorted(cells)]


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
            placement has them; ``held``, those of the server and of its
            migration, by uuid; ``gone``, {uuid of a cell: a server that is
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
        self._before = before

    def end(self):
        """Write what there is after it, once all is committed.

        Not if somebody has saved the request spec meanwhile: that is not what
        the repair has left.

        :raises: NotNoted if that cannot be written, and something was
            changed; NotSeen if a database does not answer any more
        """
        if self._before is None:
            return
        uuid, code = self._finding.uuid, self._finding.code
        try:
            there = look(self._cloud, uuid, self._cells)
        except exception.DatabaseError as exc:
            raise exception.NotSeen(instance_uuid=uuid, code=code,
                                    path=self._journal.path, reason=exc)
        before, after = digests(self._before), digests(there)
        changed = [place.database
                   for place in places(self._cloud, self._cells)
                   if after[place.name] != before[place.name]]
        try:
            if not _saved_meanwhile(self._before, there):
                self._journal.write({'uuid': uuid, 'code': code,
                                     'after': after})
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
    for place in places(cloud, cells):
        with cloud.reading(place.cell) as session:
            found[place.name] = rows.read(session, place.kind, uuid)
    return found


def digests(found):
    """Return what is short, and different for each look().

    But for the ids of rows, and thus their order.

    :returns: {API or the uuid of a cell: {name of a table: str}}
    """
    return {name: {table: hashlib.sha256(jsonutils.dumps(
        sorted(map(_without_ids, rows_of_it))).encode()).hexdigest()
        for table, rows_of_it in there.items()}
        for name, there in found.items()}


def _without_ids(row):
    return jsonutils.dumps({name: value for name, value in row.items()
                            if name not in rows.IDS}, sort_keys=True)


def _saved_meanwhile(before, after):
    """Whether there are more new revisions than the one of a repair."""
    for name in before:
        old, new = (max((row['revision'] for row in there[name].get(
            models.request_spec.name, ())), default=None)
            for there in (before, after))
        if old is not None and new is not None and new > old + 1:
            return True
    return False


def read(path):
    """Return the repairs in a file, the last one first.

    One of them at a time is held in memory. The file is read to its end before
    the first.

    :returns: an iterator of dicts with ``before``, and ``after`` if that was
        written
    :raises: UndoFile if it cannot be read
    """
    found = []   # [where it begins, where what was after it]
    with _reading(path) as file:
        for begins, entry in _lines(file):
            if 'before' in entry:
                found.append([begins, None])
            elif 'after' in entry:
                found[-1][1] = begins
            else:
                raise _no_undo_file(path)
    return _entries(path, found[::-1])


def _entries(path, found):
    with _reading(path) as file:
        for begins, ends in found:
            entry = _line_at(file, begins)
            if ends is not None:
                entry['after'] = _line_at(file, ends)['after']
            yield entry


def _lines(file):
    begins = 0
    for line in file:
        if not line.endswith(b'\n'):
            break   # cut short, and nothing was done after it
        yield begins, jsonutils.loads(line)
        begins += len(line)


def _line_at(file, begins):
    file.seek(begins)
    return jsonutils.loads(file.readline())


@contextlib.contextmanager
def _reading(path):
    try:
        with open(path, 'rb') as file:
            yield file
    except OSError as exc:
        raise exception.UndoFile(path=path, reason=exc.strerror)
    except (ValueError, KeyError, IndexError, TypeError):
        raise _no_undo_file(path)
