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
from nova.db.main import models as main_models

from nova_cells_persist.db import models

_TABLE = models.request_spec
_NOVA = api_models.RequestSpec.__table__
_MAPPINGS = api_models.InstanceMapping.__table__
_INSTANCES = main_models.Instance.__table__


def insert(session, rows):
    """Insert revisions.

    :param rows: a list of dicts, column to value; at least one
    :raises: oslo_db DBDuplicateEntry if one of them is there already
    """
    session.execute(sa.insert(_TABLE), rows)


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


def newest_mark(session, instance_uuid):
    """Return what there is to know of a newest revision without its JSON.

    :returns: (its number, whether it is pending); (0, False) if there is none
    """
    row = session.execute(
        sa.select(_TABLE.c.revision, _TABLE.c.pending)
        .where(_TABLE.c.instance_uuid == instance_uuid)
        .order_by(_TABLE.c.revision.desc()).limit(1)).first()
    return (row.revision, row.pending) if row else (0, False)


def clear_pending(session, instance_uuid, last, base_digest):
    """Take the mark *pending* off revisions: Nova's row has them now.

    :param last: the number of the newest of them
    :param base_digest: what they all are based on
    """
    session.execute(
        sa.update(_TABLE)
        .where(_TABLE.c.instance_uuid == instance_uuid)
        .where(_TABLE.c.revision <= last)
        .where(_TABLE.c.base_digest == base_digest)
        .values(pending=False))


def prune(session, instance_uuid, newest):
    """Delete all revisions of a server but the first and the newest ones.

    :param newest: the number of the oldest of those newest ones
    """
    # MySQL does not let a DELETE ask its own table.
    first = session.execute(
        sa.select(sa.func.min(_TABLE.c.revision))
        .where(_TABLE.c.instance_uuid == instance_uuid)).scalar()
    if first is None:
        return
    session.execute(
        sa.delete(_TABLE)
        .where(_TABLE.c.instance_uuid == instance_uuid)
        .where(_TABLE.c.revision > first)
        .where(_TABLE.c.revision < newest))


def first_with(session, text, project_id=None):
    """Return the first revisions whose JSON has this text in it.

    Of the servers of this cell that are not deleted. The JSON of all of them
    is read, or of those of one project: for what is asked rarely.

    :param text: without % and _
    :returns: a list of rows of the table request_spec
    """
    servers = sa.select(_INSTANCES.c.uuid).where(_INSTANCES.c.deleted == 0)
    if project_id is not None:
        servers = servers.where(_INSTANCES.c.project_id == project_id)
    return session.execute(
        sa.select(_TABLE).where(_TABLE.c.instance_uuid.in_(servers))
        .where(_TABLE.c.revision == 1)
        .where(_TABLE.c.spec.contains(text))).fetchall()


def without_revision(session, after, limit):
    """Return servers of this cell that have no revision here.

    :param after: the id of the row of the server after which they begin
    :returns: a list of rows of ``id`` and ``uuid``
    """
    return session.execute(
        _without_revision(_INSTANCES.c.id, _INSTANCES.c.uuid)
        .where(_INSTANCES.c.id > after)
        .order_by(_INSTANCES.c.id).limit(limit)).fetchall()


def count_without_revision(session):
    """Return how many servers of this cell have no revision here."""
    return session.execute(_without_revision(sa.func.count())).scalar()


def count_pending(session):
    """Return how many servers of this cell have a pending newest revision."""
    newer = _TABLE.alias()
    return session.execute(
        sa.select(sa.func.count()).select_from(_TABLE.join(
            _INSTANCES, _INSTANCES.c.uuid == _TABLE.c.instance_uuid))
        .where(_INSTANCES.c.deleted == 0)
        .where(_TABLE.c.pending)
        .where(~sa.exists().where(sa.and_(
            newer.c.instance_uuid == _TABLE.c.instance_uuid,
            newer.c.revision > _TABLE.c.revision)))).scalar()


def _without_revision(*columns):
    return sa.select(*columns).select_from(_INSTANCES.outerjoin(
        _TABLE, _TABLE.c.instance_uuid == _INSTANCES.c.uuid)).where(
        _TABLE.c.id.is_(None)).where(_INSTANCES.c.deleted == 0)


def nova_specs(session, instance_uuids, cell_id):
    """Return the JSON in Nova's own rows, of servers mapped to a cell.

    :param cell_id: the id of the cell
    :returns: {instance uuid: JSON} of those that have a row
    """
    return dict(session.execute(
        sa.select(_MAPPINGS.c.instance_uuid, _NOVA.c.spec)
        .select_from(_MAPPINGS.join(
            _NOVA, _NOVA.c.instance_uuid == _MAPPINGS.c.instance_uuid))
        .where(_MAPPINGS.c.instance_uuid.in_(instance_uuids))
        .where(_MAPPINGS.c.cell_id == cell_id)).fetchall())


def delete(session, instance_uuids, last=None):
    """Delete the revisions of these servers.

    :param last: only up to the revision of this number; all of them if None
    """
    query = sa.delete(_TABLE).where(
        _TABLE.c.instance_uuid.in_(instance_uuids))
    if last is not None:
        query = query.where(_TABLE.c.revision <= last)
    session.execute(query)


def delete_strays(session, instance_uuids):
    """Delete the revisions of those servers that this cell has not."""
    session.execute(
        sa.delete(_TABLE).where(_TABLE.c.instance_uuid.in_(instance_uuids))
        .where(~sa.exists().where(_INSTANCES.c.uuid == _TABLE.c.instance_uuid)
               ))


def nova_spec(session, instance_uuid, lock=False):
    """Return the JSON in Nova's own row in request_specs, or None.

    :param lock: lock the row until the transaction ends
    """
    row = nova_row(session, instance_uuid, lock)
    return row and row.spec


def nova_row(session, instance_uuid, lock=False):
    """Return the id, the instance_uuid and the JSON of Nova's own row.

    :param lock: lock the row until the transaction ends
    :returns: a row of Nova's table request_specs, or None
    """
    query = sa.select(_NOVA.c.id, _NOVA.c.instance_uuid, _NOVA.c.spec).where(
        _NOVA.c.instance_uuid == instance_uuid)
    if lock:
        query = query.with_for_update()
    return session.execute(query).first()


def update_nova_spec(session, instance_uuid, text):
    """Write JSON into Nova's own row in request_specs.

    :returns: how many rows there were
    """
    return session.execute(
        sa.update(_NOVA).where(_NOVA.c.instance_uuid == instance_uuid)
        .values(spec=text, updated_at=timeutils.utcnow())).rowcount


def insert_nova_spec(session, instance_uuid, text):
    """Insert Nova's own row in request_specs.

    :raises: oslo_db DBDuplicateEntry if it is there
    """
    session.execute(sa.insert(_NOVA).values(
        instance_uuid=instance_uuid, spec=text,
        created_at=timeutils.utcnow()))


def delete_nova_spec(session, instance_uuid):
    """Delete Nova's own row, if there is one."""
    session.execute(
        sa.delete(_NOVA).where(_NOVA.c.instance_uuid == instance_uuid))
