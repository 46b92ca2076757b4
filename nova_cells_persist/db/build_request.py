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

"""Statements on builds in flight: the plugin's rows, and Nova's own.

Each function takes the session of a transaction in the API database.
"""

import sqlalchemy as sa

from nova.db.api import models as api_models

from nova_cells_persist.db import models

_TABLE = models.build_request
_ITEMS = models.build_request_item
_NOVA = api_models.BuildRequest.__table__
_SPECS = api_models.RequestSpec.__table__
_MAPPINGS = api_models.InstanceMapping.__table__

_CELLS = api_models.CellMapping.__table__

#: What the API database knows of a server beside its build.
_OF_SERVER = (_SPECS.c.spec, _MAPPINGS.c.id.is_not(None).label('is_mapped'),
              _CELLS.c.name.label('cell'))

#: What there is to know of a build without its JSON.
_MARK = (_TABLE.c.id, _TABLE.c.mirror_id, _TABLE.c.instance_uuid,
         _TABLE.c.project_id, _TABLE.c.created_at, _TABLE.c.updated_at)


#: That a row of Nova's table is the mirror of one of the plugin's. A database
#: may give an id away again.
_IS_MIRROR = sa.and_(_NOVA.c.id == _TABLE.c.mirror_id,
                     _NOVA.c.instance_uuid == _TABLE.c.instance_uuid)


def is_build():
    """Return the criterion of a row of the plugin's that it is a build.

    One that had a mirror and has none any more was deleted by a node without
    the plugin.
    """
    return sa.or_(_TABLE.c.mirror_id.is_(None),
                  sa.exists().where(_IS_MIRROR))


def has_no_cell(instance_uuid):
    """Return the criterion that a server is not mapped to a cell.

    :param instance_uuid: a column
    """
    return ~sa.exists().where(sa.and_(
        _MAPPINGS.c.instance_uuid == instance_uuid,
        _MAPPINGS.c.cell_id.is_not(None)))


def in_flight(session, instance_uuid):
    """Whether a server has a build, in either table."""
    return (mark(session, instance_uuid) is not None or
            session.execute(sa.select(_NOVA.c.id).where(
                _NOVA.c.instance_uuid == instance_uuid)).first() is not None)


def insert(session, values):
    """Insert one build.

    :param values: a dict, column to value
    :returns: the id of the row
    :raises: oslo_db DBDuplicateEntry if the server has one already
    """
    # As parameters: to make an expression of each takes longer than all else.
    result = session.execute(sa.insert(_TABLE), values)
    return result.inserted_primary_key[0]


def update(session, instance_uuid, values):
    """Change a build.

    :returns: whether there was one
    """
    return bool(session.execute(
        sa.update(_TABLE)
        .where(_TABLE.c.instance_uuid == instance_uuid)
        .values(**values)).rowcount)


def get(session, instance_uuid):
    """Return one build with its request spec, or None.

    :returns: a row of the table build_request without its columns for
        filters, and in it ``spec``, the JSON of Nova's own row in
        request_specs or None, and ``mirror_updated_at``, of its row in
        build_requests
    """
    return session.execute(
        _builds().where(_TABLE.c.instance_uuid == instance_uuid)).first()


def mark(session, instance_uuid):
    """As get(), of a build without its JSON."""
    return session.execute(
        sa.select(*_MARK)
        .where(_TABLE.c.instance_uuid == instance_uuid)
        .where(is_build())).first()


def mirror(session, instance_uuid):
    """Return the row of a build in Nova's own table, or None."""
    return session.execute(
        sa.select(_NOVA)
        .where(_NOVA.c.instance_uuid == instance_uuid)).first()


def key_of_instance(session, uuid):
    """Return the instance_uuid of the build whose instance has a uuid.

    Its JSON is searched for it.

    :returns: None if there is none
    """
    return session.execute(
        sa.select(_TABLE.c.instance_uuid)
        .where(_TABLE.c.request_obj.contains(
            '"uuid":"%s"' % uuid, autoescape=True))).scalar()


def get_all(session, instance_uuids):
    """Return the builds of these servers, of those that have one.

    :returns: {instance uuid: a row as of get()}
    """
    if not instance_uuids:
        return {}
    rows = session.execute(
        _builds().where(_TABLE.c.instance_uuid.in_(instance_uuids)))
    return {row.instance_uuid: row for row in rows}


def last_id_of_nova(session):
    """Return the highest id in Nova's own table, 0 if that is empty."""
    return session.execute(sa.select(sa.func.max(_NOVA.c.id))).scalar() or 0


