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

"""Statements that go through all servers, in the order of their uuids.

Each Stream is what one kind of table knows, read page by page: a page is the
rows after a uuid, and no transaction is longer than one. All streams of all
databases have the same order, so that what they know of one server meets.
"""

import collections

import sqlalchemy as sa

from nova.db.api import models as api_models
from nova.db.main import models as main_models

from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import models

_MAPPINGS = api_models.InstanceMapping.__table__
_SPECS = api_models.RequestSpec.__table__
_MIRRORS = api_models.BuildRequest.__table__
_MEMBERS = api_models.InstanceGroupMember.__table__
_GROUPS = api_models.InstanceGroup.__table__
_REVISIONS = models.request_spec
_BUILDS = models.build_request
_INSTANCES = main_models.Instance.__table__
_SERVICES = main_models.Service.__table__
_COMPUTE_NODES = main_models.ComputeNode.__table__
_HOSTS = api_models.HostMapping.__table__

#: The project of the mapping in which nova/cmd/manage.py notes how far its
#: map_instances has come.
_MARKER = 'INSTANCE_MIGRATION_MARKER'

#: ``select`` is the statement, ``row`` what its rows are: a namedtuple, whose
#: attributes are looked up ten times as fast as those of SQLAlchemy's Row.
#: Every row begins with a uuid, and has ``recent``: whether it was written
#: after the time that is given.
Stream = collections.namedtuple('Stream', 'name select row')


def page(session, stream, after, until, limit, since, landed):
    """Return the next rows of a stream.

    :param after: the uuid after which they begin
    :param until: the last uuid
    :param limit: of the number of rows
    :param since: a datetime; what was written later is recent, nothing if None
    :param landed: likewise; what was mapped later may be landing
    :returns: a list of stream.row
    """
    return list(map(stream.row._make, session.connection().execute(
        stream.select, {'after': after, 'until': until, 'since': since,
                        'landed': landed, 'number': limit})))


def mapped_cells(session):
    """Return the ids of the cells that any server is mapped to.

    :returns: a set of int
    """
    return set(session.execute(
        sa.select(_MAPPINGS.c.cell_id).distinct()
        .where(_MAPPINGS.c.cell_id.is_not(None))).scalars())


def has_instances(session):
    """Whether a cell's database has any server, if only a deleted one."""
    return session.execute(
        sa.select(_INSTANCES.c.id).limit(1)).first() is not None


def services(session):
    """Return the services that have registered in a cell's database.

    Each does so in one database only, under a uuid that it is given there.

    :returns: a set of uuids
    """
    return set(session.execute(
        sa.select(_SERVICES.c.uuid).where(_SERVICES.c.deleted == 0)
        .where(_SERVICES.c.uuid.is_not(None))).scalars())


def hosts(session):
    """Return the hosts of the compute nodes of a cell, a set."""
    return set(session.execute(
        sa.select(_COMPUTE_NODES.c.host).distinct()
        .where(_COMPUTE_NODES.c.deleted == 0)
        .where(_COMPUTE_NODES.c.host.is_not(None))).scalars())


def mapped_hosts(session):
    """Return the hosts that are mapped to cells.

    :returns: {id of a cell: a set of hosts}, of the cells that have any
    """
    found = collections.defaultdict(set)
    for cell, host in session.execute(
            sa.select(_HOSTS.c.cell_id, _HOSTS.c.host)):
        found[cell].add(host)
    return found


def number_of_mappings(session):
    """Return how many servers are mapped, to a cell or to none yet."""
    return session.execute(
        sa.select(sa.func.count()).select_from(_MAPPINGS)).scalar()


def _recent(*columns):
    since = sa.bindparam('since', type_=sa.DateTime)
    return sa.or_(*[sa.func.coalesce(column, since) > since
                    for column in columns]).label('recent')


def _stream(name, select, key):
    select = (select.where(key > sa.bindparam('after'))
              .where(key <= sa.bindparam('until'))
              .order_by(key).limit(sa.bindparam('number', type_=sa.Integer)))
    return Stream(name, select, collections.namedtuple(
        name, select.selected_columns.keys()))


def _written(table):
    return table.c.created_at, table.c.updated_at


def _newest(table):
    return map(sa.func.max, _written(table))


