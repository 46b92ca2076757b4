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

"""Database servers of the tests' own: a MariaDB and a PostgreSQL.

Each has a folder of its own under the temporary one, and answers on a Unix
socket in it and nowhere else.

pifpaf has fixtures for both. Its PostgreSQL cannot be started by root, as a
test in a container is, its MariaDB takes no options, and both outlive a test
runner that is killed.
"""

import abc
import functools
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import fixtures
import sqlalchemy as sa

# For what takes a second or two, on a machine that has much else to do.
DEADLINE = 100

# Where distributions put what is not meant for everybody's PATH.
FOLDERS = ('/usr/sbin', '/usr/libexec', '/usr/lib/postgresql/*/bin',
           '/usr/pgsql-*/bin')

# Noted while no test runs: each test has a folder of its own for these, whose
# path may be too long for a socket.
_TEMPORARY = tempfile.gettempdir()

# The parent of a server, and with it gone the server is too. It waits for the
# end of its standard input, which comes when it is closed and when the process
# that holds it dies, whichever way.
GUARD = '''
import shutil
import subprocess
import sys
import threading

folder, user, group, how, *command = sys.argv[1:]
server = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL,
                          user=int(user), group=int(group))


def stop():
    sys.stdin.read()
    server.send_signal(int(how))


threading.Thread(target=stop, daemon=True).start()
status = server.wait()
shutil.rmtree(folder)
sys.exit(status)
'''


class NotInstalled(Exception):
    """A program of a database server is not there."""

    def __init__(self, program, package):
        super().__init__(
            'There is no %s, neither on PATH nor in %s. Install the package '
            '%s: see bindep.txt.' % (program, ', '.join(FOLDERS), package))
        self.program = program
        self.package = package


class NotStarted(Exception):
    """A database server has ended, or does not answer."""

    def __init__(self, server, log):
        super().__init__('%s does not answer. It said:\n%s' % (server, log))
        self.server = server
        self.log = log


class Server(fixtures.Fixture, abc.ABC):
    """A database server that is there while the fixture is.

    :param durable: whether what is committed would survive a power cut, as
        in production. Tests need not wait for that.
    :param options: of the server, after those that it has here
    :raises: NotInstalled
    """

    #: What to install.
    PACKAGE = ''
    #: What makes the folder, and what serves it.
    PROGRAMS = ()
    #: The accounts of which the first that is there runs the server when the
    #: tests are run by root: PostgreSQL refuses to.
    ACCOUNTS = ()
    #: Ends the server at once. Nothing in its folder is worth saving.
    STOP = signal.SIGKILL

    def __init__(self, durable=False, options=()):
        super().__init__()
        self._durable = durable
        self._options = tuple(options)
        self._initialize, self._serve = [
            self._find(program) for program in self.PROGRAMS]
        self._user, self._group = self._account()

    def _setUp(self):
        self._log = tempfile.TemporaryFile(dir=_TEMPORARY)
        self.addCleanup(self._log.close)
        self.folder = tempfile.mkdtemp(dir=_TEMPORARY)
        self._guard = None
        self.addCleanup(self._stop)
        os.chown(self.folder, self._user, self._group)
        self._run([self._initialize, *self._to_initialize()])
        self._start([self._serve, *self._to_serve(), *self._options])
        self._wait_until_it_answers()

    def create(self, name):
        """Create a database; one of that name that is there is dropped.

        :returns: its URL for SQLAlchemy
        """
        for statement in self._fresh(name):
            self._execute(statement)
        return self._url(name)

    @abc.abstractmethod
    def copy(self, name, other):
        """Make a database that is as one that nobody is connected to.

        :returns: the URL of the other
        """

    @abc.abstractmethod
    def _to_initialize(self):
        """Return the arguments of the program that makes the folder."""

    @abc.abstractmethod
    def _to_serve(self):
        """Return the arguments of the server."""

    @abc.abstractmethod
    def _fresh(self, name):
        """Return the statements that create a database."""

    @abc.abstractmethod
    def _url(self, name):
        """Return the URL of a database."""

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _find(self, program):
        """Return the path of a program, of its newest version."""
        places = [os.environ.get('PATH', os.defpath)]
        for folder in FOLDERS:
            places += sorted(glob.glob(folder), key=_version, reverse=True)
        path = shutil.which(program, path=os.pathsep.join(places))
        if path is None:
            raise NotInstalled(program, self.PACKAGE)
        return path

    def _account(self):
        """Return the ids of the user and of the group that runs it."""
        if os.geteuid():
            return os.geteuid(), os.getegid()
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        entry, *_ = [known[name] for name in self.ACCOUNTS if name in known]
        return entry.pw_uid, entry.pw_gid

    def _run(self, command):
        done = subprocess.run(
            command, cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=self._log, stderr=self._log, user=self._user,
            group=self._group)
        if done.returncode:
            raise NotStarted(type(self).__name__, self._said())

    def _start(self, command):
        # In a session of its own, so that Ctrl-C does not reach it before it
        # reaches the test.
        self._guard = subprocess.Popen(
            [sys.executable, '-c', GUARD, self.folder, str(self._user),
             str(self._group), str(int(self.STOP)), *command],
            stdin=subprocess.PIPE, stdout=self._log, stderr=self._log,
            start_new_session=True)

    def _stop(self):
        if self._guard is None:
            shutil.rmtree(self.folder)
        else:
            self._guard.stdin.close()
            self._guard.wait()

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + DEADLINE
        while not self._answers():
            if (self._guard.poll() is not None or
                    time.monotonic() > deadline):
                raise NotStarted(type(self).__name__, self._said())
            time.sleep(0.02)

    def _answers(self):
        try:
            self._execute('SELECT 1')
        except sa.exc.OperationalError:
            return False
        return True

    def _execute(self, statement):
        engine = sa.create_engine(
            self._url(''), isolation_level='AUTOCOMMIT',
            poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text(statement))

    def _said(self):
        self._log.seek(0)
        return self._log.read().decode(errors='replace')


