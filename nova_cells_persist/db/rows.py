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

"""All that a server has in the tables that a repair may change.

As data, so that it can be written to a file and be put back from there. Who
reads or writes takes the session of a transaction.
"""

import datetime

from oslo_utils import timeutils
import sqlalchemy as sa

from nova.db.api import models as api_models
from nova.db.main import models as main_models

from nova_cells_persist.db import database
from nova_cells_persist.db import models

_DEVICES = main_models.PciDevice.__table__
_MIGRATIONS = main_models.Migration.__table__
_INSTANCES = main_models.Instance.__table__
_EVENTS = main_models.InstanceActionEvent.__table__
_ACTIONS = main_models.InstanceAction.__table__

#: The tables whose rows are removed and put back as they are, in an order in
#: which they can be: what others refer to comes first.
WHOLE = {
    database.API: (api_models.RequestSpec.__table__,
                   api_models.BuildRequest.__table__,
                   api_models.InstanceMapping.__table__) +
    models.TABLES[database.API],
    database.CELL: models.TABLES[database.CELL],
}

#: The tables whose rows are locked, in the order in which Nova locks them: who
#: deletes a mapping has that first, then what is left of the build.
_LOCKED = (api_models.InstanceMapping.__table__,
           api_models.BuildRequest.__table__, models.build_request,
           api_models.RequestSpec.__table__)

#: Which columns have the id of a row of which other table.
_REFERENCES = {models.build_request.name: {
    'mirror_id': api_models.BuildRequest.__table__.name},
    _EVENTS.name: {'action_id': _ACTIONS.name}}

#: The columns that a database may choose anew when a row is put back.
IDS = frozenset(['id', 'mirror_id'])

#: What a repair may change of a server in a cell.
STATE = (_INSTANCES.c.vm_state, _INSTANCES.c.task_state,
         _INSTANCES.c.deleted, _INSTANCES.c.deleted_at, _INSTANCES.c.hidden)

#: What it may change of its migrations to another cell.
STATUS = (_MIGRATIONS.c.id, _MIGRATIONS.c.status)


def lock(session, instance_uuid):
    """Lock what the API database has of a server until the transaction ends.

    Where there is nothing to lock, there is nothing to lose. To be called
    before anything else in the transaction.
    """
    database.lock_no_gaps(session)
    for table in _LOCKED:
        session.execute(
            sa.select(table.c.id)
            .where(table.c.instance_uuid == instance_uuid).with_for_update())


def read(session, kind, instance_uuid):
    """Return what a server has in one database.

    :param kind: database.API or database.CELL
    :returns: {name of a table: [{column: value of JSON}]}; without the
        tables in which it has nothing
    """
    found = {}
    for table in WHOLE[kind]:
        found[table.name] = _rows(session, sa.select(table).where(
            table.c.instance_uuid == instance_uuid).order_by(table.c.id))
    if kind == database.CELL:
        found[_INSTANCES.name] = _rows(session, sa.select(*STATE).where(
            _INSTANCES.c.uuid == instance_uuid))
        found[_MIGRATIONS.name] = _rows(session, sa.select(*STATUS).where(
            _MIGRATIONS.c.instance_uuid == instance_uuid).where(
                _MIGRATIONS.c.cross_cell_move).order_by(_MIGRATIONS.c.id))
    return {name: rows for name, rows in found.items() if rows}


def write(session, kind, instance_uuid, found, tables=None):
    """Make one database have of a server what was read once.

    A server that is in the cell is neither made nor deleted by it, nor brought
    back if it is deleted by now.

    :param found: as of read()
    :param tables: the names of those to write, None for all
    """
    def chosen(several):
        return [table for table in several
                if tables is None or table.name in tables]

    for table in chosen(reversed(WHOLE[kind])):
        session.execute(
            sa.delete(table).where(table.c.instance_uuid == instance_uuid)
            .where(table.c.id.not_in(
                [row['id'] for row in found.get(table.name, ())])))
    ids: dict[tuple[str, int], int] = {}
    for table in chosen(WHOLE[kind]):
        for row in found.get(table.name, ()):
            if not _update(session, table, row, instance_uuid):
                _insert(session, table, row, ids)
    if kind == database.CELL:
        for table in chosen(_OF_SERVER):
            for row in found.get(table.name, ()):
                session.execute(_OF_SERVER[table](row, instance_uuid))


