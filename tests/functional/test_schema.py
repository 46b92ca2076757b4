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


"""The tables on a database server; see test_migrations for SQLite."""

from oslo_db.sqlalchemy import enginefacade
from oslotest import base as test_base
import sqlalchemy as sa
import testtools

from nova import context as nova_context

from nova_cells_persist.db import database
from nova_cells_persist.db import migration
from nova_cells_persist.db import models

from tests.functional import base
from tests.functional import test_migrations
from tests import servers

#: One that is not the default of its character set.
COLLATION = 'utf8mb3_unicode_ci'


@testtools.skipUnless(base.KIND, 'of SQLite: test_migrations')
class SchemaTest(test_base.BaseTestCase):

    def empty(self, kind):
        """Return an engine of a database of its own."""
        name = 'schema_' + kind
        manager = enginefacade.transaction_context()
        manager.configure(connection=servers.shared(base.KIND).create(name))
        engine = manager.writer.get_engine()
        self.addCleanup(engine.dispose)
        return engine

    def made(self, kind):
        """Return an engine of a database with Nova's tables."""
        engine = self.empty(kind)
        test_migrations.nova_sync(kind, engine)
        return engine

    def names(self, engine):
        return models.TABLE_NAMES & set(sa.inspect(engine).get_table_names())

    def test_from_the_first_to_the_last(self):
        for kind in (database.API, database.CELL):
            engine = self.made(kind)
            schema = migration.Schema(kind, kind, engine)
            self.assertIsNone(schema.sync())
            self.assertLess({table.name for table in models.TABLES[kind]},
                            self.names(engine))
            self.assertEqual([], schema.differences())
            self.assertEqual(schema.needed, schema.sync())
            schema.drop()
            self.assertEqual(set(), self.names(engine))
            schema.sync()
            self.assertEqual([], schema.differences())

    @testtools.skipUnless(base.KIND == 'mariadb', 'of MySQL alone')
    def test_another_collation_by_now(self):
        """As where Nova's tables are older than MariaDB 11.5."""
        for kind, table, column in (
                (database.API, 'instance_mappings', 'instance_uuid'),
                (database.CELL, 'instances', 'uuid')):
            engine = self.empty(kind)
            with engine.begin() as connection:
                connection.execute(sa.text(
                    'CREATE TABLE %s (%s VARCHAR(36) CHARACTER SET utf8mb3 '
                    'COLLATE %s NOT NULL)' % (table, column, COLLATION)))
            schema = migration.Schema(kind, kind, engine)
            schema.sync()
            self.assertEqual([], schema.differences())
            for ours in models.TABLES[kind]:
                self.join(engine, ours.name, table, column)

    @testtools.skipUnless(base.KIND == 'mariadb', 'of MySQL alone')
    def test_made_in_another_collation(self):
        engine = self.made(database.API)
        schema = migration.Schema(database.API, 'API database', engine)
        schema.sync()
        with engine.begin() as connection:
            connection.execute(sa.text(
                'ALTER TABLE build_request MODIFY instance_uuid VARCHAR(36) '
                'CHARACTER SET utf8mb3 COLLATE %s NOT NULL' % COLLATION))
        [difference] = schema.differences()
        self.assertIn('build_request.instance_uuid: collation is ' + COLLATION,
                      difference)
        with engine.begin() as connection:
            connection.execute(sa.text(difference.split('"')[1]))
        self.assertEqual([], schema.differences())
        self.join(engine, 'build_request', 'instance_mappings',
                  'instance_uuid')

    @testtools.skipUnless(base.KIND == 'mariadb', 'of MySQL alone')
    def test_server_that_logs_statements(self):
        """It takes no write of a transaction that locks no gaps."""
        server = self.useFixture(servers.MariaDB(options=(
            '--log-bin=binlog', '--binlog-format=STATEMENT', '--server-id=1')))
        manager = enginefacade.transaction_context()
        manager.configure(connection=server.create('logged'))
        with manager.writer.using(nova_context.get_admin_context()) as session:
            database.lock_no_gaps(session)
            session.execute(sa.text('CREATE TABLE t (id INT) ENGINE=InnoDB'))
            session.execute(sa.text('INSERT INTO t VALUES (1)'))

    def join(self, engine, ours, theirs, column):
        with engine.connect() as connection:
            connection.execute(sa.text(
                'SELECT 1 FROM %s JOIN %s ON %s.instance_uuid = %s.%s' % (
                    ours, theirs, ours, theirs, column))).all()
