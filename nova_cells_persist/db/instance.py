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

import sqlalchemy as sa

from nova.db.main import models as main_models

_TABLE = main_models.Instance.__table__
_MIGRATIONS = main_models.Migration.__table__


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
