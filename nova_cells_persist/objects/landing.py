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

"""Landing: the revisions of a request spec follow the server.

While a server has no cell they stand in the API database. When its mapping
gets a cell they are copied into that cell, then removed where they were. A
move to another cell and its revert are the same event.
"""

import collections
import functools

from oslo_db import exception as db_exc
from sqlalchemy.orm import exc as orm_exc

from nova import exception as nova_exc

from nova_cells_persist.db import database
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist.objects import cells
from nova_cells_persist.objects import revision

#: Where the revisions of a server are: a context for that database, which may
#: be the caller's; the number of the newest, 0 if there is none; whether that
#: is pending.
Home = collections.namedtuple('Home', 'context number pending')


def land(context, instance_uuid, cell, save_mapping):
    """Take the revisions of a server into the cell that it is mapped to now.

    Insert first, delete second: a crash in between leaves one copy too many,
    never one too few.

    :param cell: the CellMapping that the mapping gets
    :param save_mapping: a function without arguments that saves it, once
        more if what it has saved was taken back
    :raises: InstanceMappingNotFound or sqlalchemy's StaleDataError, from
        save_mapping, if the server was deleted meanwhile
    """
    waiting = _waiting(context, instance_uuid)
    if waiting and waiting[0]['revision'] > 1:
        # Not all there is: written while the server landed, by who died
        # before catch_up(). Nova's row, the record, has what they say.
        waiting = [] if _remove_waiting(context, instance_uuid) else False
    if waiting is False:
        return save_mapping()   # and they land with the next save
    left = None if waiting else _cell_of(context, instance_uuid)
    if left is False or left and left.uuid == cell.uuid:
        # Where they are is not known, or there already.
        return save_mapping()
    rows = waiting or left and _take(cells.targeted(context, left),
                                     instance_uuid)
    cctxt = cells.targeted(context, cell)
    landed = (_put(cctxt, instance_uuid, rows) if rows else
              _adopt(cctxt, instance_uuid))
    try:
        if waiting and landed:
            _save_and_remove(context, instance_uuid, rows, save_mapping)
        else:
            save_mapping()
    except (nova_exc.InstanceMappingNotFound, orm_exc.StaleDataError):
        # Deleted meanwhile. After any other error the mapping may have been
        # saved all the same, and these be the only revisions there are.
        if landed:
            _remove(cctxt, [instance_uuid])
        raise
    if left and landed and rows:
        _remove(cells.targeted(context, left), [instance_uuid],
                functools.partial(db_spec.delete, last=rows[-1]['revision']))


class _NotRemoved(Exception):
    """What has landed is still where it was."""


def _save_and_remove(context, instance_uuid, landed, save_mapping):
    """Save the mapping, and remove what has landed where it was.

    In one transaction; if that cannot be removed, the mapping alone.
    """
    try:
        with database.api_writer(context):
            # The mapping first, then the revisions, as
            # InstanceMapping._destroy_in_db locks them: else the two deadlock.
            save_mapping()
            if not _remove_waiting(context, instance_uuid, landed):
                raise _NotRemoved()
    except _NotRemoved:
        save_mapping()


@cells.fail_softly('removing what has landed', of_api=True)
def _remove_waiting(context, instance_uuid, landed=None):
    with database.api_writer(context) as session:
        db_spec.delete(session, [instance_uuid],
                       last=landed and landed[-1]['revision'])
    return True


#: The CellMapping of a server, or None; False if that cannot be read.
_cell_of = cells.fail_softly('finding its cell', of_api=True)(
    cells.of_server)

#: As of cells.of_servers(); False if that cannot be read.
_cells_of = cells.fail_softly('finding its cell', of_api=True)(
    cells.of_servers)


@cells.fail_softly('reading its revisions', of_api=True)
def _waiting(context, instance_uuid):
    """Return copies of the revisions that stand in the API database."""
    with database.api_reader(context) as session:
        return revision.copies(session, instance_uuid)


