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

"""Statements on Nova's instance mappings: which server is in which cell.

Each function takes the session of a transaction in the API database.
"""

import sqlalchemy as sa

from nova.db.api import models as api_models

_MAPPINGS = api_models.InstanceMapping.__table__
_CELLS = api_models.CellMapping.__table__


def cell_uuids(session, instance_uuids):
    """Return {instance uuid: cell uuid} of those servers that are mapped.

    The uuid of the cell is None for a server that has none yet.
    """
    return dict(session.execute(
        sa.select(_MAPPINGS.c.instance_uuid, _CELLS.c.uuid)
        .select_from(_MAPPINGS.outerjoin(
            _CELLS, _CELLS.c.id == _MAPPINGS.c.cell_id))
        .where(_MAPPINGS.c.instance_uuid.in_(instance_uuids))
    ).fetchall())


def delete(session, instance_uuid):
    """Delete the mapping of a server, if it has one."""
    session.execute(sa.delete(_MAPPINGS).where(
        _MAPPINGS.c.instance_uuid == instance_uuid))
