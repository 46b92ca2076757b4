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

As data, so that it can be written to a file and be put back from there. Each
function takes the session of a transaction.
"""

import datetime

from oslo_utils import timeutils
import sqlalchemy as sa

from nova.db.api import models as api_models
from nova.db.main import models as main_models

from nova_cells_persist.db import database
from nova_cells_persist.db import models

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

#: What a repair may change of the row of a server in a cell.
STATE = (_INSTANCES.c.vm_state, _INSTANCES.c.task_state,
         _INSTANCES.c.deleted, _INSTANCES.c.deleted_at)


def lock(session, instance_uuid):
    """Lock what the API database has of a server until the transaction ends.

    Where there is nothing to lock, there is nothing to lose.
    """
    for table in WHOLE[database.API][:3] + (models.build_request,):
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
    return {name: rows for name, rows in found.items() if rows}


def write(session, kind, instance_uuid, found):
    """Make one database have of a server what was read once.

    :param found: as of read()
    """
    for table in reversed(WHOLE[kind]):
        session.execute(sa.delete(table).where(
            table.c.instance_uuid == instance_uuid))
    for table in WHOLE[kind]:
        rows = [_values(table, row) for row in found.get(table.name, ())]
        if rows:
            session.execute(sa.insert(table), rows)
    if kind == database.CELL:
        _write_state(session, instance_uuid, found.get(_INSTANCES.name))


def _write_state(session, instance_uuid, rows):
    if rows:
        session.execute(
            sa.update(_INSTANCES).where(_INSTANCES.c.uuid == instance_uuid)
            .values(**_values(_INSTANCES, rows[0])))
    else:
        delete_instance(session, instance_uuid)


def delete_instance(session, instance_uuid):
    """Delete a server from a cell with all that refers to it."""
    session.execute(sa.delete(_EVENTS).where(_EVENTS.c.action_id.in_(
        sa.select(_ACTIONS.c.id)
        .where(_ACTIONS.c.instance_uuid == instance_uuid))))
    for table in reversed(main_models.BASE.metadata.sorted_tables):
        # As whichever of these a table knows it.
        for name in ('instance_uuid', 'resource_id', 'uuid'):
            if name in table.c:
                session.execute(sa.delete(table).where(
                    table.c[name] == instance_uuid))


def _rows(session, query):
    return [{name: _as_json(value) for name, value in row._mapping.items()}
            for row in session.execute(query)]


def _as_json(value):
    return value.isoformat() if isinstance(value, datetime.datetime) else value


def _values(table, row):
    return {name: timeutils.parse_isotime(value).replace(tzinfo=None)
            if value and isinstance(table.c[name].type, sa.DateTime)
            else value for name, value in row.items()}