def _mappings():
    """Servers with their mapping and Nova's row of the request spec.

    Not that of no server.
    """
    key = _MAPPINGS.c.instance_uuid
    project = sa.func.coalesce(_MAPPINGS.c.project_id, '')
    # Compared there: to make a datetime of each would take longer than all
    # else that is read of a mapping.
    mapped_at = sa.func.coalesce(_MAPPINGS.c.updated_at,
                                 _MAPPINGS.c.created_at)
    may_land = mapped_at > sa.bindparam('landed', type_=sa.DateTime)
    return _stream('mapping', sa.select(
        key, _MAPPINGS.c.cell_id, _MAPPINGS.c.queued_for_delete,
        may_land.label('may_land'), _SPECS.c.spec,
        _recent(*_written(_MAPPINGS), *_written(_SPECS)),
    ).select_from(_MAPPINGS.outerjoin(
        _SPECS, _SPECS.c.instance_uuid == key)
    ).where(project != _MARKER), key)


def _members():
    """Servers that are in a server group."""
    key = _MEMBERS.c.instance_uuid
    return _stream('member', sa.select(
        key, _GROUPS.c.uuid.label('group'), _recent(*_written(_MEMBERS)),
    ).select_from(_MEMBERS.join(
        _GROUPS, _GROUPS.c.id == _MEMBERS.c.group_id)), key)


def _specs_without_mapping():
    key = _SPECS.c.instance_uuid
    return _stream('spec', sa.select(
        key, _SPECS.c.spec, _recent(*_written(_SPECS)),
    ).select_from(_SPECS.outerjoin(
        _MAPPINGS, _MAPPINGS.c.instance_uuid == key)
    ).where(_MAPPINGS.c.id.is_(None)), key)


def _waiting():
    """Servers that have revisions in the API database."""
    key = _REVISIONS.c.instance_uuid
    return _stream('waiting', sa.select(
        key, _recent(*_newest(_REVISIONS))).group_by(key), key)


def _builds():
    key = _BUILDS.c.instance_uuid
    return _stream('build', sa.select(
        key, _BUILDS.c.created_at, db_build.is_build().label('is_build'),
        _BUILDS.c.mirror_id.is_not(None).label('was_mirrored'),
        _recent(*_written(_BUILDS))), key)


def _mirrors():
    key = _MIRRORS.c.instance_uuid
    return _stream('mirror', sa.select(
        key, _MIRRORS.c.created_at, _recent(*_written(_MIRRORS))), key)


def _instances():
    """Servers of a cell, each with its newest revision."""
    key = _INSTANCES.c.uuid
    all_of_it = _REVISIONS.alias()
    newest = sa.select(sa.func.max(all_of_it.c.revision)).where(
        all_of_it.c.instance_uuid == key).scalar_subquery()
    return _stream('instance', sa.select(
        key, _INSTANCES.c.deleted, _INSTANCES.c.hidden,
        _INSTANCES.c.vm_state, _INSTANCES.c.task_state, _INSTANCES.c.host,
        _INSTANCES.c.launched_at.is_not(None).label('was_launched'),
        _INSTANCES.c.instance_type_id, _INSTANCES.c.image_ref,
        _INSTANCES.c.availability_zone, _REVISIONS.c.revision,
        _REVISIONS.c.pending, _REVISIONS.c.base_digest, _REVISIONS.c.spec,
        _recent(*_written(_INSTANCES), *_written(_REVISIONS)),
    ).select_from(_INSTANCES.outerjoin(_REVISIONS, sa.and_(
        _REVISIONS.c.instance_uuid == key,
        _REVISIONS.c.revision == newest))), key)


def _strays():
    """Servers that a cell does not have, and has revisions of."""
    key = _REVISIONS.c.instance_uuid
    return _stream('stray', sa.select(
        key, _recent(*_newest(_REVISIONS))
    ).select_from(_REVISIONS.outerjoin(_INSTANCES, _INSTANCES.c.uuid == key)
    ).where(_INSTANCES.c.id.is_(None)).group_by(key), key)


#: What there is in the API database, and in the database of a cell.
API = (_mappings(), _specs_without_mapping(), _members(), _waiting(),
       _builds(), _mirrors())
CELL = (_instances(), _strays())
