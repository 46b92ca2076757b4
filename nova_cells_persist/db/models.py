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

"""The tables of the plugin, as this code uses them.

Tables of SQLAlchemy Core: the plugin reads and writes whole rows inside the
transactions of Nova, and needs no identity map for that.
"""

from oslo_utils import timeutils
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from nova_cells_persist.db import database

#: What a MEDIUMTEXT of MySQL holds, in bytes. The same limit is kept on
#: every database, so that a row can be moved from one to the other.
MEDIUMTEXT_BYTES = 2 ** 24 - 1

#: The tables in which the migration engines note the version of a schema.
#: Not Nova's: 28 and newer drop ``migrate_version`` from both databases.
MIGRATE_VERSION_TABLE = 'nova_cells_persist_migrate'
ALEMBIC_VERSION_TABLE = 'nova_cells_persist_alembic_version'

metadata = sa.MetaData()


def medium_text():
    """Return the type of a text of up to MEDIUMTEXT_BYTES."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql')


# What a user chose may hold characters of four bytes. They are compared as
# Nova's tables compare those of three.
_USER = {'charset': 'utf8mb4', 'collation': 'utf8mb4_general_ci'}


def user_text(length):
    """Return the type of a text that a user chose.

    :param length: in characters
    """
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, **_USER), 'mysql')


def medium_user_text():
    """As medium_text(), of what a user chose."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(**_USER), 'mysql')


def _record(table_name, *args):
    return sa.Table(
        table_name, metadata,
        sa.Column('id', sa.Integer, primary_key=True, autoincrement=True),
        sa.Column('created_at', sa.DateTime, default=timeutils.utcnow),
        sa.Column('updated_at', sa.DateTime, onupdate=timeutils.utcnow),
        sa.Column('instance_uuid', sa.String(36), nullable=False),
        sa.Column('project_id', sa.String(255), nullable=True),
        *args,
        mysql_engine='InnoDB', mysql_charset='utf8mb3')


#: One row for each revision of a server's request spec; in the API database
#: until the server has a cell, then in that cell's.
request_spec = _record(
    'request_spec',
    sa.Column('revision', sa.Integer, nullable=False),
    sa.Column('event', sa.String(36), nullable=False),
    # The RequestSpec's primitive as JSON, without nova_object.changes.
    sa.Column('spec', medium_text(), nullable=False),
    # Written where the API database is out of reach: Nova's row does not
    # have it yet. base_digest is of the content that Nova's row had then.
    sa.Column('pending', sa.Boolean, nullable=False, default=False),
    sa.Column('base_digest', sa.String(64), nullable=True),
    sa.UniqueConstraint('instance_uuid', 'revision',
                        name='uniq_request_spec0instance_uuid0revision'),
)

#: One row for each server that has no cell yet; in the API database.
build_request = _record(
    'build_request',
    # What an instance show needs and the RequestSpec does not have, as JSON.
    sa.Column('request_obj', medium_text(), nullable=False),
    # The id of Nova's own row, NULL if none was written. It tells a row that
    # a node without the plugin has deleted from one that never was.
    sa.Column('mirror_id', sa.Integer, nullable=True),
    # What Nova's API filters and sorts servers by, named as in instances.
    # All that a server can have before it is in a cell.
    sa.Column('user_id', sa.String(255)),
    sa.Column('display_name', user_text(255)),
    sa.Column('display_description', user_text(255)),
    sa.Column('hostname', user_text(255)),
    sa.Column('image_ref', sa.String(255)),
    sa.Column('kernel_id', sa.String(255)),
    sa.Column('ramdisk_id', sa.String(255)),
    sa.Column('instance_type_id', sa.Integer),
    sa.Column('key_name', user_text(255)),
    sa.Column('key_data', medium_user_text()),
    sa.Column('user_data', medium_text()),
    sa.Column('availability_zone', user_text(255)),
    sa.Column('config_drive', sa.String(255)),
    sa.Column('root_device_name', sa.String(255)),
    sa.Column('default_ephemeral_device', sa.String(255)),
    sa.Column('default_swap_device', sa.String(255)),
    sa.Column('memory_mb', sa.Integer),
    sa.Column('vcpus', sa.Integer),
    sa.Column('root_gb', sa.Integer),
    sa.Column('ephemeral_gb', sa.Integer),
    sa.Column('ephemeral_key_uuid', sa.String(36)),
    sa.Column('os_type', sa.String(255)),
    sa.Column('architecture', sa.String(255)),
    sa.Column('vm_mode', sa.String(255)),
    sa.Column('reservation_id', sa.String(255)),
    sa.Column('launch_index', sa.Integer),
    sa.Column('access_ip_v4', sa.String(39)),
    sa.Column('access_ip_v6', sa.String(39)),
    sa.Column('auto_disk_config', sa.Boolean),
    sa.Column('vm_state', sa.String(255)),
    sa.Column('task_state', sa.String(255)),
    sa.Column('power_state', sa.Integer),
    sa.Column('progress', sa.Integer),
    sa.Column('locked', sa.Boolean),
    # Which sorts as it was listed, not as it is spelt.
    sa.Column('locked_by', sa.Enum('owner', 'admin',
                                   name='build_request0locked_by')),
    sa.UniqueConstraint('instance_uuid',
                        name='uniq_build_request0instance_uuid'),
    # The order in which servers are listed, of one project and of all.
    sa.Index('build_request_project_id_created_at_idx', 'project_id',
             'created_at', 'id'),
    sa.Index('build_request_created_at_idx', 'created_at', 'id'),
)

#: The tags and the metadata of a build, each in a row; in the API database.
build_request_item = sa.Table(
    'build_request_item', metadata,
    sa.Column('id', sa.Integer, primary_key=True, autoincrement=True),
    sa.Column('instance_uuid', sa.String(36), nullable=False),
    sa.Column('kind', sa.String(16), nullable=False),
    # Of a tag itself.
    sa.Column('name', user_text(255)),
    sa.Column('value', user_text(255)),
    sa.Index('build_request_item_instance_uuid_idx', 'instance_uuid'),
    mysql_engine='InnoDB', mysql_charset='utf8mb3')

#: The columns of build_request that are read off the instance.
INSTANCE_COLUMNS = tuple(
    column.name
    for column in list(build_request.columns)[
        list(build_request.columns).index(build_request.c.user_id):])

#: Which tables stand in which kind of database.
TABLES = {
    database.API: (request_spec, build_request, build_request_item),
    database.CELL: (request_spec,),
}

#: Every name that the plugin may leave in a database of Nova.
TABLE_NAMES = frozenset(
    [table.name for table in metadata.tables.values()] +
    [MIGRATE_VERSION_TABLE, ALEMBIC_VERSION_TABLE])


def metadata_of(kind):
    """Return a MetaData with just the tables of that kind of database."""
    result = sa.MetaData()
    for table in TABLES[kind]:
        table.to_metadata(result)
    return result