@cells.fail_softly('its landing')
@cells.retry_on_deadlock
def _adopt(context, instance_uuid):
    """Make Nova's row the first revision of a server that has none.

    It was accepted by an API node without the plugin.

    :param context: targeted at the cell
    :returns: whether one was written
    """
    with database.api_reader(context) as session:
        text = db_spec.nova_spec(session, instance_uuid)
    row = text and revision.from_nova_row(instance_uuid, 'adopt', text)
    if not row:
        return False
    try:
        with database.writer(context) as session:
            db_spec.insert(session, [row])
    except db_exc.DBDuplicateEntry:
        return False   # it has revisions there: an operator has mapped it
    return True


@cells.fail_softly('reading its revisions')
def _take(context, instance_uuid):
    with database.reader(context) as session:
        return revision.copies(session, instance_uuid)


@cells.fail_softly('its landing')
@cells.retry_on_deadlock
def _put(context, instance_uuid, rows):
    try:
        with database.writer(context) as session:
            db_spec.insert(session, rows)
    except db_exc.DBDuplicateEntry:
        with database.writer(context) as session:
            there = {_content(row._mapping) for row in
                     db_spec.revisions(session, instance_uuid)}
            # Another conductor lands it, and may have saved since.
            if not there.issuperset(map(_content, rows)):
                # Left by a landing that was cut short. This one is whole.
                db_spec.delete(session, [instance_uuid])
                db_spec.insert(session, rows)
    return True


def _content(row):
    return row['revision'], row['event'], row['spec']


def home(context, instance_uuid):
    """Return where the next revision of a server belongs, and its newest.

    That is the cell that the context names if revisions stand there.
    Otherwise the mapping knows: the context of a cross-cell resize is still
    targeted at the cell that the server has left. What has not landed there
    yet does so now.

    :returns: a Home; None if that database, or which it is, cannot be read
    """
    if not database.is_api(context):
        mark = revision.newest_mark(context, instance_uuid)
        if mark is False:
            return None
        if mark[0]:
            return Home(context, *mark)
    cell = _cell_of(context, instance_uuid)
    if cell is False:
        return None
    context = cells.targeted(context, cell)
    if cell is not None:
        land_late(context, instance_uuid)
    mark = revision.newest_mark(context, instance_uuid)
    return Home(context, *mark) if mark else None


def history(context, instance_uuid):
    """Return where the revisions of a server are, and these, oldest first.

    :returns: (a context of its cell, a list of rows of the table
        request_spec); (None, []) if it has no cell yet, or that cannot be
        read
    """
    if not database.is_api(context):
        # Where they nearly always are, so that nothing else is asked.
        rows = revision.history_if_read(context, instance_uuid)
        if rows is False:
            return None, []
        if rows or database.is_cell_level():
            return context, rows
    found = home(context, instance_uuid)
    if found is None or database.is_api(found.context):
        return None, []
    rows = revision.history_if_read(found.context, instance_uuid)
    return (None, []) if rows is False else (found.context, rows)


def land_late(context, instance_uuid):
    """Land what the cell could not take, or a conductor did not know of.

    :param context: targeted at the cell, which has no revision
    """
    rows = _waiting(context, instance_uuid)
    if rows and _put(context, instance_uuid, rows):
        _remove_waiting(context, instance_uuid, rows)


def catch_up(context, instance_uuid):
    """Bring a revision after a server that has landed meanwhile.

    It was written in the API database since the server had no cell then. In
    the cell Nova's row, which has the same content, becomes the next one.
    """
    cell = _cell_of(context, instance_uuid)
    if cell and revision.reconcile(cells.targeted(context, cell),
                                   instance_uuid, 'save'):
        _remove_waiting(context, instance_uuid)


def forget(context, instance_uuids, delete=db_spec.delete):
    """Delete the revisions that these servers have in their cells.

    :param delete: a function of db.request_spec
    """
    servers = {}
    found = _cells_of(context, instance_uuids) or {}
    for server, cell in found.items():
        if cell is not None:
            servers.setdefault(cell.uuid, (cell, []))[1].append(server)
    for cell, uuids in servers.values():
        _remove(cells.targeted(context, cell), uuids, delete)


@cells.fail_softly('deleting its revisions')
@cells.retry_on_deadlock
def _remove(context, instance_uuids, delete=db_spec.delete):
    with database.writer(context) as session:
        delete(session, instance_uuids)
    return True
