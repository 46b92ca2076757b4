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

"""nova-cells-persist db, as an operator runs it."""

import contextlib
import fcntl
import io
import json
import logging
import os
import pty
import struct
import subprocess
import sys
import termios
import uuid
import warnings

import fixtures
from oslo_config import cfg
from oslo_db.sqlalchemy import enginefacade
from oslotest import base
import sqlalchemy as sa

from nova.db.api import api as api_db_api
from nova.db.api import models as api_models
from nova.db.main import api as main_db_api
from nova.db.main import models as main_models
from nova import rpc

from nova_cells_persist.cmd import main
from nova_cells_persist.db import models
from nova_cells_persist import plugin
from nova_cells_persist import releases

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

CELL0 = '00000000-0000-0000-0000-000000000000'
API_DATABASE = 'API database'
CELLS = ['database of cell %s' % name for name in ('cell0', 'cell1', 'cell2')]
ALL = [API_DATABASE] + CELLS

# Port 1 is reserved: nothing answers there.
DEAD = 'mysql+pymysql://nova:s3cret@127.0.0.1:1/nova'
# nova-cells-persist-status, and somebody who does not wait for it.
INTERRUPTED = """
import sys
from nova_cells_persist.cmd import status

def interrupt():
    raise KeyboardInterrupt()

status._schemas = interrupt
sys.exit(status.main())
"""
# Its password has an @ that should have been written as %40.
AT = 'mysql+pymysql://nova:geh@s3cret@127.0.0.1:1/nova'


class CommandTestCase(base.BaseTestCase):
    """An API database and the databases of cell0, cell1 and cell2."""

    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.write_conf(('api_database', self.url('api')),
                        ('database', self.url('cell0')))
        engine = self.engine('api')
        api_models.CellMapping.__table__.create(engine)
        self.cells = {}
        for name in ('cell0', 'cell1', 'cell2'):
            self.map_cell(name, self.url(name))

    # The deployment

    def url(self, name):
        return 'sqlite:///' + os.path.join(self.folder, name)

    def engine(self, name):
        engine = sa.create_engine(self.url(name))
        self.addCleanup(engine.dispose)
        return engine

    def write_conf(self, *connections):
        self.conf = os.path.join(self.folder, 'nova.conf')
        with open(self.conf, 'w') as conf:
            conf.write('[DEFAULT]\ntransport_url = fake:/\n')
            for section, connection in connections:
                conf.write('[%s]\nconnection = %s\n' % (section, connection))

    def map_cell(self, name, connection, transport='fake:/'):
        self.cells[name] = CELL0 if name == 'cell0' else str(uuid.uuid4())
        with self.engine('api').begin() as connected:
            connected.execute(
                api_models.CellMapping.__table__.insert().values(
                    uuid=self.cells[name], name=name, transport_url=transport,
                    database_connection=connection, disabled=False))

    def tables(self, name):
        """Return the names of our tables in a database, without versions."""
        return set(sa.inspect(self.engine(name)).get_table_names()) & {
            'request_spec', 'build_request'}

    def execute(self, name, statement):
        with self.engine(name).begin() as connection:
            connection.execute(sa.text(statement))

    def make_nova_tables(self):
        api_models.BASE.metadata.create_all(self.engine('api'))
        for name in self.cells:
            for model in (main_models.Instance, main_models.Service):
                model.__table__.create(self.engine(name))

    # The command

    def status(self, *argv):
        run = subprocess.run(
            [sys.executable, '-m', 'nova_cells_persist.cmd.status',
             '--config-file', self.conf, *argv],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=120)
        self.assertNotIn('Traceback', run.stdout + run.stderr)
        return run

    def command(self, *argv, answer=''):
        """Run it in this process.

        :returns: (exit status, standard output, standard error)
        """
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.callback(self.as_before())
            stack.enter_context(warnings.catch_warnings())
            stack.enter_context(fixtures.MonkeyPatch(
                'sys.stdin', io.StringIO(answer)))
            stack.enter_context(contextlib.redirect_stdout(stdout))
            stack.enter_context(contextlib.redirect_stderr(stderr))
            status = main.main(['--config-file', self.conf, *argv])
        self.assertNotIn('s3cret', stdout.getvalue() + stderr.getvalue())
        self.assertNotIn('Traceback', stderr.getvalue())
        return status, stdout.getvalue(), stderr.getvalue()

    def as_before(self):
        """Return a function that undoes what a run leaves in a process."""
        root = logging.getLogger('')
        level, handlers = root.level, list(root.handlers)
        loaded = plugin.is_loaded()
        undo = [manager.patch_factory(enginefacade.transaction_context())
                for manager in (api_db_api.context_manager,
                                main_db_api.context_manager)]

        def restore():
            for function in undo:
                function()
            if not loaded:
                plugin.unload()
            if rpc.TRANSPORT is not None:
                rpc.cleanup()
            cfg.CONF.reset()
            root.setLevel(level)
            root.handlers[:] = handlers

        return restore

    def succeed(self, *argv, **kwargs):
        """Run it, and return the lines of its output."""
        status, output, errors = self.command(*argv, **kwargs)
        self.assertEqual((0, ''), (status, errors))
        return output.splitlines()

    def fail(self, *argv, **kwargs):
        """Run it, and return the lines of its output and of its errors."""
        status, output, errors = self.command(*argv, **kwargs)
        self.assertEqual(2, status)
        return output.splitlines(), errors.splitlines()

    def listed(self, *argv):
        status, output, errors = self.command(*argv, '-f', 'json')
        self.assertEqual('', errors)
        return json.loads(output)


