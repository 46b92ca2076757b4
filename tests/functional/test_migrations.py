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

"""The tables in databases of every history, with both migration engines."""

import atexit
import functools
import os
import shutil
import tempfile

import fixtures
from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import enginefacade
from oslotest import base
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite
from sqlalchemy import schema as sa_schema
import testscenarios
import testtools

from nova.db import migration as nova_migration

from nova_cells_persist.db import migration
from nova_cells_persist.db import migrators
from nova_cells_persist.db import models
from nova_cells_persist.db_migrations import initial
from nova_cells_persist import exception
from nova_cells_persist import fixture
from nova_cells_persist import releases
from nova_cells_persist import setup_error

load_tests = testscenarios.load_tests_apply_scenarios

RELEASE = releases.nova_release()
HAS_MIGRATE = RELEASE < migrators.FIRST_WITH_ALEMBIC
ENGINES = [('alembic', {'release': migrators.FIRST_WITH_ALEMBIC})]
if HAS_MIGRATE:
    ENGINES.append(('sqlalchemy-migrate', {'release': RELEASE}))
KINDS = [(kind, {'kind': kind}) for kind in ('api', 'cell')]

NOVA_NAMES = {'api': 'api', 'cell': 'main'}

# Of the process: that of each test is emptied after it.
TEMP = tempfile.gettempdir()

DIALECTS = (sqlite.dialect(), mysql.dialect(), postgresql.dialect())


def engine_of(path):
    """Return an engine such as Nova would make, of a file of SQLite."""
    manager = enginefacade.transaction_context()
    manager.configure(connection='sqlite:///' + path)
    return manager.writer.get_engine()


def nova_sync(kind, engine):
    """Run Nova's own migrations."""
    with fixtures.MonkeyPatch('nova.db.migration._get_engine',
                              lambda *args, **kwargs: engine):
        nova_migration.db_sync(database=NOVA_NAMES[kind])


@functools.lru_cache
def nova_database(kind):
    """Return a file with the tables of Nova, made once for each process."""
    folder = tempfile.mkdtemp(dir=TEMP)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = os.path.join(folder, kind)
    engine = engine_of(path)
    nova_sync(kind, engine)
    engine.dispose()
    return path


def schema_of(engine, without=()):
    """Return {(type, name): SQL} of all that is in a database."""
    with engine.connect() as connection:
        return {(row.type, row.name): row.sql for row in connection.execute(
            sa.text('SELECT type, name, tbl_name, sql FROM sqlite_master'))
            if row.tbl_name not in without}


def names_in(engine):
    return set(sa.inspect(engine).get_table_names())


def make_as_migrate_does(kind, engine, version=1):
    """Make what sqlalchemy-migrate 0.13.0 leaves, where it cannot run."""
    models.metadata_of(kind).create_all(engine)
    noted = sa.Table(
        models.MIGRATE_VERSION_TABLE, sa.MetaData(),
        sa.Column('repository_id', sa.String(250), primary_key=True),
        sa.Column('repository_path', sa.Text),
        sa.Column('version', sa.Integer))
    with engine.begin() as connection:
        noted.create(connection)
        connection.execute(noted.insert().values(
            repository_id='nova_cells_persist_' + kind,
            repository_path=migration.repository(kind), version=version))


class MigrationsTestCase(base.BaseTestCase):

    kind = 'api'
    release = releases.nova_release()

    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.use_release(self.release)

    def use_release(self, release):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_cells_persist.releases.nova_release', lambda: release))

    def database(self, template=None):
        path = tempfile.mktemp(dir=self.folder)
        if template:
            shutil.copyfile(template, path)
        engine = engine_of(path)
        self.addCleanup(engine.dispose)
        return engine

    def schema(self, engine):
        return migration.Schema(self.kind, 'database of the test', engine)

    def execute(self, engine, *statements):
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def assertCurrent(self, engine):
        schema = self.schema(engine)
        schema.require_current()
        self.assertEqual('001', schema.version())
        self.assertEqual([], schema.differences())
        for table in models.TABLES[self.kind]:
            self.assertIn(table.name, names_in(engine))


