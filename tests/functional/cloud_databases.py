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

"""The databases of a cloud of one cell, on whatever server they are."""

import os
import shutil

import sqlalchemy as sa

from tests.functional import process

NAMES = ('api', 'cell0', 'cell1')


class CloudDatabases:
    """The API database, and those of cell0 and of cell1.

    :param urls: {one of NAMES: URL}
    """

    def __init__(self, urls):
        self.urls = urls

    @property
    def are_files(self):
        """Whether they are on SQLite."""
        return self.urls['api'].startswith('sqlite')

    def engine(self, name):
        """Return an engine that keeps no connection."""
        return sa.create_engine(self.urls[name], poolclass=sa.pool.NullPool)

    def rows(self, database, statement, **parameters):
        """Return what a statement finds, a list of dicts."""
        with self.engine(database).connect() as connection:
            return [dict(row._mapping) for row in connection.execute(
                sa.text(statement), parameters)]

    def change(self, database, statement, **parameters):
        """Run a statement that changes something."""
        with self.engine(database).begin() as connection:
            connection.execute(sa.text(statement), parameters)

    def tables(self, name):
        """Return the names of the tables, a set."""
        return set(sa.inspect(self.engine(name)).get_table_names())

    def never_wait(self):
        """Let nobody wait for a reader, on SQLite."""
        for name in NAMES:
            self.change(name, 'PRAGMA journal_mode = WAL')

    def map_cells(self):
        """Have the cell mappings name these databases."""
        for name in ('cell0', 'cell1'):
            self.change('api', 'UPDATE cell_mappings SET database_connection '
                        '= :url WHERE name = :name', url=self.urls[name],
                        name=name)

    def map_hosts(self, transport_url, hosts):
        """Map these hosts to cell1, unless they are.

        As "nova-manage cell_v2 discover_hosts" does for those that have come.
        """
        self.change('api', 'UPDATE cell_mappings SET transport_url = :url '
                    "WHERE name = 'cell1'", url=transport_url)
        known = {row['host'] for row in self.rows(
            'api', 'SELECT host FROM host_mappings')}
        for host in sorted(set(hosts) - known):
            self.change('api', 'INSERT INTO host_mappings (cell_id, host) '
                        'SELECT id, :host FROM cell_mappings '
                        "WHERE name = 'cell1'", host=host)


def copied(folder, with_tables):
    """Return the databases of a new cloud, on SQLite.

    :param folder: where their files are put
    :param with_tables: whether the tables of the plugin are there
    """
    bare, ready, _ = process.new_cloud()
    urls = {}
    for name in NAMES:
        shutil.copy(os.path.join(ready if with_tables else bare,
                                 name + '.db'), folder)
        urls[name] = file_url(folder, name)
    made = CloudDatabases(urls)
    made.never_wait()
    made.map_cells()
    return made


def file_url(folder, name):
    """Return the URL of a database of SQLite in a folder."""
    return 'sqlite:///%s?timeout=60' % os.path.join(folder, name + '.db')