class MariaDB(Server):
    """A MariaDB, with the settings of Nova's installation guide."""

    PACKAGE = 'mariadb-server'
    PROGRAMS = ('mariadb-install-db', 'mariadbd')
    ACCOUNTS = ('mysql', 'nobody')

    def copy(self, name, other):
        url = self.create(other)
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql('SET FOREIGN_KEY_CHECKS = 0')
            for table in sa.inspect(connection).get_table_names(name):
                # "CREATE TABLE ... LIKE" would leave out foreign keys.
                _, statement = connection.exec_driver_sql(
                    'SHOW CREATE TABLE %s.%s' % (name, table)).one()
                connection.exec_driver_sql(statement.replace('%', '%%'))
                connection.exec_driver_sql(
                    'INSERT INTO %s SELECT * FROM %s.%s' % (
                        table, name, table))
        return url

    def _to_initialize(self):
        # Its temporary tables are files with its process id; one that was
        # killed, or runs in another container, may have left some.
        return ['--no-defaults', '--datadir=' + self._path('data'),
                '--tmpdir=' + self.folder,
                '--auth-root-authentication-method=normal',
                '--skip-name-resolve', '--skip-test-db']

    def _to_serve(self):
        arguments = [
            '--no-defaults', '--skip-networking',
            '--datadir=' + self._path('data'),
            '--tmpdir=' + self.folder,
            '--socket=' + self._path('socket'),
            '--pid-file=' + self._path('pid'),
            # The guide has "utf8", which is this one. A column that takes
            # four bytes has to say so.
            '--character-set-server=utf8mb3',
            '--collation-server=utf8mb3_general_ci',
            # As much as a row takes, and what it is written with.
            '--max-allowed-packet=64M',
            '--innodb-flush-log-at-trx-commit=%d' % self._durable]
        if not self._durable:
            arguments += ['--skip-innodb-doublewrite']
        return arguments

    def _fresh(self, name):
        return ('DROP DATABASE IF EXISTS %s' % name,
                'CREATE DATABASE %s' % name)

    def _url(self, name):
        return 'mysql+pymysql://root@localhost/%s?%s' % (
            name, 'charset=utf8mb4&unix_socket=' + self._path('socket'))


class PostgreSQL(Server):
    """A PostgreSQL."""

    PACKAGE = 'postgresql'
    PROGRAMS = ('initdb', 'postgres')
    ACCOUNTS = ('postgres', 'nobody')
    # With SIGKILL its children would stay, until they notice.
    STOP = signal.SIGQUIT

    def copy(self, name, other):
        self._execute('CREATE DATABASE %s TEMPLATE %s' % (other, name))
        return self._url(other)

    def _to_initialize(self):
        # The only locale that is there on every machine. From release 15 on
        # texts may be compared by another one, as most installations do.
        options = subprocess.run([self._initialize, '--help'],
                                 stdout=subprocess.PIPE, text=True).stdout
        compared = (['--locale-provider=icu', '--icu-locale=en-US']
                    if '--icu-locale' in options else [])
        return ['--no-locale', '--encoding=UTF8', *compared,
                '--username=nova', '--auth=trust', '--no-sync',
                '--pgdata=' + self._path('data')]

    def _to_serve(self):
        arguments = ['-D', self._path('data'), '-c', 'listen_addresses=',
                     '-c', 'unix_socket_directories=' + self.folder]
        if not self._durable:
            for option in ('fsync', 'synchronous_commit', 'full_page_writes'):
                arguments += ['-c', option + '=off']
        return arguments

    def _fresh(self, name):
        return ('DROP DATABASE IF EXISTS %s WITH (FORCE)' % name,
                'CREATE DATABASE %s' % name)

    def _url(self, name):
        return 'postgresql+psycopg2://nova@/%s?host=%s' % (
            name or 'postgres', self.folder)


#: The servers by the names that shared() takes.
KINDS = {'mariadb': MariaDB, 'postgresql': PostgreSQL}


@functools.lru_cache(maxsize=None)
def shared(kind):
    """Return the server of a kind that all tests of this process share.

    It is started when it is first asked for, and ends with the process.

    :param kind: 'mariadb' or 'postgresql'
    :raises: NotInstalled, NotStarted
    """
    server = KINDS[kind]()
    server.setUp()
    return server


def _version(folder):
    """Sort key of a folder: the numbers in its path."""
    return [int(part) for part in folder.replace('-', '/').split('/')
            if part.isdigit()]