class SyncTestCase(MigrationsTestCase):

    scenarios = testscenarios.multiply_scenarios(ENGINES, KINDS)

    def test_from_nothing(self):
        engine = self.database()
        schema = self.schema(engine)
        self.assertIsNone(schema.version())
        self.assertRaises(setup_error.SchemaNotReady, schema.require_current)
        self.assertIsNone(schema.sync())
        self.assertCurrent(engine)

    def test_only_the_tables_of_that_kind(self):
        engine = self.database()
        self.schema(engine).sync()
        expected = {table.name for table in models.TABLES[self.kind]}
        self.assertEqual(expected, names_in(engine) - {
            models.MIGRATE_VERSION_TABLE, models.ALEMBIC_VERSION_TABLE})
        self.assertEqual(set(), names_in(engine) - models.TABLE_NAMES)

    def test_again(self):
        engine = self.database()
        self.schema(engine).sync()
        before = schema_of(engine)
        self.assertEqual('001', self.schema(engine).sync())
        self.assertEqual(before, schema_of(engine))
        self.assertCurrent(engine)

    def test_no_answer(self):
        # Never taken for a database without tables: a service would refuse
        # to start because of a cell that is down.
        engine = engine_of(os.path.join(self.folder, 'later'))
        engine.dispose()
        shutil.rmtree(self.folder)
        for function in (self.schema(engine).version,
                         self.schema(engine).require_current,
                         self.schema(engine).differences,
                         self.schema(engine).sync,
                         self.schema(engine).drop):
            self.assertRaises(db_exc.DBError, function)

    def test_keeps_rows(self):
        engine = self.database()
        self.schema(engine).sync()
        self.execute(engine,
                     'INSERT INTO request_spec (instance_uuid, revision, '
                     "event, spec, pending) VALUES ('u', 1, 'e', 's', 0)")
        self.schema(engine).sync()
        with engine.connect() as connection:
            self.assertEqual(1, connection.execute(
                sa.text('SELECT count(*) FROM request_spec')).scalar())

    def test_as_the_models_make_them(self):
        migrated, created = self.database(), self.database()
        self.schema(migrated).sync()
        fixture.make_tables(self.kind, created)
        self.assertEqual(schema_of(migrated), schema_of(created))
        self.assertCurrent(created)

    def test_after_nova(self):
        engine = self.database(nova_database(self.kind))
        before = schema_of(engine)
        self.schema(engine).sync()
        self.assertCurrent(engine)
        self.assertEqual(before, schema_of(engine, models.TABLE_NAMES))
        nova_sync(self.kind, engine)
        self.assertCurrent(engine)

    def test_drop_beside_nova(self):
        engine = self.database(nova_database(self.kind))
        before = schema_of(engine)
        self.schema(engine).sync()
        ours = sorted(names_in(engine) & models.TABLE_NAMES)
        self.assertEqual(ours, self.schema(engine).drop())
        self.assertEqual(before, schema_of(engine))
        self.assertIsNone(self.schema(engine).version())
        self.assertEqual([], self.schema(engine).drop())
        self.assertIsNone(self.schema(engine).sync())
        self.assertCurrent(engine)


class BeforeNovaTestCase(MigrationsTestCase):

    scenarios = KINDS

    def test_before_nova(self):
        engine = self.database()
        self.schema(engine).sync()
        ours = schema_of(engine)
        nova_sync(self.kind, engine)
        self.assertCurrent(engine)
        if self.kind == 'cell':
            # It has made an empty shadow of each table that was there.
            self.assertIn('shadow_request_spec', names_in(engine))
        self.schema(engine).sync()
        self.assertCurrent(engine)
        found = schema_of(engine)
        self.assertEqual(ours, {key: found[key] for key in ours})
        # By name: in what order Nova names constraints is left to chance.
        stock = schema_of(self.database(nova_database(self.kind)))
        self.assertEqual({*stock, *ours}, set(found))
        self.schema(engine).drop()
        self.assertEqual(set(stock), set(schema_of(engine)))

    def test_drop_before_another_sync(self):
        engine = self.database()
        self.schema(engine).sync()
        nova_sync(self.kind, engine)
        self.schema(engine).drop()
        stock = schema_of(self.database(nova_database(self.kind)))
        self.assertEqual(set(stock), set(schema_of(engine)))


