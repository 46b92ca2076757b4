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

import hashlib
import os

from oslo_serialization import jsonutils
from oslo_utils import timeutils

from nova_cells_persist.db import database
from nova_cells_persist.db import rows
from nova_cells_persist import exception
from nova_cells_persist.reconcile import allocations

#: How the API database is called among the uuids of cells.
API = 'api'


class Journal:
    """The file that a run of repairs writes.

    :ivar path: of the file, which is there once there was something to write
    :ivar is_written: whether there was
    """

    def __init__(self, path=None):
        """Choose the file.

        :param path: None for a new one in the current folder
        """
        self.path = path or 'nova-cells-persist-undo-%s.jsonl' % (
            timeutils.utcnow().strftime('%Y%m%dT%H%M%S.%f'))
        self._file = None
        self.is_written = False

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
                self._file = os.fdopen(os.open(
                    self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND,
                    0o600), 'w')
            self._file.write(jsonutils.dumps(entry) + '\n')
            self._file.flush()
            os.fsync(self._file.fileno())
            self.is_written = True
        except OSError as exc:
            raise exception.UndoFile(path=self.path, reason=exc.strerror)

    def close(self):
        if self._file is not None:
            self._file.close()


class Entry:
    """One repair in the file."""

    def __init__(self, journal, cloud, finding, cells):
        self._journal = journal
        self._cloud = cloud
        self._finding = finding
        self._cells = cells
        self._is_begun = False

    def begin(self, **more):
        """Write what there is before anything is changed.

        :param more: what else is removed, beside rows of the databases
        :raises: UndoFile if that cannot be written
        """
        finding = self._finding
        self._journal.write(dict({
            'time': timeutils.utcnow().isoformat(), 'uuid': finding.uuid,
            'code': finding.code, 'evidence': finding.evidence,
            'before': look(self._cloud, finding.uuid, self._cells)}, **more))
        self._is_begun = True

    def end(self):
        """Write what there is after it, once all is committed."""
        if self._is_begun:
            self._journal.write({
                'uuid': self._finding.uuid, 'code': self._finding.code,
                'after': digests(look(self._cloud, self._finding.uuid,
                                      self._cells))})


def look(cloud, uuid, cells):
    """Return what databases have of a server.

    :param cloud: an audit.Cloud
    :param cells: ids of cells; the API database is always read
    :returns: {API or the uuid of a cell: as of db.rows.read()}
    """
    found = {}
    for name, kind, cell in _places(cloud, cells):
        with cloud.reading(cell) as session:
            found[name] = rows.read(session, kind, uuid)
    return found


def digests(found):
    """Return what is short, and different for each look().

    :returns: {API or the uuid of a cell: str}
    """
    return {name: hashlib.sha256(jsonutils.dumps(
        there, sort_keys=True).encode()).hexdigest()
        for name, there in found.items()}


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
        raise exception.UndoFile(path=path, reason='it is no undo file')
    return entries[::-1]


def undo(cloud, entry, force=False):
    """Put back what a repair has changed.

    :param cloud: an audit.Cloud
    :param entry: as of read()
    :param force: also if the server was changed after the repair, or the
        repair was cut short
    :returns: whether there was something to put back
    :raises: ChangedSince if the server was changed after the repair;
        UnknownCell
    """
    uuid, before = entry['uuid'], entry['before']
    cells = [cloud.find(name).id for name in before if name != API]
    now = digests(look(cloud, uuid, cells))
    if now == digests(before):
        return False
    if now != entry.get('after') and not force:
        raise exception.ChangedSince(instance_uuid=uuid, code=entry['code'])
    # The cells first: what the API database says is what counts.
    for name, kind, cell in reversed(_places(cloud, cells)):
        with cloud.writing(cell) as session:
            rows.write(session, kind, uuid, before[name])
    if entry.get('allocations'):
        allocations.put_back(cloud.targeted(None), uuid,
                             entry['allocations'])
    return True


def _places(cloud, cells):
    """Return [(name in the file, kind, id of the cell or None)]."""
    return [(API, database.API, None)] + [
        (cloud.cells[cell].uuid, database.CELL, cell)
        for cell in sorted(cells)]
