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

"""The parts of tools/cloud that need no cloud."""

import configparser
import io
import json
import os
import select
import signal
import subprocess
import sys

import fixtures
from oslotest import base
import subunit
import testtools

from tools import environments
from tools import errors as tools_errors
from tools.onebox import cloud as clouds
from tools.onebox import comparison
from tools.onebox import configuration
from tools.onebox.drills import stage
from tools.onebox import errors
from tools.onebox import place as places
from tools.onebox import processes
from tools.onebox import services
from tools import run_tests

# Says that it is there, and waits until it is ended.
WAITS = [sys.executable, '-c', 'import signal; print("here", flush=True); '
         'signal.pause()']


class PlaceTestCase(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.place = places.new(self.folder, 21000, '34.0.0', False)


class PlaceIsKeptTestCase(PlaceTestCase):

    def test_it_is_known_once_it_was_saved(self):
        self.assertRaises(errors.NoCloud, places.known, self.folder)
        self.place.save()
        self.assertEqual(self.place, places.known(self.folder))

    def test_nobody_else_can_read_it(self):
        self.place.save()
        mode = os.stat(self.place.path('cloud.json')).st_mode
        self.assertEqual(0, mode & 0o077)

    def test_password_is_not_shown(self):
        self.assertNotIn(self.place.password, repr(self.place))

    def test_ports_are_unique_and_follow_the_first(self):
        self.assertEqual(
            list(range(21000, 21000 + len(places.LISTENERS))),
            [self.place.port(listener) for listener in places.LISTENERS])


class ProcessesTestCase(PlaceTestCase):

    def setUp(self):
        super().setUp()
        if not hasattr(select, 'poll'):
            # Where Nova's tests are imported too, eventlet takes away what
            # psutil waits with. Where a cloud is made, there is no eventlet.
            from eventlet import patcher
            self.useFixture(fixtures.MonkeyPatch(
                'select.poll', patcher.original('select').poll))
        self.processes = processes.Processes(self.place)
        self.addCleanup(self.stop)

    def stop(self):
        self.processes.stop(self.processes.names())

    def start(self, name='it'):
        self.processes.start(name, WAITS)
        self.processes.wait(name, self.said('here', name), 60)

    def said(self, text, name='it'):
        def look():
            with open(self.place.log(name)) as file:
                return text in file.read()
        return look

    def test_another_command_finds_what_was_started(self):
        self.start()
        found = processes.Processes(self.place)
        self.assertEqual(['it'], found.running())
        found.stop(['it'])
        self.assertIsNone(self.processes.find('it'))
        self.assertEqual([], found.names())

    def test_one_that_has_got_the_same_pid_is_left_alone(self):
        self.start()
        process = self.processes.find('it')
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        with open(self.place.path('run', 'it.json'), 'w') as file:
            json.dump({'pid': process.pid,
                       'began': process.create_time() - 1}, file)
        self.assertIsNone(self.processes.find('it'))
        self.processes.stop(['it'])
        self.assertTrue(process.is_running())

    def test_one_that_is_held_can_be_stopped(self):
        self.start()
        self.processes.send('it', signal.SIGSTOP)
        self.processes.stop(['it'])
        self.assertEqual([], self.processes.running())

    def test_last_lines_tell_why_one_did_not_start(self):
        self.processes.start('it', [
            sys.executable, '-c', 'raise SystemExit("no such table")'])
        error = self.assertRaises(
            errors.NotStarted, self.processes.wait, 'it', lambda: False, 60)
        self.assertEqual('it', error.service)
        self.assertIn('it has ended', str(error))
        self.assertIn('no such table', str(error))
        self.assertIn(self.place.log('it'), str(error))

    def test_one_that_does_not_answer(self):
        self.start()
        error = self.assertRaises(
            errors.NotStarted, self.processes.wait, 'it', lambda: False, 0)
        self.assertIn('did not answer within 0 s', str(error))
        self.assertIn('here', str(error))

    def test_memory(self):
        self.start()
        rss, pss = self.processes.memory('it')
        self.assertGreater(rss, 1 << 20)
        self.assertGreaterEqual(rss, pss)

    def test_cloud_that_runs_is_not_emptied(self):
        self.start()
        error = self.assertRaises(
            errors.AlreadyUp, clouds.Cloud(self.place).begin)
        self.assertIn('it', str(error))
        self.assertTrue(os.path.exists(self.place.log('it')))


class ConfigurationTestCase(PlaceTestCase):

    def setUp(self):
        super().setUp()
        venv = self.useFixture(fixtures.TempDir()).path
        os.makedirs(os.path.join(venv, 'etc', 'nova'))
        open(os.path.join(venv, 'etc', 'nova', 'api-paste.ini'), 'w').close()
        self.place.made('venv')
        os.symlink(venv, self.place.path('venv', 'nova'))

    def read(self, service):
        parser = configparser.RawConfigParser(default_section=None)
        parser.read(configuration.nova_path(self.place, service))
        return {name: dict(parser[name]) for name in parser.sections()}

    def write(self, **options):
        clouds.Cloud(self.place).configure_nova(**options)

    def test_plugin_is_three_lines_of_nova_conf(self):
        self.write(plugin=False)
        stock = {name: self.read(name) for name in clouds.NOVA}
        self.write(plugin=True)
        for name in clouds.NOVA:
            self.assertNotIn('cells_persist', stock[name])
            self.assertNotIn('config_source', stock[name]['DEFAULT'])
            stock[name]['DEFAULT']['config_source'] = 'cells_persist'
            stock[name]['cells_persist'] = {'driver': 'nova_cells_persist'}
            self.assertEqual(stock[name], self.read(name))

    def test_conductor_of_a_cell_has_its_database_alone(self):
        self.write()
        for cell in places.CELLS:
            read = self.read('conductor-' + cell)
            self.assertNotIn('api_database', read)
            self.assertEqual(self.place.database('nova_' + cell),
                             read['database']['connection'])

    def test_compute_has_no_database(self):
        self.write()
        for host in ('c1h1', 'c2h2'):
            read = self.read('compute-' + host)
            self.assertEqual(host, read['DEFAULT']['host'])
            self.assertNotIn('api_database', read)
            self.assertNotIn('database', read)

    def test_cells_have_message_buses_of_their_own(self):
        self.write()
        buses = {self.read(name)['DEFAULT']['transport_url']
                 for name in ('nova-api', 'conductor-cell1', 'compute-c1h1',
                              'conductor-cell2', 'compute-c2h1')}
        self.assertEqual({self.place.messages(vhost) for vhost in (
            'nova_api', 'nova_cell1', 'nova_cell2')}, buses)

    def test_databases_of_a_cell_have_a_server_of_their_own(self):
        ports = {name: self.place.port('mariadb-' + places.DATABASES[name])
                 for name in ('nova_api', 'nova_cell1', 'nova_cell2')}
        self.assertEqual(3, len(set(ports.values())))

    def test_nobody_else_can_read_them(self):
        self.write()
        for name in clouds.NOVA:
            mode = os.stat(configuration.nova_path(self.place, name)).st_mode
            self.assertEqual(0, mode & 0o077)


class EnvironmentsTestCase(base.BaseTestCase):

    def test_command_that_fails(self):
        error = self.assertRaises(
            tools_errors.CommandFailed, environments.run,
            [sys.executable, '-c', 'raise SystemExit("not like this")'])
        self.assertIn('status 1', str(error))
        self.assertIn('not like this', str(error))

    def test_program_that_is_not_there(self):
        error = self.assertRaises(
            errors.NotInstalled, services.program, 'no-such-server')
        self.assertIn('bindep.txt', str(error))

    def test_each_release_of_the_services_is_pinned(self):
        for name in ('services', 'tempest', 'nova-34.0.0', 'nova-27.5.1'):
            self.assertIsNotNone(environments.constraints(name), name)


class ComparisonTestCase(testtools.TestCase):

    BEFORE = {'a': 'passed', 'b': 'passed', 'c': 'failed', 'd': 'skipped',
              'e': 'passed', 'f': 'failed', 'g': 'skipped', 'h': 'passed'}
    AFTER = {'a': 'passed', 'b': 'failed', 'c': 'failed', 'd': 'passed',
             'e': 'skipped', 'f': 'passed', 'g': 'failed', 'i': 'failed',
             'j': 'passed'}

    def test_differences(self):
        self.assertEqual(
            [('b', 'passed', 'failed'), ('d', 'skipped', 'passed'),
             ('e', 'passed', 'skipped'), ('f', 'failed', 'passed'),
             ('g', 'skipped', 'failed'), ('h', 'passed', 'absent'),
             ('i', 'absent', 'failed'), ('j', 'absent', 'passed')],
            comparison.differences(self.BEFORE, self.AFTER))

    def test_worse(self):
        self.assertEqual(
            ['b', 'e', 'g', 'h', 'i'],
            comparison.worse(self.BEFORE, self.AFTER))


class ReadTestCase(testtools.TestCase):

    def test_verdicts_of_a_stream(self):
        stream = io.BytesIO()
        writer = subunit.StreamResultToBytes(stream)
        for test, status in (('a', 'success'), ('b', 'fail'), ('c', 'skip'),
                             ('d', 'xfail'), ('e', 'uxsuccess')):
            writer.status(test_id=test, test_status='inprogress')
            if status == 'fail':
                writer.status(
                    test_id=test, file_name='traceback', eof=True,
                    file_bytes=b'Traceback:\n  here\nError: no server\n',
                    mime_type='text/plain;charset=utf8')
            writer.status(test_id=test, test_status=status)
        writer.status(test_id='f', test_status='inprogress')
        writer.status(test_id='g', test_status='exists')
        stream.write(b'not of a test\n')
        stream.seek(0)
        seen = []
        verdicts, reasons = run_tests.read(
            stream, lambda *args: seen.append(args))
        self.assertEqual(
            {'a': 'passed', 'b': 'failed', 'c': 'skipped', 'd': 'passed',
             'e': 'failed', 'f': 'failed'}, verdicts)
        self.assertEqual(verdicts, dict(seen))
        self.assertEqual('Traceback:\n  here\nError: no server', reasons['b'])
        self.assertEqual({'b', 'e', 'f'}, set(reasons))


class ListedTestCase(base.BaseTestCase):
    """What a drill makes of the plugin's command line."""

    def done(self, status, output):
        return subprocess.CompletedProcess(
            ['audit'], status, output, 'this is why\n')

    def test_what_was_listed(self):
        self.assertEqual([], stage.listed(['audit'], self.done(0, '[]\n')))
        self.assertEqual([{'Code': 'x'}], stage.listed(
            ['audit'], self.done(1, '[{"Code": "x"}]\n')))

    def test_nothing_is_not_an_empty_list(self):
        for status, output in ((0, ''), (1, ''), (1, 'no JSON'), (2, '[]'),
                               (127, '')):
            exc = self.assertRaises(
                tools_errors.CommandFailed, stage.listed, ['audit'],
                self.done(status, output))
            self.assertIn('this is why', str(exc))