class CheckTestCase(MigrationsTestCase):

    scenarios = ENGINES

    def setUp(self):
        super().setUp()
        self.engine = self.database()
        self.schema(self.engine).sync()

    def assertDifferences(self, *expected):
        self.assertEqual(list(expected),
                         self.schema(self.engine).differences())

    def test_missing_column(self):
        self.execute(self.engine,
                     'ALTER TABLE build_request DROP COLUMN launch_index')
        self.assertDifferences(
            'column build_request.launch_index is missing')

    def test_extra_column(self):
        self.execute(self.engine,
                     'ALTER TABLE request_spec ADD COLUMN extra INTEGER')
        self.assertDifferences('column request_spec.extra is not expected')

    def test_missing_table(self):
        self.execute(self.engine, 'DROP TABLE request_spec')
        self.assertDifferences('table request_spec is missing')

    def test_missing_index(self):
        self.execute(self.engine, 'DROP INDEX build_request_created_at_idx')
        self.assertDifferences(
            'index build_request.build_request_created_at_idx is missing')

    def test_missing_constraint(self):
        self.execute(self.engine, 'DROP TABLE request_spec')
        bare = sa.Table('request_spec', sa.MetaData(), *[
            column.copy() if hasattr(column, 'copy') else column._copy()
            for column in models.request_spec.columns])
        with self.engine.begin() as connection:
            bare.create(connection)
        self.assertDifferences(
            'constraint request_spec.'
            'uniq_request_spec0instance_uuid0revision is missing')

    def test_changed_column(self):
        self.execute(
            self.engine,
            'ALTER TABLE build_request DROP COLUMN progress',
            "ALTER TABLE build_request ADD COLUMN progress VARCHAR(9) "
            "NOT NULL DEFAULT ''")
        found, = self.schema(self.engine).differences()
        self.assertIn('build_request.progress: nullable is False, not True',
                      found)
        self.assertIn('build_request.progress: type is VARCHAR(9), not '
                      'INTEGER', found)

    def test_tables_of_others(self):
        self.execute(self.engine, 'CREATE TABLE theirs (id INTEGER)')
        self.assertDifferences()


