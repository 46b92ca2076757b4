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

"""Have Nova's test fixtures use the databases of a server."""

import functools
import importlib

import fixtures
import sqlalchemy as sa

from nova.db import migration

from tests import servers

#: The databases of a cloud, in the order in which Nova's fixtures make them.
NAMES = ('api', 'cell0', 'cell1', 'cell2')


class Databases(fixtures.Fixture):
    """Have Nova's fixtures use these databases, in place of SQLite files.

    :param urls: of the API's, cell0's, then those of the cells. One that has
        Nova's tables already is emptied
    """

    def __init__(self, urls):
        super().__init__()
        self._urls = iter(urls)

    def _setUp(self):
        # As an attribute of its package that name is Nova itself.
        module = importlib.import_module('nova.tests.fixtures.nova')
        for owner, name, replacement in (
                (module, '_use_file_backed_sqlite_with_wal', self._next),
                (module.Database, '_apply_schema', _prepare),
                (module.CellDatabases, '_cache_schema', _prepare),
                # A server lets its writers wait for each other by itself.
                (module, 'DatabaseWriteLock', fixtures.Fixture)):
            self.useFixture(fixtures.MockPatchObject(
                owner, name, replacement))

    def _next(self, name):
        return next(self._urls), None


class OfServer(Databases):
    """Databases on the server that all tests of this process share.

    :param kind: one of servers.KINDS
    """

    def __init__(self, kind):
        super().__init__(_urls(kind))


@functools.lru_cache(maxsize=None)
def _urls(kind):
    server = servers.shared(kind)
    return [server.create('nova_' + name) for name in NAMES]


def _prepare(fixture, connection=None):
    database = getattr(fixture, 'database', 'main')
    engine = migration._get_engine(database)
    tables = set(sa.inspect(engine).get_table_names()) - {'alembic_version'}
    if tables:
        _empty(engine, tables)
    else:
        migration.db_sync(database=database)


def _empty(engine, tables):
    with engine.begin() as connection:
        if engine.dialect.name == 'postgresql':
            connection.execute(sa.text(
                'TRUNCATE %s RESTART IDENTITY' % ', '.join(tables)))
            return
        connection.execute(sa.text('SET FOREIGN_KEY_CHECKS = 0'))
        for table in tables:
            connection.execute(sa.text('DELETE FROM %s' % table))
        connection.execute(sa.text('SET FOREIGN_KEY_CHECKS = 1'))
