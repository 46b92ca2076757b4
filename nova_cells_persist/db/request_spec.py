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

"""Statements on request specs: the plugin's revisions, and Nova's own row.

Each function takes the session of a transaction that the caller has opened in
the database that he means.
"""

from oslo_utils import timeutils
import sqlalchemy as sa

from nova.db.api import models as api_models

from nova_cells_persist.db import models

_TABLE = models.request_spec
_NOVA = api_models.RequestSpec.__table__


def insert(session, rows):
    """Insert revisions.

    :param rows: a list of dicts, column to value; at least one
    :raises: oslo_db DBDuplicateEntry if one of them is there already
    """
    session.execute(sa.insert(_TABLE), [dict(row) for row in rows])


def revisions(session, instance_uuid):
    """Return all revisions of a server, oldest first.

    :returns: a list of rows of the table request_spec
    """
    return session.execute(
        sa.select(_TABLE).where(_TABLE.c.instance_uuid == instance_uuid)
        .order_by(_TABLE.c.revision)).fetchall()


def newest(session, instance_uuid):
    """Return the newest revision of a server, or None.

    :returns: a row of the table request_spec
    """
    return session.execute(
        sa.select(_TABLE).where(_TABLE.c.instance_uuid == instance_uuid)
        .order_by(_TABLE.c.revision.desc()).limit(1)).first()


def newest_number(session, instance_uuid):
    """Return the number of the newest revision of a server; 0 if none."""
    return session.execute(
        sa.select(sa.func.max(_TABLE.c.revision))
        .where(_TABLE.c.instance_uuid == instance_uuid)).scalar() or 0


def settle(session, instance_uuid, revision):
    """Take the mark *pending* off a revision: Nova's row has it now."""
    session.execute(
        sa.update(_TABLE)
        .where(_TABLE.c.instance_uuid == instance_uuid)
        .where(_TABLE.c.revision == revision)
        .values(pending=False))


def delete(session, instance_uuids, last=None):
    """Delete the revisions of these servers.

    :param last: only up to the revision of this number; all of them if None
    :returns: how many rows there were
    """
    query = sa.delete(_TABLE).where(
        _TABLE.c.instance_uuid.in_(instance_uuids))
    if last is not None:
        query = query.where(_TABLE.c.revision <= last)
    return session.execute(query).rowcount


def nova_spec(session, instance_uuid, lock=False):
    """Return the JSON in Nova's own row in request_specs, or None.

    :param lock: lock the row until the transaction ends
    """
    query = sa.select(_NOVA.c.spec).where(
        _NOVA.c.instance_uuid == instance_uuid)
    if lock:
        query = query.with_for_update()
    return session.execute(query).scalar()


def update_nova_spec(session, instance_uuid, text):
    """Write JSON into Nova's own row in request_specs."""
    session.execute(
        sa.update(_NOVA).where(_NOVA.c.instance_uuid == instance_uuid)
        .values(spec=text, updated_at=timeutils.utcnow()))


def delete_nova_spec(session, instance_uuid):
    """Delete Nova's own row, if there is one."""
    session.execute(
        sa.delete(_NOVA).where(_NOVA.c.instance_uuid == instance_uuid))