class TakeOverTestCase(MigrationsTestCase):
    """A database that sqlalchemy-migrate has made, under alembic."""

    scenarios = KINDS
    release = migrators.FIRST_WITH_ALEMBIC

    def made_by_migrate(self):
        engine = self.database(nova_database(self.kind))
        if HAS_MIGRATE:
            migrators.Migrate(migration.repository(self.kind),
                              releases.nova_release()).upgrade(engine)
        else:
            make_as_migrate_does(self.kind, engine)
        return engine

    def test_is_current_before(self):
        engine = self.made_by_migrate()
        self.assertCurrent(engine)
        self.assertNotIn(models.ALEMBIC_VERSION_TABLE, names_in(engine))

    def test_taken_over(self):
        engine = self.made_by_migrate()
        before = schema_of(engine, [models.ALEMBIC_VERSION_TABLE])
        self.assertEqual('001', self.schema(engine).sync())
        self.assertCurrent(engine)
        self.assertEqual(
            before, schema_of(engine, [models.ALEMBIC_VERSION_TABLE]))
        self.execute(engine, 'DROP TABLE ' + models.MIGRATE_VERSION_TABLE)
        self.assertCurrent(engine)

    def test_broken_off(self):
        # alembic has made its table and noted nothing in it.
        engine = self.made_by_migrate()
        self.execute(engine, 'CREATE TABLE %s (version_num VARCHAR(32))' %
                     models.ALEMBIC_VERSION_TABLE)
        self.assertEqual('001', self.schema(engine).sync())
        self.assertCurrent(engine)

    def test_ahead(self):
        engine = self.made_by_migrate()
        self.execute(engine, 'UPDATE %s SET version = 7' %
                     models.MIGRATE_VERSION_TABLE)
        self.assertRaises(setup_error.SchemaAhead, self.schema(engine).sync)
        self.assertNotIn(models.ALEMBIC_VERSION_TABLE, names_in(engine))

    def test_controlled_but_empty(self):
        # sqlalchemy-migrate notes version 0 before it runs its first script.
        engine = self.database()
        make_as_migrate_does(self.kind, engine, version=0)
        models.metadata_of(self.kind).drop_all(engine)
        self.assertIsNone(self.schema(engine).version())
        self.schema(engine).sync()
        self.assertCurrent(engine)

    def test_drop(self):
        engine = self.made_by_migrate()
        self.schema(engine).sync()
        self.schema(engine).drop()
        self.assertEqual(set(), names_in(engine) & models.TABLE_NAMES)

    @testtools.skipUnless(HAS_MIGRATE, 'sqlalchemy-migrate is needed')
    def test_is_what_migrate_makes(self):
        imitated = self.database(nova_database(self.kind))
        make_as_migrate_does(self.kind, imitated)
        real = self.made_by_migrate()
        self.assertEqual(names_in(imitated), names_in(real))
        columns = [[(column['name'], str(column['type']), column['nullable'])
                    for column in sa.inspect(engine).get_columns(
                        models.MIGRATE_VERSION_TABLE)]
                   for engine in (imitated, real)]
        self.assertEqual(*columns)


@testtools.skipUnless(HAS_MIGRATE, 'sqlalchemy-migrate is needed')
class UnderMigrateTestCase(MigrationsTestCase):
    """A database that alembic has made, in a Nova that is older."""

    scenarios = KINDS

    def made_by_alembic(self):
        engine = self.database(nova_database(self.kind))
        migrators.Alembic(migration.repository(self.kind)).upgrade(engine)
        return engine

    def test_is_current(self):
        engine = self.made_by_alembic()
        self.assertCurrent(engine)
        self.assertNotIn(models.MIGRATE_VERSION_TABLE, names_in(engine))

    def test_sync(self):
        engine = self.made_by_alembic()
        before = schema_of(engine, [models.MIGRATE_VERSION_TABLE])
        self.assertEqual('001', self.schema(engine).sync())
        self.assertCurrent(engine)
        self.assertEqual(
            before, schema_of(engine, [models.MIGRATE_VERSION_TABLE]))


class AheadTestCase(MigrationsTestCase):

    scenarios = testscenarios.multiply_scenarios(ENGINES, KINDS)

    def test_newer_than_the_code(self):
        engine = self.database()
        schema = self.schema(engine)
        schema.sync()
        before = schema_of(engine)
        if self.release < migrators.FIRST_WITH_ALEMBIC:
            self.execute(engine, 'UPDATE %s SET version = 7' %
                         models.MIGRATE_VERSION_TABLE)
            found = '007'
        else:
            self.execute(engine, "UPDATE %s SET version_num = 'f00d'" %
                         models.ALEMBIC_VERSION_TABLE)
            found = 'f00d'
        for refuses in (schema.sync, schema.require_current):
            exc = self.assertRaises(setup_error.SchemaAhead, refuses)
            self.assertEqual(
                'nova-cells-persist: the tables in the database of the test '
                'are at version %s, which this code does not know; it knows '
                '001. A newer nova-cells-persist has been here: install that '
                'one.' % found, str(exc))
        self.assertEqual(before, schema_of(engine))
        self.assertEqual(found, schema.version())
        # To look and to leave is possible all the same.
        self.assertEqual([], schema.differences())
        schema.drop()
        self.assertEqual(set(), names_in(engine))


