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

"""Put back what repairs have changed, from the file that they have written."""

import contextlib

from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.db import rows
from nova_cells_persist import exception
from nova_cells_persist.reconcile import allocations
from nova_cells_persist.reconcile import answers
from nova_cells_persist.reconcile import codes
from nova_cells_persist.reconcile import journal as files


def undo(cloud, entry, journal=None):
    """Put back what a repair has changed.

    A server that is in a cell stays there, unless the repair has put it
    there: who has brought it there since wants it.

    :param cloud: an audit.Cloud
    :param entry: as of journal.read()
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
    if entry.get('held') and allocations.restore(
            cloud.targeted(None), entry['uuid'], entry['held']):
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
            now = files.digests(there)
            if now == files.digests(before):
                return False
            if now != entry.get('after'):
                if journal is None:
                    raise exception.ChangedSince(instance_uuid=uuid,
                                                 code=entry['code'])
                _require_living(entry, there)
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
                if name != files.API]
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

    :returns: a context manager that yields [(files.Place, session)]
    """
    with contextlib.ExitStack() as stack:
        sessions = []
        for place in files.places(cloud, cells):
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
    elif is_there != rows.has_instance(before):
        return   # it has come back, or left, with its own copies
    rows.write(session, place.kind, uuid, before, _changed(entry, place))


def _require_living(entry, there):
    """Raise NotPutBack if a server that a repair has made was deleted.

    What was before it would be shown as a build once more.
    """
    if any(_was_deleted(entry, name, there) for name in _made(entry)):
        raise exception.NotPutBack(
            instance_uuid=entry['uuid'], code=entry['code'],
            reason='it has been deleted since')


def _was_deleted(entry, name, there):
    if rows.has_instance(there[name]):
        return rows.is_deleted(there[name])
    # A repair that was cut short may not have come to it.
    after = entry.get('after', {}).get(name)
    return isinstance(after, dict) and rows.has_instance(after)


def _changed(entry, place):
    """Return the names of the tables that the repair has changed.

    :returns: None if that is not known: it was cut short, others have changed
        the server while it ran, or the file is of an older release
    """
    after = entry.get('after', {}).get(place.name)
    if not isinstance(after, dict):
        return None
    before = files.digests(
        {place.name: entry['before'][place.name]})[place.name]
    return {name for name in {*before, *after}
            if before.get(name) != after.get(name)}


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