def _write_state(row, instance_uuid):
    return (sa.update(_INSTANCES)
            .where(_INSTANCES.c.uuid == instance_uuid)
            .where(_INSTANCES.c.deleted == row['deleted'])
            .values(**_values(_INSTANCES, row)))


def _write_status(row, instance_uuid):
    return (sa.update(_MIGRATIONS).where(_MIGRATIONS.c.id == row['id'])
            .where(_MIGRATIONS.c.status != row['status'])
            .values(status=row['status']))


#: How what is read of a server, and of its moves, is written.
_OF_SERVER = {_INSTANCES: _write_state, _MIGRATIONS: _write_status}


def has_instance(found):
    """Whether read() has found the server itself in a cell."""
    return _INSTANCES.name in found


def is_deleted(found):
    """Whether what read() has found in a cell is of a deleted server."""
    return any(row['deleted'] for row in found.get(_INSTANCES.name, ()))


def delete_instance(session, instance_uuid):
    """Delete a server from a cell with all that refers to it."""
    for table, condition in reversed(list(_of_instance(instance_uuid))):
        session.execute(sa.delete(table).where(condition))


def read_instance(session, instance_uuid):
    """Return a server of a cell, and all that refers to it.

    :returns: {name of a table: [{column: value of JSON}]}
    """
    found: dict[str, list[dict]] = {}
    for table, condition in _of_instance(instance_uuid):
        found.setdefault(table.name, []).extend(
            _rows(session, sa.select(table).where(condition)))
    return {name: there for name, there in found.items() if there}


def put_instance_back(session, instance_uuid, found):
    """Insert what was read once, as far as it is not there.

    :param found: as of read_instance()
    """
    there = read_instance(session, instance_uuid)
    ids: dict[tuple[str, int], int] = {}
    for table in main_models.BASE.metadata.sorted_tables:
        key = [column.name for column in table.primary_key.columns]
        present = [[row[name] for name in key]
                   for row in there.get(table.name, ())]
        for row in found.get(table.name, ()):
            if [row[name] for name in key] not in present:
                _insert(session, table, row, ids)


def _update(session, table, row, instance_uuid):
    """Update a row if it is there still; return whether it is.

    Who waits for it to be unlocked would not see one in its place: PostgreSQL
    would tell him that there is none any more.
    """
    return session.execute(
        sa.update(table).where(table.c.id == row['id'])
        .where(table.c.instance_uuid == instance_uuid)
        .values(**_values(table, row))).rowcount


def _insert(session, table, row, ids):
    """Insert a row, under a new id if another has taken its own since.

    A database that was started anew may give away once more the id of a row
    that is gone.

    :param ids: {(name of a table, old id): new one}, which is added to
    """
    values = _values(table, row)
    for name, referred in _REFERENCES.get(table.name, {}).items():
        values[name] = ids.get((referred, row[name]), row[name])
    if 'id' in values and session.execute(
            sa.select(table.c.id).where(table.c.id == row['id'])).first():
        del values['id']
    new, = session.execute(
        sa.insert(table), values).inserted_primary_key[:1]
    ids[table.name, row.get('id')] = new


def _of_instance(instance_uuid):
    """Yield (table, condition) of what refers to a server of a cell.

    What others refer to comes first. A PCI device is its host's, which takes
    it back by itself.
    """
    for table in main_models.BASE.metadata.sorted_tables:
        if table is _DEVICES:
            continue
        # As whichever of these a table knows it.
        for name in ('instance_uuid', 'resource_id', 'uuid'):
            if name in table.c:
                yield table, table.c[name] == instance_uuid
    yield _EVENTS, _EVENTS.c.action_id.in_(
        sa.select(_ACTIONS.c.id)
        .where(_ACTIONS.c.instance_uuid == instance_uuid))


def _rows(session, query):
    return [{name: _as_json(value) for name, value in row._mapping.items()}
            for row in session.execute(query)]


def _as_json(value):
    return value.isoformat() if isinstance(value, datetime.datetime) else value


def _values(table, row):
    return {name: timeutils.parse_isotime(value).replace(tzinfo=None)
            if value and isinstance(table.c[name].type, sa.DateTime)
            else value for name, value in row.items()}
