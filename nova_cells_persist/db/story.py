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

"""What the databases tell of the life of one server.

Each function takes the session of a transaction in that database. What was
deleted is told as well, until it is archived.
"""

import sqlalchemy as sa

from nova.db.api import models as api_models
from nova.db.main import models as main_models

from nova_cells_persist.db import models

_CELLS = api_models.CellMapping.__table__
_MAPPINGS = api_models.InstanceMapping.__table__
_EVENTS = main_models.InstanceActionEvent.__table__
_ACTIONS = main_models.InstanceAction.__table__

#: What is read of each table, and by which column; never what a user may
#: keep secret.
_API = (
    (models.build_request, 'instance_uuid', ()),
    (api_models.BuildRequest.__table__, 'instance_uuid', ()),
    (api_models.RequestSpec.__table__, 'instance_uuid', ()),
    (models.request_spec, 'instance_uuid', ('revision', 'event', 'pending')),
)
_CELL = (
    (main_models.Instance.__table__, 'uuid',
     ('deleted_at', 'launched_at', 'vm_state', 'task_state', 'host',
      'hidden')),
    (_ACTIONS, 'instance_uuid', ('action', 'message')),
    (main_models.Migration.__table__, 'instance_uuid',
     ('migration_type', 'status', 'source_compute', 'dest_compute')),
    (main_models.InstanceFault.__table__, 'instance_uuid', ('message',)),
    (models.request_spec, 'instance_uuid', ('revision', 'event', 'pending')),
)


def in_api(session, instance_uuid):
    """Return what the API database has of a server.

    :returns: {name of a table: its rows, with ``created_at``,
        ``updated_at`` and what it tells}
    """
    found = {table.name: _rows(session, table, key, names, instance_uuid)
             for table, key, names in _API}
    found[_MAPPINGS.name] = session.execute(
        sa.select(_MAPPINGS.c.created_at, _MAPPINGS.c.updated_at,
                  _MAPPINGS.c.queued_for_delete, _CELLS.c.name.label('cell'))
        .select_from(_MAPPINGS.outerjoin(
            _CELLS, _CELLS.c.id == _MAPPINGS.c.cell_id))
        .where(_MAPPINGS.c.instance_uuid == instance_uuid)).fetchall()
    return found


def in_cell(session, instance_uuid):
    """As in_api(), of a cell."""
    found = {table.name: _rows(session, table, key, names, instance_uuid)
             for table, key, names in _CELL}
    found[_EVENTS.name] = session.execute(
        sa.select(_EVENTS.c.created_at, _EVENTS.c.updated_at,
                  _EVENTS.c.event, _EVENTS.c.result, _EVENTS.c.host)
        .join(_ACTIONS, _ACTIONS.c.id == _EVENTS.c.action_id)
        .where(_ACTIONS.c.instance_uuid == instance_uuid)
        .order_by(_EVENTS.c.id)).fetchall()
    return found


def _rows(session, table, key, names, instance_uuid):
    columns = [table.c[name] for name in ('created_at', 'updated_at') + names]
    return session.execute(
        sa.select(*columns).where(table.c[key] == instance_uuid)
        .order_by(table.c.id)).fetchall()
