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

"""The database servers of the tests start, and leave nothing behind."""

import glob
import os
import subprocess
import sys
import time

import fixtures
import sqlalchemy as sa
import testscenarios
import testtools

from tests import servers

load_tests = testscenarios.load_tests_apply_scenarios

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

# A process that has a server of that kind, and waits.
USER = '''
import sys

from tests import servers

server = servers.KINDS[sys.argv[1]]()
server.setUp()
print(server.folder, flush=True)
sys.stdin.read()
'''


def execute(url, statement):
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))


def query(url, statement):
    """Return the first value that a statement finds."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return connection.execute(sa.text(statement)).scalar()


def process_of(folder):
    """Return the id of the process that serves a folder."""
    path, = glob.glob(os.path.join(folder, '**', '*pid'), recursive=True)
    with open(path) as file:
        return int(file.readline())


def is_there(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class ServerTest(testtools.TestCase):

    scenarios = [
        ('mariadb', {
            'kind': 'mariadb',
            'durability': 'SELECT @@innodb_flush_log_at_trx_commit',
            'durable': 1, 'fast': 0}),
        ('postgresql', {
            'kind': 'postgresql', 'durability': 'SHOW fsync',
            'durable': 'on', 'fast': 'off'})]

    def test_databases(self):
        server = servers.shared(self.kind)
        self.assertIs(server, servers.shared(self.kind))
        one, two = server.create('one'), server.create('two')
        for url in (one, two):
            execute(url, 'CREATE TABLE thing (i int)')
            self.assertEqual(0, query(url, 'SELECT count(*) FROM thing'))
        self.assertEqual(self.fast, query(one, self.durability))
        # Created again it is empty.
        self.assertEqual(one, server.create('one'))
        execute(one, 'CREATE TABLE thing (i int)')
        exc = self.assertRaises(sa.exc.DBAPIError, execute, two,
                                'CREATE TABLE thing (i int)')
        self.assertIn('already exists', str(exc))

    def test_copy(self):
        server = servers.shared(self.kind)
        one = server.create('one')
        execute(one, 'CREATE TABLE whole (i int PRIMARY KEY)')
        execute(one, 'CREATE TABLE part (i int, CONSTRAINT of_whole '
                     'FOREIGN KEY (i) REFERENCES whole (i))')
        for table in ('whole', 'part'):
            execute(one, 'INSERT INTO %s VALUES (7)' % table)
        copy = server.copy('one', 'copied')
        execute(one, 'DELETE FROM part')
        self.assertEqual(7, query(copy, 'SELECT i FROM part'))
        keys = sa.inspect(sa.create_engine(
            copy, poolclass=sa.pool.NullPool)).get_foreign_keys('part')
        self.assertEqual(['of_whole'], [key['name'] for key in keys])
        execute(copy, 'ALTER TABLE part DROP CONSTRAINT of_whole')

    def test_gone_afterwards(self):
        with servers.KINDS[self.kind](durable=True) as server:
            url = server.create('one')
            self.assertEqual(self.durable, query(url, self.durability))
            process = process_of(server.folder)
            self.assertTrue(is_there(process))
        self.assertFalse(is_there(process))
        self.assertFalse(os.path.exists(server.folder))
        self.assertRaises(sa.exc.OperationalError, query, url, 'SELECT 1')

    def test_gone_with_the_process_that_was_killed(self):
        with subprocess.Popen(
                [sys.executable, '-c', USER, self.kind], cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
            folder = user.stdout.readline().strip()
            process = process_of(folder)
            user.kill()
        deadline = time.monotonic() + servers.DEADLINE
        while is_there(process) or os.path.exists(folder):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_not_installed(self):
        self.useFixture(fixtures.EnvironmentVariable('PATH', ''))
        self.useFixture(fixtures.MonkeyPatch('tests.servers.FOLDERS', ()))
        exc = self.assertRaises(servers.NotInstalled,
                                servers.KINDS[self.kind])
        self.assertIn(exc.package, str(exc))
        self.assertIn('bindep.txt', str(exc))
        with open(os.path.join(ROOT, 'bindep.txt')) as bindep:
            self.assertIn(exc.package, bindep.read())

    def test_says_why_it_does_not_start(self):
        server = servers.KINDS[self.kind](options=['--no-such-option'])
        exc = self.assertRaises(fixtures.MultipleExceptions, server.setUp)
        kind, reason, _ = exc.args[0]
        self.assertIs(servers.NotStarted, kind)
        self.assertIn('no-such-option', str(reason))
        self.assertFalse(os.path.exists(server.folder))