class SyncTestCase(CommandTestCase):

    def test_every_database(self):
        self.assertEqual(
            ['%s: brought from version none to version 001' % name
             for name in ALL], self.succeed('db', 'sync'))
        self.assertEqual({'request_spec', 'build_request'},
                         self.tables('api'))
        for name in ('cell0', 'cell1', 'cell2'):
            self.assertEqual({'request_spec'}, self.tables(name))

    def test_again(self):
        self.succeed('db', 'sync')
        self.assertEqual(['%s: is at version 001' % name for name in ALL],
                         self.succeed('db', 'sync'))

    def test_api(self):
        self.assertEqual(
            ['API database: brought from version none to version 001'],
            self.succeed('db', 'sync', '--api'))
        self.assertEqual(set(), self.tables('cell1'))

    def test_cell_by_name_and_by_uuid(self):
        self.succeed('db', 'sync', '--cell', 'cell2')
        self.assertEqual(set(), self.tables('cell1'))
        self.assertEqual({'request_spec'}, self.tables('cell2'))
        self.assertEqual(
            ['database of cell cell0: brought from version none to version '
             '001', 'database of cell cell2: is at version 001'],
            self.succeed('db', 'sync', '--cell', self.cells['cell2'],
                         '--cell', CELL0))
        self.assertEqual(set(), self.tables('api'))

    def test_api_and_a_cell(self):
        self.assertEqual(2, len(self.succeed('db', 'sync', '--api',
                                             '--cell', 'cell1')))
        self.assertEqual({'request_spec'}, self.tables('cell1'))
        self.assertEqual(set(), self.tables('cell2'))

    def test_cell_without_a_name(self):
        self.execute('api', "UPDATE cell_mappings SET name = NULL WHERE "
                            "name = 'cell1'")
        self.assertEqual(
            ['database of cell %s: brought from version none to version 001'
             % self.cells['cell1']],
            self.succeed('db', 'sync', '--cell', self.cells['cell1']))

    def test_unknown_cell(self):
        output, errors = self.fail('db', 'sync', '--cell', 'cell1',
                                   '--cell', 'cell9')
        self.assertEqual([], output)
        self.assertEqual(
            ["No cell is named 'cell9' or has that uuid. The cells are: "
             'cell0, cell1, cell2.'], errors)
        self.assertEqual(set(), self.tables('cell1'))

    def test_cell_that_does_not_answer(self):
        for name, connection, reason in (
                ('dead', DEAD, "Can't connect to MySQL server"),
                ('lost', 'sqlite:////nowhere/at/all', 'unable to open'),
                ('typo', 'mysql+pymysql:nova:s3cret@db/nova',
                 'its connection is no URL that SQLAlchemy can parse'),
                ('port', 'mysql+pymysql://nova:s3cret@db:s3cret/nova',
                 'its connection is no URL that SQLAlchemy can parse'),
                ('split', 'mysql+pymysql://nova:s@s3cret@127.0.0.1:1/nova',
                 "Can't connect to MySQL server"),
                ('driver', 'oracle+none://nova:s3cret@db/nova',
                 "Can't load plugin: sqlalchemy.dialects:oracle.none")):
            self.map_cell(name, connection)
            self.map_cell('after ' + name, self.url('after ' + name))
            output, errors = self.fail('db', 'sync', '--api', '--cell', name,
                                       '--cell', 'after ' + name)
            self.assertEqual(2, len(output))
            self.assertEqual({'request_spec'}, self.tables('after ' + name))
            sentence = errors[-1]
            self.assertTrue(sentence.startswith(
                'The database of cell %s cannot be used: ' % name), errors)
            self.assertIn(reason, sentence)

    def test_all_that_fail_are_named(self):
        self.map_cell('dead', DEAD)
        self.map_cell('lost', 'sqlite:////nowhere/at/all')
        output, errors = self.fail('db', 'sync')
        self.assertEqual(len(ALL), len(output))
        self.assertEqual(2, len(errors))
        for name, error in zip(('dead', 'lost'), errors):
            self.assertIn('database of cell %s cannot' % name, error)

    def test_message_queue_is_left_alone(self):
        self.map_cell('queue', self.url('queue'), 'nonsense://u:s3cret@[x/')
        self.succeed('db', 'sync', '--cell', 'queue')
        self.assertEqual({'request_spec'}, self.tables('queue'))

    def test_api_database_does_not_answer(self):
        self.write_conf(('api_database', DEAD),
                        ('database', self.url('cell0')))
        output, errors = self.fail('db', 'sync')
        self.assertEqual([], output)
        self.assertEqual(1, len(errors))
        self.assertIn('list of cells in the API database cannot be used',
                      errors[0])

        _, errors = self.fail('db', 'sync', '--api')
        self.assertEqual(1, len(errors))
        self.assertIn('The API database cannot be used: ', errors[0])

    def test_before_nova(self):
        self.write_conf(('api_database', self.url('new')),
                        ('database', self.url('cell0')))
        _, errors = self.fail('db', 'sync')
        self.assertEqual(1, len(errors))
        self.assertIn('it has no table cell_mappings, run "nova-manage '
                      'api_db sync" first', errors[0])
        self.succeed('db', 'sync', '--api')
        self.assertEqual({'request_spec', 'build_request'},
                         self.tables('new'))

    def test_script_fails(self):
        def fail(op):
            raise RuntimeError('the power went')

        with fixtures.MonkeyPatch(
                'nova_cells_persist.db_migrations.initial.'
                'create_build_request', fail):
            output, errors = self.fail('db', 'sync')
        self.assertEqual(3, len(output))
        self.assertEqual(
            ['The API database cannot be used: the power went. Mend that, '
             'then run the command again.'], errors)
        self.assertEqual(
            'API database: brought from version none to version 001',
            self.succeed('db', 'sync')[0])

    def test_ahead(self):
        self.succeed('db', 'sync')
        if releases.nova_release() < 28:
            table, column, version = (
                models.MIGRATE_VERSION_TABLE, 'version', 999)
        else:
            table, column, version = (
                models.ALEMBIC_VERSION_TABLE, 'version_num', 999)
        self.execute('cell1', 'UPDATE %s SET %s = %d' %
                     (table, column, version))
        output, errors = self.fail('db', 'sync')
        self.assertEqual(3, len(output))
        self.assertEqual(1, len(errors))
        self.assertIn('database of cell cell1 are at version 999, which this '
                      'code does not know', errors[0])

    def test_only_this_cell(self):
        self.write_conf(('database', self.url('cell1')))
        self.assertEqual(
            ['database of this cell: brought from version none to version '
             '001'], self.succeed('db', 'sync'))
        self.assertEqual({'request_spec'}, self.tables('cell1'))
        for argv in (['--api'], ['--cell', 'cell1']):
            _, errors = self.fail('db', 'sync', *argv)
            self.assertEqual(1, len(errors))
            self.assertIn('has no [api_database]connection', errors[0])

    def test_no_database_at_all(self):
        self.write_conf()
        output, errors = self.fail('db', 'sync')
        self.assertEqual([], output)
        self.assertEqual(1, len(errors))
        self.assertIn('database of this cell cannot be used', errors[0])

    def test_no_nova_conf(self):
        self.conf = os.path.join(self.folder, 'absent.conf')
        _, errors = self.fail('db', 'sync')
        self.assertEqual(1, len(errors))
        self.assertIn('absent.conf', errors[0])

    def test_config_dir(self):
        folder = os.path.join(self.folder, 'conf.d')
        os.mkdir(folder)
        with open(os.path.join(folder, 'cell.conf'), 'w') as conf:
            conf.write('[database]\nconnection = %s\n' % self.url('other'))
        self.write_conf(('database', self.url('cell1')))
        self.succeed('--config-dir', folder, 'db', 'sync')
        self.assertEqual({'request_spec'}, self.tables('other'))
        self.assertEqual(set(), self.tables('cell1'))

    def test_unsupported_nova(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_cells_persist.releases.SUPPORTED', (1, 2)))
        output, errors = self.fail('db', 'sync')
        self.assertEqual([], output)
        self.assertEqual(1, len(errors))
        self.assertIn('supports Nova 1 to 2, this is Nova', errors[0])
        self.assertEqual(set(), self.tables('api'))


class VersionTestCase(CommandTestCase):

    def test_before_and_after(self):
        for found in ('none', '001'):
            self.assertEqual(
                [{'Database': name, 'Version': found, 'Needed': '001'}
                 for name in ALL], self.listed('db', 'version'))
            self.succeed('db', 'sync')

    def test_for_people(self):
        self.succeed('db', 'sync', '--api')
        output = '\n'.join(self.succeed('db', 'version', '--api'))
        self.assertIn('| Database     | Version | Needed |', output)
        self.assertIn('| API database | 001     | 001    |', output)

    def test_dead_cell(self):
        self.map_cell('dead', DEAD)
        output, errors = self.fail('db', 'version', '-f', 'json')
        self.assertEqual(ALL, [row['Database'] for row in
                               json.loads('\n'.join(output))])
        self.assertEqual(1, len(errors))
        self.assertIn('database of cell dead cannot be used', errors[0])


class CheckTestCase(CommandTestCase):

    def test_agree(self):
        self.succeed('db', 'sync')
        self.succeed('db', 'check')
        self.assertEqual([], self.listed('db', 'check'))

    def test_differ(self):
        self.succeed('db', 'sync')
        self.execute('cell1', 'ALTER TABLE request_spec DROP COLUMN pending')
        status, output, errors = self.command('db', 'check', '-f', 'json')
        self.assertEqual((1, ''), (status, errors))
        self.assertEqual(
            [{'Database': 'database of cell cell1',
              'Difference': 'column request_spec.pending is missing'}],
            json.loads(output))
        self.succeed('db', 'check', '--cell', 'cell2')

    def test_never_synced(self):
        status, output, _ = self.command('db', 'check', '--cell', 'cell1',
                                         '-f', 'json')
        self.assertEqual(1, status)
        self.assertEqual(['table request_spec is missing'],
                         [row['Difference'] for row in json.loads(output)])

    def test_dead_cell(self):
        self.succeed('db', 'sync')
        self.map_cell('dead', DEAD)
        _, errors = self.fail('db', 'check')
        self.assertEqual(1, len(errors))
        self.assertIn('database of cell dead cannot be used', errors[0])

    def test_bad_arguments(self):
        for argv in (['db', 'sync', '--cel', 'cell1', 'cell2'],
                     ['db', 'check', '--no-such-option']):
            status, output, errors = self.command(*argv)
            self.assertEqual((127, ''), (status, output))
            self.assertIn('error: unrecognized arguments', errors)


class DropTestCase(CommandTestCase):

    def setUp(self):
        super().setUp()
        self.succeed('db', 'sync')

    def test_asks(self):
        for answer in ('', '\n', 'no\n', 'y\n', 'yes please\n'):
            output, errors = self.fail('db', 'drop', answer=answer)
            self.assertEqual(
                ['Nothing was dropped, since the answer was not "yes".'],
                errors)
            self.assertEqual(
                ['The tables build_request, build_request_item, '
                 'nova_cells_persist_alembic_version, '
                 'nova_cells_persist_migrate, request_spec in the %s will be '
                 'dropped, with every revision of every request spec, and '
                 'every build, that is in them. Type "yes" to drop them: ' %
                 ', '.join(ALL)], output)
        self.assertEqual({'request_spec', 'build_request'},
                         self.tables('api'))
        self.assertEqual({'request_spec'}, self.tables('cell1'))

    def test_confirmed(self):
        output = self.succeed('db', 'drop', '--cell', 'cell1',
                              answer='yes\n')
        self.assertEqual(1, len(output))
        self.assertIn('database of cell cell1: dropped nova_cells_persist_',
                      output[0])
        self.assertEqual(set(), self.tables('cell1'))
        self.assertEqual({'request_spec'}, self.tables('cell2'))

    def test_yes(self):
        self.succeed('db', 'drop', '--yes')
        for name in ('api', 'cell0', 'cell1', 'cell2'):
            left = sa.inspect(self.engine(name)).get_table_names()
            self.assertEqual(set(), set(left) & models.TABLE_NAMES)
        self.assertIn('cell_mappings',
                      sa.inspect(self.engine('api')).get_table_names())
        self.assertEqual(
            ['%s: has no table of the plugin' % name for name in ALL],
            self.succeed('db', 'drop', '--yes'))

    def test_dead_cell(self):
        self.map_cell('dead', DEAD)
        output, errors = self.fail('db', 'drop', '--yes')
        self.assertEqual(len(ALL), len(output))
        self.assertEqual(1, len(errors))
        self.assertEqual(set(), self.tables('cell2'))

    def test_only_a_dead_cell(self):
        self.map_cell('dead', DEAD)
        for argv in ([], ['--yes'], ['--yes', '--force']):
            output, errors = self.fail('db', 'drop', '--cell', 'dead', *argv)
            self.assertEqual(([], 1), (output, len(errors)))
            self.assertIn('database of cell dead cannot be used', errors[0])


class HelpTestCase(CommandTestCase):

    def setUp(self):
        super().setUp()
        # Help is given where nothing else can be.
        self.conf = os.path.join(self.folder, 'absent.conf')

    def test_of_each_command(self):
        for verb, said in (
                ('sync', 'Make the tables, or bring them to the version'),
                ('version', 'Show which version the tables are at'),
                ('check', 'Show where the tables differ'),
                ('drop', 'Drop the tables with all that is in them')):
            for argv in (['help', 'db', verb], ['db', verb, '--help']):
                output = '\n'.join(self.succeed(*argv))
                self.assertIn('usage: nova-cells-persist db ' + verb, output)
                self.assertIn(said, output)
                self.assertIn('--cell NAME', output)
                self.assertIn('Only the API database', output)
            self.assertEqual(verb == 'drop', '--yes' in output)

    def test_names_every_command(self):
        for argv in (['help'], ['--help']):
            output = '\n'.join(self.succeed(*argv))
            for name in ('db sync', 'db version', 'db check', 'db drop',
                         'spec show', 'spec history', 'spec diff',
                         'spec restore', 'spec sync', 'build list',
                         'build show', 'build explain', 'audit', 'heal',
                         'purge', 'undo', 'backfill'):
                self.assertIn('  %s  ' % name, output)
            self.assertIn('--config-file PATH', output)

    def test_mistyped(self):
        status, output, errors = self.command('db', 'snyc')
        self.assertEqual(127, status)
        self.assertIn('db sync', output + errors)


class ProcessTestCase(CommandTestCase):
    """As a process of its own."""

    def process(self, *argv, **kwargs):
        return subprocess.run(
            [sys.executable, '-m', 'nova_cells_persist.cmd.main',
             '--config-file', self.conf, *argv],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=120, **kwargs)

    def test_sync_with_a_dead_cell(self):
        self.map_cell('dead', DEAD)
        run = self.process('db', 'sync')
        self.assertEqual(2, run.returncode)
        self.assertEqual(
            ['%s: brought from version none to version 001' % name
             for name in ALL], run.stdout.splitlines())
        self.assertIn('The database of cell dead cannot be used', run.stderr)
        self.assertNotIn('s3cret', run.stdout + run.stderr)
        self.assertEqual(1, len(run.stderr.splitlines()), run.stderr)

    def test_options_and_no_command(self):
        run = self.process(input='db version\n')
        self.assertEqual((127, ''), (run.returncode, run.stdout))
        self.assertEqual('nova-cells-persist: which command? See '
                         '"nova-cells-persist --help".\n', run.stderr)

    def test_traceback_without_credentials(self):
        self.map_cell('at', AT)
        run = self.process('--debug', 'db', 'version')
        self.assertEqual(2, run.returncode)
        self.assertIn('Traceback', run.stderr)
        self.assertIn('127.0.0.1', run.stderr)
        self.assertNotIn('s3cret', run.stdout + run.stderr)
        path = os.path.join(os.path.dirname(self.conf), 'log')
        run = self.process('--debug', '--log-file', path, 'db', 'version')
        with open(path) as file:
            for text in (file.read(), run.stderr):
                self.assertIn('Traceback', text)
                self.assertNotIn('s3cret', text)

    def test_interrupted_checks(self):
        run = subprocess.run(
            [sys.executable, '-c', INTERRUPTED, '--config-file', self.conf,
             'upgrade', 'check'], cwd=ROOT, text=True, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual((2, 'Interrupted: not all was checked.\n'),
                         (run.returncode, run.stderr))

    def test_configuration_that_is_no_text(self):
        with open(self.conf, 'ab') as file:
            file.write(b'# caf\xe9\n')
        for run in (self.process('db', 'version'),
                    self.status('upgrade', 'check')):
            self.assertEqual((2, ''), (run.returncode, run.stdout))
            self.assertEqual(1, len(run.stderr.splitlines()), run.stderr)
            self.assertIn('is no text in UTF-8', run.stderr)

    def test_audit(self):
        self.make_nova_tables()
        self.succeed('db', 'sync')
        run = self.process('audit')
        self.assertEqual((0, 'Nothing found.\n'),
                         (run.returncode, run.stderr))
        ids = ['%s1f2a3b-0000-4000-8000-000000000000' % each
               for each in ('08', '6d', 'ff')]
        for each in reversed(ids):
            self.execute('api', 'INSERT INTO request_specs (instance_uuid, '
                         "spec) VALUES ('%s', '{}')" % each)
        for argv, found in (([], ids), (['--after', ids[0]], ids[1:]),
                            (['--after', ids[1].upper()], ids[2:])):
            for workers in '123':
                run = self.process(
                    'audit', '--workers', workers, *argv, '-f', 'value', '-c',
                    'Server')
                self.assertEqual(
                    (1, found, '%d orphaned-spec.\n' % len(found)),
                    (run.returncode, run.stdout.split(), run.stderr))
        # On a terminal there is a bar.
        ours, theirs = pty.openpty()
        # Not by termios: Python 3.10 has no function for it.
        fcntl.ioctl(theirs, termios.TIOCSWINSZ,
                    struct.pack('4H', 24, 80, 0, 0))
        run = subprocess.run(
            [sys.executable, '-m', 'nova_cells_persist.cmd.main',
             '--config-file', self.conf, 'audit'], cwd=ROOT, stderr=theirs,
            stdout=subprocess.PIPE, timeout=120,
            env=dict(os.environ, TQDM_MININTERVAL='0'))
        os.close(theirs)
        self.assertEqual(1, run.returncode)
        shown = os.read(ours, 10000).decode()
        self.assertIn('servers/s', shown)
        self.assertIn('3 orphaned-spec.', shown)
        os.close(ours)

    def test_status_in_a_cell(self):
        self.write_conf(('database', self.url('cell0')))
        run = self.status('upgrade', 'check')
        self.assertEqual(2, run.returncode)
        self.assertIn('looks at all databases',
                      ' '.join(run.stdout.split()).replace(' | | | ', ' '))

    def test_status(self):
        self.make_nova_tables()
        self.succeed('db', 'sync')
        self.assertEqual(127, self.status('upgrade').returncode)
        self.assertEqual(127, self.status('upgrade', 'check', '--all')
                         .returncode)
        run = self.status('--config-file', '/nowhere', 'upgrade', 'check')
        self.assertEqual(2, run.returncode)
        self.assertIn('/nowhere', run.stderr)
        run = self.status('upgrade', 'check')
        self.assertEqual(2, run.returncode, run.stderr)
        self.assertIn('This configuration does not load the plugin',
                      ' '.join(run.stdout.split()))
        self.switch_on()
        self.execute('api', 'INSERT INTO instance_mappings (instance_uuid, '
                     "project_id, cell_id) SELECT 'a', 'p', id FROM "
                     "cell_mappings WHERE name IN ('cell1')")
        run = self.status('--empty-cell', 'cell0', '--empty-cell', 'cell1',
                          'upgrade', 'check', '--json')
        self.assertEqual(0, run.returncode, run.stdout + run.stderr)
        self.assertEqual(
            [0] * 8, [each['result'] for each in
                      json.loads(run.stdout)['checks']])

    def switch_on(self, *lines):
        with open(self.conf) as file:
            text = file.read()
        with open(self.conf, 'w') as file:
            file.write(text.replace(
                '[DEFAULT]', '[DEFAULT]\nconfig_source = cells_persist') +
                '\n'.join(['[cells_persist]', 'driver = nova_cells_persist',
                           *lines, '']))

    def test_refused_configuration(self):
        self.switch_on('cell_timeut = 3')
        for run in (self.status('upgrade', 'check'), self.process('audit'),
                    self.process('db', 'version')):
            self.assertEqual((2, ''), (run.returncode, run.stdout))
            self.assertEqual(1, len(run.stderr.splitlines()), run.stderr)
            self.assertIn('[cells_persist] has no option cell_timeut',
                          run.stderr)
        self.assertEqual(0, self.process('audit', '--help').returncode)
        self.assertEqual(0, self.status('--help').returncode)

    def test_drop_without_a_terminal(self):
        self.succeed('db', 'sync')
        run = self.process('db', 'drop', stdin=subprocess.DEVNULL)
        self.assertEqual(2, run.returncode)
        self.assertEqual(
            ['Nothing was dropped, since the answer was not "yes".'],
            run.stderr.splitlines())
        self.assertEqual({'request_spec'}, self.tables('cell1'))
