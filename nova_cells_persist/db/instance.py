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

"""Statements on servers, in the database of a cell."""

from oslo_utils import timeutils
import sqlalchemy as sa

from nova.compute import vm_states
from nova.db.main import models as main_models

_TABLE = main_models.Instance.__table__
_MIGRATIONS = main_models.Migration.__table__
_DEVICES = main_models.BlockDeviceMapping.__table__
_EXTRA = main_models.InstanceExtra.__table__


def task(session, instance_uuid):
    """Return what a server is doing.

    :returns: a row of ``task_state`` and ``migration_status``, that of its
        last migration or None; None if there is no such server
    """
    last = (
        sa.select(_MIGRATIONS.c.status)
        .where(_MIGRATIONS.c.instance_uuid == instance_uuid)
        .where(_MIGRATIONS.c.deleted == 0)
        .order_by(_MIGRATIONS.c.created_at.desc(), _MIGRATIONS.c.id.desc())
        .limit(1).scalar_subquery())
    return session.execute(
        sa.select(_TABLE.c.task_state, last.label('migration_status'))
        .where(_TABLE.c.uuid == instance_uuid)
        .where(_TABLE.c.deleted == 0)).first()


def cross_cell_move(session, instance_uuid):
    """Return the last migration to another cell.

    :returns: a row with its uuid, status, source_compute, dest_compute and
        when it was written; None if there is none
    """
    return session.execute(
        sa.select(_MIGRATIONS.c.uuid, _MIGRATIONS.c.status,
                  _MIGRATIONS.c.created_at, _MIGRATIONS.c.updated_at,
                  _MIGRATIONS.c.source_compute, _MIGRATIONS.c.dest_compute)
        .where(_MIGRATIONS.c.instance_uuid == instance_uuid)
        .where(_MIGRATIONS.c.cross_cell_move)
        .order_by(_MIGRATIONS.c.created_at.desc(), _MIGRATIONS.c.id.desc())
        .limit(1)).first()


def end_cross_cell(session, instance_uuid):
    """Set what a server has of migrations to another cell to error.

    One that is finished would be the one that Nova confirms, in place of a
    later one.
    """
    session.execute(
        sa.update(_MIGRATIONS)
        .where(_MIGRATIONS.c.instance_uuid == instance_uuid)
        .where(_MIGRATIONS.c.cross_cell_move)
        .where(_MIGRATIONS.c.status.not_in(
            ('confirmed', 'reverted', 'failed', 'error')))
        .values(status='error', updated_at=timeutils.utcnow()))


def hide(session, instance_uuid, hidden):
    """Have Nova show an instance, or not, when it looks into all cells."""
    session.execute(
        sa.update(_TABLE).where(_TABLE.c.uuid == instance_uuid)
        .values(hidden=hidden, updated_at=timeutils.utcnow()))


def lock(session, instance_uuid):
    """Lock a server until the transaction ends, so that others wait.

    It is one row that is always there, and found by a unique key: to lock the
    newest of many rows would lock the gap behind it too, into which those who
    wait for it want to insert.
    """
    session.execute(
        sa.select(_TABLE.c.id)
        .where(_TABLE.c.uuid == instance_uuid).with_for_update())


def number_of_block_devices(session, instance_uuid):
    """Return how many block device mappings a server has."""
    return session.execute(
        sa.select(sa.func.count()).select_from(_DEVICES)
        .where(_DEVICES.c.instance_uuid == instance_uuid)
        .where(_DEVICES.c.deleted == 0)).scalar()


def flavor(session, instance_uuid):
    """Return what Nova shows as the flavor of a server.

    :returns: the JSON of its flavors, None if there is none
    """
    return session.execute(
        sa.select(_EXTRA.c.flavor)
        .where(_EXTRA.c.instance_uuid == instance_uuid)
        .where(_EXTRA.c.deleted == 0)).scalar()


def give_up(session, instance_uuid):
    """Set a server to ERROR that is building, and on no host.

    :returns: whether there was such a server
    """
    return bool(session.execute(
        sa.update(_TABLE)
        .where(_TABLE.c.uuid == instance_uuid)
        .where(_TABLE.c.deleted == 0)
        .where(_TABLE.c.vm_state == vm_states.BUILDING)
        .where(_TABLE.c.host.is_(None))
        .values(vm_state=vm_states.ERROR, task_state=None,
                updated_at=timeutils.utcnow())).rowcount)
