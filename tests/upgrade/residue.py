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

"""Whether a server is whole, and what is left of one, told by databases."""

import json

import sqlalchemy as sa

from tests.functional import cloud_databases

#: The columns in which a table has the uuid of a server.
COLUMNS = ('instance_uuid', 'uuid')


def losses(databases, server, flavor):
    """Return what a server that lives does not have, a list of str.

    :param databases: a CloudDatabases
    :param server: its uuid
    :param flavor: the name of the one that it has
    """
    wrong = ['%d living rows in instances of %s' % (found, name)
             for name, wanted in (('cell0', 0), ('cell1', 1))
             for found in [len(_instances(databases, name, server))]
             if found != wanted]
    cells = databases.rows(
        'api', 'SELECT name FROM instance_mappings JOIN cell_mappings '
        'ON cell_mappings.id = cell_id WHERE instance_uuid = :server',
        server=server)
    if cells != [{'name': 'cell1'}]:
        wrong.append('mapped to %s' % cells)
    specs = databases.rows('api', 'SELECT spec FROM request_specs '
                           'WHERE instance_uuid = :server', server=server)
    flavors = [flavor_of(row['spec']) for row in specs]
    if flavors != [flavor]:
        wrong.append('request_specs has the flavors %s, not %s' % (
            flavors, flavor))
    return ['%s: %s' % (server, each) for each in wrong]


def flavor_of(spec):
    """Return the name of the flavor in the JSON of a request spec."""
    data = json.loads(spec)['nova_object.data']
    return data['flavor']['nova_object.data']['name']


def of(databases, servers):
    """Return what there is of servers in any table but shadows.

    :returns: {'database.table': number of rows}, without those that have none
    """
    found = {}
    for name in cloud_databases.NAMES:
        inspector = sa.inspect(databases.engine(name))
        for table in inspector.get_table_names():
            if table.startswith('shadow_'):
                continue
            columns = {column['name'] for column in
                       inspector.get_columns(table)}
            for column in columns.intersection(COLUMNS):
                number = _number(databases, name, table, column, servers)
                if number:
                    found['%s.%s' % (name, table)] = number
    return found


def _number(databases, name, table, column, servers):
    statement = sa.select(sa.func.count()).select_from(
        sa.table(table)).where(sa.column(column).in_(servers))
    with databases.engine(name).connect() as connection:
        return connection.execute(statement).scalar()


def _instances(databases, name, server):
    return databases.rows(name, 'SELECT id FROM instances WHERE uuid = '
                          ':server AND deleted = 0', server=server)