def nova_only(session, beyond, project_id=None):
    """Return the rows that only Nova's table has, of servers without a cell.

    They were accepted by an API node without the plugin.

    :param beyond: of those with a higher id than that
    :param project_id: only of this project
    :returns: a list of rows of Nova's table build_requests, by their ids
    """
    # Mostly there is none, and that is answered from two indexes.
    query = (sa.select(_NOVA.c.instance_uuid)
             .select_from(_NOVA.outerjoin(
                 _TABLE, _TABLE.c.instance_uuid == _NOVA.c.instance_uuid))
             .where(_TABLE.c.id.is_(None))
             .where(_NOVA.c.id > beyond))
    if project_id is not None:
        query = query.where(_NOVA.c.project_id == project_id)
    uuids = session.execute(query).scalars().all()
    if not uuids:
        return []
    return session.execute(
        sa.select(_NOVA).where(_NOVA.c.instance_uuid.in_(uuids))
        .where(has_no_cell(_NOVA.c.instance_uuid))
        .order_by(_NOVA.c.id)).fetchall()


def all_in_flight(session, before=None, project_id=None, uuid=None):
    """Return what is in flight, the oldest first, as it is in both tables.

    :param before: a datetime; only what was accepted until then
    :param project_id: only of this project
    :param uuid: only of this server
    :returns: a list of rows: the columns of the plugin's table, NULL where it
        has no row; ``mirror``, the JSON of the instance in Nova's, which is
        read only where it is needed; ``accepted_at``, ``project`` and
        ``server`` of either; ``spec`` and ``is_mapped``; ``cell``, the name
        of the cell or NULL
    """
    ours = sa.select(
        _TABLE, sa.null().label('mirror'),
        _TABLE.c.created_at.label('accepted_at'),
        _TABLE.c.project_id.label('project'),
        _TABLE.c.instance_uuid.label('server'),
        *_OF_SERVER).select_from(_with_server(_TABLE)).where(is_build())
    # What only Nova's table has.
    theirs = sa.select(
        _TABLE, _NOVA.c.instance.label('mirror'),
        _NOVA.c.created_at.label('accepted_at'),
        _NOVA.c.project_id.label('project'),
        _NOVA.c.instance_uuid.label('server'), *_OF_SERVER
    ).select_from(_with_server(_NOVA, _TABLE)).where(_TABLE.c.id.is_(None))
    found = []
    for query, table in ((ours, _TABLE), (theirs, _NOVA)):
        if before is not None:
            query = query.where(table.c.created_at <= before)
        if project_id is not None:
            query = query.where(table.c.project_id == project_id)
        if uuid is not None:
            query = query.where(table.c.instance_uuid == uuid)
        found += session.execute(query).fetchall()
    return sorted(found, key=lambda row: (
        row.accepted_at, row.id or 0, row.server))


def count_unmirrored(session):
    """Return how many builds never had a row in Nova's own table."""
    return session.execute(
        sa.select(sa.func.count()).select_from(_TABLE)
        .where(_TABLE.c.mirror_id.is_(None))).scalar()


def delete(session, instance_uuid, unmirrored=False):
    """Delete a build.

    :param unmirrored: only if it never had a row in Nova's own table
    :returns: whether there was one
    """
    query = sa.delete(_TABLE).where(_TABLE.c.instance_uuid == instance_uuid)
    if unmirrored:
        query = query.where(_TABLE.c.mirror_id.is_(None))
    found = bool(session.execute(query).rowcount)
    if found:
        _delete_items(session, [instance_uuid])
    return found


def delete_all(session, instance_uuids):
    """Delete the builds of these servers, of those that have one."""
    session.execute(sa.delete(_TABLE).where(
        _TABLE.c.instance_uuid.in_(instance_uuids)))
    _delete_items(session, instance_uuids)


def delete_mirror(session, instance_uuid):
    """Delete a build from Nova's own table, if it is there."""
    session.execute(sa.delete(_NOVA).where(
        _NOVA.c.instance_uuid == instance_uuid))


def insert_items(session, items):
    """Insert the tags and the metadata of a build.

    :param items: a list of dicts, column to value
    """
    if items:
        session.execute(sa.insert(_ITEMS), items)


def replace_items(session, instance_uuid, items):
    """As insert_items(), of a build that may have some."""
    _delete_items(session, [instance_uuid])
    insert_items(session, items)


def _delete_items(session, instance_uuids):
    session.execute(sa.delete(_ITEMS).where(
        _ITEMS.c.instance_uuid.in_(instance_uuids)))


def _with_server(builds, *others):
    joined = builds
    for table in others + (_SPECS, _MAPPINGS):
        joined = joined.outerjoin(
            table, table.c.instance_uuid == builds.c.instance_uuid)
    return joined.outerjoin(_CELLS, _CELLS.c.id == _MAPPINGS.c.cell_id)


def _builds():
    # As is_build() has it, with what the mirror tells.
    return sa.select(
        *_MARK, _TABLE.c.request_obj, _TABLE.c.key_data, _TABLE.c.user_data,
        _SPECS.c.spec, _NOVA.c.updated_at.label('mirror_updated_at')
    ).select_from(
        _TABLE
        .outerjoin(_SPECS, _SPECS.c.instance_uuid == _TABLE.c.instance_uuid)
        .outerjoin(_NOVA, _IS_MIRROR)
    ).where(sa.or_(_TABLE.c.mirror_id.is_(None), _NOVA.c.id.is_not(None)))