class BrokenOffTestCase(MigrationsTestCase):
    """A script that has failed half-way is run again from its beginning."""

    scenarios = ENGINES

    def test_script_fails(self):
        engine = self.database()
        create = initial.create_build_request

        def fail(op):
            create(op)
            raise RuntimeError('the power went')

        with fixtures.MonkeyPatch(
                'nova_cells_persist.db_migrations.initial.'
                'create_build_request', fail):
            self.assertRaises(RuntimeError, self.schema(engine).sync)
        self.assertIsNone(self.schema(engine).version())
        self.assertRaises(setup_error.SchemaNotReady,
                          self.schema(engine).require_current)
        self.schema(engine).sync()
        self.assertCurrent(engine)

    def test_after_any_statement(self):
        # As on MySQL, which commits each of them.
        made = sa.MetaData()
        first = models.request_spec.to_metadata(made)
        second = models.build_request.to_metadata(made)
        indexes = list(second.indexes)
        second.indexes.clear()
        for done in ([first], [first, second], [first, second, *indexes]):
            engine = self.database()
            with engine.begin() as connection:
                for thing in done:
                    thing.create(connection)
            self.assertIsNone(self.schema(engine).version())
            self.schema(engine).sync()
            self.assertCurrent(engine)


class Recorder:
    """Stands in for the operations of alembic; collects the tables."""

    def __init__(self):
        self.metadata = sa.MetaData()
        self._empty = sa.create_engine('sqlite://')

    def get_bind(self):
        return self._empty

    def create_table(self, name, *args, **kwargs):
        table = sa.Table(name, self.metadata, *args, **kwargs)
        table.create(self._empty)

    def create_index(self, name, table_name, columns):
        table = self.metadata.tables[table_name]
        sa.Index(name, *(table.columns[column] for column in columns))


def statements(metadata, dialect):
    made = []
    for table in metadata.sorted_tables:
        made.append(sa_schema.CreateTable(table))
        made += [sa_schema.CreateIndex(index) for index in sorted(
            table.indexes, key=lambda index: index.name)]
    return [str(one.compile(dialect=dialect)) for one in made]


class DefinitionsTestCase(base.BaseTestCase):

    def test_scripts_make_what_the_models_say(self):
        # On each kind of database, its character sets included.
        op = Recorder()
        initial.create_request_spec(op)
        initial.create_build_request(op)
        initial.create_build_request_item(op)
        for dialect in DIALECTS:
            self.assertEqual(statements(models.metadata, dialect),
                             statements(op.metadata, dialect))

    def test_unknown_repository(self):
        exc = self.assertRaises(exception.UnknownMigrations,
                                migration.repository, 'cel')
        self.assertEqual(
            "There is no migration repository 'cel' in "
            'nova_cells_persist.migrations; there is api, cell.', str(exc))

    def test_no_repository(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_cells_persist.db.migration.NAMESPACE', 'nobody.has.this'))
        exc = self.assertRaises(exception.UnknownMigrations,
                                migration.repository, 'api')
        self.assertIn('there is none.', str(exc))

    def test_names_are_not_nova_s(self):
        # One namespace for indexes on PostgreSQL and SQLite; and Nova takes
        # a table whose name begins with shadow_ for one of its archive.
        for kind in NOVA_NAMES:
            engine = engine_of(nova_database(kind))
            self.addCleanup(engine.dispose)
            theirs = {name for _, name in schema_of(engine)}
            constraints = {
                constraint['name'] for table in names_in(engine)
                for constraint in sa.inspect(engine).get_unique_constraints(
                    table)}
            ours = set(models.TABLE_NAMES)
            for table in models.metadata.tables.values():
                ours |= {thing.name for thing in
                         [*table.indexes, *table.constraints] if thing.name}
            self.assertEqual(set(), ours & (theirs | constraints))
            self.assertEqual([], [name for name in ours
                                  if name.startswith('shadow_')])

    @testtools.skipIf(HAS_MIGRATE, 'sqlalchemy-migrate is there')
    def test_migrate_is_missing(self):
        exc = self.assertRaises(
            exception.MigrateMissing, migrators.migrator, 27,
            migration.repository('api'))
        self.assertIn('nova-cells-persist[migrate]', str(exc))
