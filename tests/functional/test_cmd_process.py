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

"""The commands as processes of their own, and the help that they give."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.functional import deployment

# nova-cells-persist-status, and somebody who does not wait for it.
INTERRUPTED = """
import sys
from nova_cells_persist.cmd import status

def interrupt():
    raise KeyboardInterrupt()

status._schemas = interrupt
sys.exit(status.main())
"""


class HelpTestCase(deployment.CommandTestCase):

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


class ProcessTestCase(deployment.CommandTestCase):
    """As a process of its own."""

    def process(self, *argv, **kwargs):
        return subprocess.run(
            [sys.executable, '-m', 'nova_cells_persist.cmd.main',
             '--config-file', self.conf, *argv],
            cwd=deployment.ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=120, **kwargs)

    def test_sync_with_a_dead_cell(self):
        self.map_cell('dead', deployment.DEAD)
        run = self.process('db', 'sync')
        self.assertEqual(2, run.returncode)
        self.assertEqual(
            ['%s: brought from version none to version 001' % name
             for name in deployment.ALL], run.stdout.splitlines())
        self.assertIn('The database of cell dead cannot be used', run.stderr)
        self.assertNotIn('s3cret', run.stdout + run.stderr)
        self.assertEqual(1, len(run.stderr.splitlines()), run.stderr)

    def test_options_and_no_command(self):
        run = self.process(input='db version\n')
        self.assertEqual((127, ''), (run.returncode, run.stdout))
        self.assertEqual('nova-cells-persist: which command? See '
                         '"nova-cells-persist --help".\n', run.stderr)

    def test_traceback_without_credentials(self):
        self.map_cell('at', deployment.AT)
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
             'upgrade', 'check'], cwd=deployment.ROOT, text=True, timeout=120,
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
             '--config-file', self.conf, 'audit'],
            cwd=deployment.ROOT, stdout=subprocess.PIPE, stderr=theirs,
            timeout=120,
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
