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

"""The tables as version 001 makes them."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql


def _medium_text():
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), 'mysql')


_USER = {'charset': 'utf8mb4', 'collation': 'utf8mb4_general_ci'}


def _user_text(length):
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, **_USER), 'mysql')


def _medium_user_text():
    return sa.Text().with_variant(mysql.MEDIUMTEXT(**_USER), 'mysql')


def _record():
    return [
        sa.Column('created_at', sa.DateTime),
        sa.Column('updated_at', sa.DateTime),
        sa.Column('instance_uuid', sa.String(36), nullable=False),
        sa.Column('project_id', sa.String(255), nullable=True),
    ]


def _as_nova_has_it(bind):
    """Return options of a table: MySQL is to join it with those of Nova.

    It cannot compare columns of two collations. That of a character set is
    another one from MariaDB 11.5 on, where Nova's tables may be from before.
    """
    options = {'mysql_engine': 'InnoDB', 'mysql_charset': 'utf8mb3'}
    if bind.dialect.name != 'mysql':
        return options
    found = bind.execute(sa.text(
        'SELECT character_set_name, collation_name '
        'FROM information_schema.columns WHERE table_schema = DATABASE() '
        "AND (table_name = 'instances' AND column_name = 'uuid' OR "
        "table_name = 'instance_mappings' AND column_name = 'instance_uuid')"
    )).first()
    if found:
        options['mysql_charset'], options['mysql_collate'] = found
    return options


# MySQL commits each statement as it comes. A script that was broken off there
# is run again from its beginning, so each step looks whether it was done.

def _create_table(op, name, *args):
    bind = op.get_bind()
    if not sa.inspect(bind).has_table(name):
        op.create_table(
            name,
            sa.Column('id', sa.Integer, primary_key=True, autoincrement=True),
            *args, **_as_nova_has_it(bind))


def _create_index(op, name, table_name, columns):
    indexes = sa.inspect(op.get_bind()).get_indexes(table_name)
    if name not in [index['name'] for index in indexes]:
        op.create_index(name, table_name, columns)


def create_request_spec(op):
    """Create the table request_spec, of the API database and of cells."""
    _create_table(
        op, 'request_spec', *_record(),
        sa.Column('revision', sa.Integer, nullable=False),
        sa.Column('event', sa.String(36), nullable=False),
        sa.Column('spec', _medium_text(), nullable=False),
        sa.Column('pending', sa.Boolean, nullable=False),
        sa.Column('base_digest', sa.String(64), nullable=True),
        sa.UniqueConstraint('instance_uuid', 'revision',
                            name='uniq_request_spec0instance_uuid0revision'))


def create_build_request(op):
    """Create the table build_request, of the API database."""
    _create_table(
        op, 'build_request', *_record(),
        sa.Column('request_obj', _medium_text(), nullable=False),
        sa.Column('mirror_id', sa.Integer, nullable=True),
        sa.Column('user_id', sa.String(255)),
        sa.Column('display_name', _user_text(255)),
        sa.Column('display_description', _user_text(255)),
        sa.Column('hostname', _user_text(255)),
        sa.Column('image_ref', sa.String(255)),
        sa.Column('kernel_id', sa.String(255)),
        sa.Column('ramdisk_id', sa.String(255)),
        sa.Column('instance_type_id', sa.Integer),
        sa.Column('key_name', _user_text(255)),
        sa.Column('key_data', _medium_user_text()),
        sa.Column('user_data', _medium_text()),
        sa.Column('availability_zone', _user_text(255)),
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
        sa.Column('locked_by', sa.Enum('owner', 'admin',
                                       name='build_request0locked_by')),
        sa.UniqueConstraint('instance_uuid',
                            name='uniq_build_request0instance_uuid'))
    _create_index(op, 'build_request_created_at_idx', 'build_request',
                  ['created_at', 'id'])
    _create_index(op, 'build_request_project_id_created_at_idx',
                  'build_request', ['project_id', 'created_at', 'id'])


def create_build_request_item(op):
    """Create the table build_request_item, of the API database."""
    _create_table(
        op, 'build_request_item',
        sa.Column('instance_uuid', sa.String(36), nullable=False),
        sa.Column('kind', sa.String(16), nullable=False),
        sa.Column('name', _user_text(255)),
        sa.Column('value', _user_text(255)))
    _create_index(op, 'build_request_item_instance_uuid_idx',
                  'build_request_item', ['instance_uuid'])
