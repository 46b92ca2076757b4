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

import json
import os

import fixtures
import sqlalchemy as sa

from nova_cells_persist.db import models
from nova_cells_persist import releases

from tests.functional import deployment


class SyncTestCase(deployment.CommandTestCase):

    def test_every_database(self):
        self.assertEqual(
            ['%s: brought from version none to version 001' % name
             for name in deployment.ALL], self.succeed('db', 'sync'))
        self.assertEqual({'request_spec', 'build_request'},
                         self.tables('api'))
        for name in ('cell0', 'cell1', 'cell2'):
            self.assertEqual({'request_spec'}, self.tables(name))

    def test_again(self):
        self.succeed('db', 'sync')
        self.assertEqual(
            ['%s: is at version 001' % name for name in deployment.ALL],
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
                         '--cell', deployment.CELL0))
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
                ('dead', deployment.DEAD, "Can't connect to MySQL server"),
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
        self.map_cell('dead', deployment.DEAD)
        self.map_cell('lost', 'sqlite:////nowhere/at/all')
        output, errors = self.fail('db', 'sync')
        self.assertEqual(len(deployment.ALL), len(output))
        self.assertEqual(2, len(errors))
        for name, error in zip(('dead', 'lost'), errors):
            self.assertIn('database of cell %s cannot' % name, error)

    def test_message_queue_is_left_alone(self):
        self.map_cell('queue', self.url('queue'), 'nonsense://u:s3cret@[x/')
        self.succeed('db', 'sync', '--cell', 'queue')
        self.assertEqual({'request_spec'}, self.tables('queue'))

    def test_api_database_does_not_answer(self):
        self.write_conf(('api_database', deployment.DEAD),
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


class VersionTestCase(deployment.CommandTestCase):

    def test_before_and_after(self):
        for found in ('none', '001'):
            self.assertEqual(
                [{'Database': name, 'Version': found, 'Needed': '001'}
                 for name in deployment.ALL], self.listed('db', 'version'))
            self.succeed('db', 'sync')

    def test_for_people(self):
        self.succeed('db', 'sync', '--api')
        output = '\n'.join(self.succeed('db', 'version', '--api'))
        self.assertIn('| Database     | Version | Needed |', output)
        self.assertIn('| API database | 001     | 001    |', output)

    def test_dead_cell(self):
        self.map_cell('dead', deployment.DEAD)
        output, errors = self.fail('db', 'version', '-f', 'json')
        self.assertEqual(deployment.ALL, [row['Database'] for row in
                               json.loads('\n'.join(output))])
        self.assertEqual(1, len(errors))
        self.assertIn('database of cell dead cannot be used', errors[0])


class CheckTestCase(deployment.CommandTestCase):

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
        self.map_cell('dead', deployment.DEAD)
        _, errors = self.fail('db', 'check')
        self.assertEqual(1, len(errors))
        self.assertIn('database of cell dead cannot be used', errors[0])

    def test_bad_arguments(self):
        for argv in (['db', 'sync', '--cel', 'cell1', 'cell2'],
                     ['db', 'check', '--no-such-option']):
            status, output, errors = self.command(*argv)
            self.assertEqual((127, ''), (status, output))
            self.assertIn('error: unrecognized arguments', errors)


class DropTestCase(deployment.CommandTestCase):

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
                 ', '.join(deployment.ALL)], output)
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
            ['%s: has no table of the plugin' % name
             for name in deployment.ALL],
            self.succeed('db', 'drop', '--yes'))

    def test_dead_cell(self):
        self.map_cell('dead', deployment.DEAD)
        output, errors = self.fail('db', 'drop', '--yes')
        self.assertEqual(len(deployment.ALL), len(output))
        self.assertEqual(1, len(errors))
        self.assertEqual(set(), self.tables('cell2'))

    def test_only_a_dead_cell(self):
        self.map_cell('dead', deployment.DEAD)
        for argv in ([], ['--yes'], ['--yes', '--force']):
            output, errors = self.fail('db', 'drop', '--cell', 'dead', *argv)
            self.assertEqual(([], 1), (output, len(errors)))
            self.assertIn('database of cell dead cannot be used', errors[0])
