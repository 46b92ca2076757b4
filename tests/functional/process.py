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

"""Nova's programs as real processes, with a nova.conf and databases."""

import atexit
import collections
import configparser
import functools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import fixtures

from tests.functional import customizations

# For what takes seconds, on a machine that has much else to do.
DEADLINE = 100

#: The program that is nova-api as a WSGI application.
WSGI = 'nova_api.py'

# Loads nova-api as a WSGI server does, and asks it for its versions.
API = '''
import io
import os
import sys

import nova


def load():
    if os.path.exists(os.path.join(
            nova.__path__[0], 'wsgi', 'osapi_compute.py')):
        from nova.wsgi import osapi_compute
        return osapi_compute.application
    from nova.api.openstack.compute import wsgi
    return wsgi.init_application()


def ask(application):
    answers = []
    body = application(
        {'REQUEST_METHOD': 'GET', 'SCRIPT_NAME': '', 'PATH_INFO': '/',
         'SERVER_NAME': 'localhost', 'SERVER_PORT': '80',
         'SERVER_PROTOCOL': 'HTTP/1.1', 'HTTP_HOST': 'localhost',
         'REMOTE_ADDR': '127.0.0.1', 'wsgi.url_scheme': 'http',
         'wsgi.input': io.BytesIO()},
        lambda status, headers: answers.append(status))
    list(body)
    return answers[0]


if __name__ == '__main__':
    print(ask(load()))
'''

# What Nova itself says on standard error before it has a log.
NOTICES = ('Modules with known eventlet monkey patching issues',
           'Eventlet based concurrency mode is deprecated',
           # oslo.config, which goes on without the driver.
           'could not load configuration from')

#: A placement that does not answer, which is enough for nova-conductor.
DEAD_PLACEMENT = {'auth_type': 'none',
                  'endpoint_override': 'http://127.0.0.1:1'}

#: Of a process that has ended: its exit status, and the text it printed.
Result = collections.namedtuple('Result', 'status output errors')


# Noted while no test runs: each test has a folder of its own for these, and
# takes it away.
_TEMPORARY = tempfile.gettempdir()


@functools.lru_cache(maxsize=None)
def _scratch():
    folder = tempfile.mkdtemp(dir=_TEMPORARY)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def scripts(name, prefix=sys.prefix):
    """Return the path of a program of an environment of Python.

    :param prefix: the folder of that; of this process's own by default
    """
    return os.path.join(prefix, 'bin', name)


class Process:
    """A process that runs, with its output and its log in files."""

    def __init__(self, command, folder, log, env, inherit=()):
        self.command = command
        self.log_path = log
        self._paths = [os.path.join(folder, name) for name in (
            'stdout', 'stderr')]
        with open(self._paths[0], 'w') as out, open(
                self._paths[1], 'w') as err:
            # A session of its own, to end its workers with it.
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                cwd=folder, env=env, start_new_session=True,
                pass_fds=inherit)

    def log(self):
        """Return what is in the log by now."""
        return _read(self.log_path)

    def wait_for_log(self, text):
        """Wait until the log has text.

        :returns: the first line that has it
        """
        deadline = time.monotonic() + DEADLINE
        while True:
            ended = self.has_ended()
            for line in self.log().splitlines():
                if text in line:
                    return line
            if ended or time.monotonic() > deadline:
                raise AssertionError('%s: %r is not in its log.\n%s' % (
                    self.command, text, self.everything()))
            time.sleep(0.05)

    def wait(self):
        """Wait until the process has ended.

        :returns: a Result
        """
        try:
            status = self._popen.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            raise AssertionError('%s does not end.\n%s' % (
                self.command, self.everything()))
        return Result(status, *(_read(path) for path in self._paths))

    def has_ended(self):
        return self._popen.poll() is not None

    def kill(self):
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._popen.wait()

    def everything(self):
        """Return what it has printed and what is in its log by now."""
        return ''.join('%s:\n%s\n' % (os.path.basename(path), _read(path))
                       for path in self._paths + [self.log_path])


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ''


class Deployment(fixtures.Fixture):
    """A nova.conf in a folder of its own, and processes that read it.

    What was started has ended, and the folder is gone, when the fixture is
    cleaned up.

    :param prefix: the folder of the environment of Python that the programs
        are of
    :ivar options: {section: {option: value}} of nova.conf; change it before
        a process is started
    :ivar variables: {name: value} for the environment of these
    """

    def __init__(self, prefix=sys.prefix):
        super().__init__()
        self._prefix = prefix

    def _setUp(self):
        self.path = self.useFixture(fixtures.TempDir()).path
        self._site = os.path.join(self.path, 'site')
        os.mkdir(self._site)
        self._number = 0
        self.variables = {}
        self.options = {
            'DEFAULT': {
                'config_source': 'cells_persist',
                'transport_url': 'fake://',
                'host': 'localhost',
                'compute_driver': 'fake.FakeDriver',
                'state_path': self.path,
                'enabled_apis': 'osapi_compute',
                'osapi_compute_listen': '127.0.0.1',
                'osapi_compute_listen_port': '0',
                'osapi_compute_workers': '1',
            },
            'database': {'connection': self.url('cell1')},
            'api_database': {'connection': self.url('api')},
            'oslo_concurrency': {'lock_path': self.path},
            'conductor': {'workers': '1'},
            'scheduler': {'workers': '1'},
            'api': {'auth_strategy': 'noauth2'},
            'wsgi': {'api_paste_config': os.path.join(
                self.path, 'api-paste.ini')},
            'cells_persist': {'driver': 'nova_cells_persist'},
        }
        shutil.copy(os.path.join(self._prefix, 'etc', 'nova',
                                 'api-paste.ini'), self.path)
        self._write(WSGI, API)

    def url(self, name):
        return 'sqlite:///' + self.database(name)

    def database(self, name):
        """Return the path of the SQLite file of a database."""
        return os.path.join(self.path, name + '.db')

    def start(self, program, *arguments, inherit=()):
        """Start a program of Nova and return a Process.

        :param program: such as nova-conductor, WSGI, or the name of a script
            that was put() here
        :param inherit: descriptors of files that it is given
        """
        self._write_conf()
        self._number += 1
        folder = os.path.join(self.path, 'process%d' % self._number)
        os.mkdir(folder)
        log = os.path.join(folder, 'log')
        if program.endswith('.py'):
            command = [scripts('python', self._prefix),
                       os.path.join(self.path, program)]
        else:
            command = [scripts(program, self._prefix)]
        command += ['--config-file', os.path.join(self.path, 'nova.conf')]
        # The command of the plugin has no log.
        if program != 'nova-cells-persist':
            command += ['--log-file', log]
        process = Process(
            command + list(arguments), folder, log, self._env(), inherit)
        self.addCleanup(process.kill)
        return process

    def run(self, program, *arguments):
        """Start a program, wait until it has ended and return a Result."""
        return self.start(program, *arguments).wait()

    def put(self, name, source):
        """Write a Python script, to start() it."""
        self._write(name, source)

    def module(self, name, source):
        """Have a Python module that every process can import."""
        self._write(os.path.join(self._site, name + '.py'), source)

    def customize(self, source):
        """Have every process run this source before anything else."""
        with open(os.path.join(self._site, 'sitecustomize.py'), 'a') as file:
            file.write(source)

    def witness(self):
        """Have the processes testify(); the last to end is remembered."""
        self.customize(customizations.WITNESS %
                       os.path.join(self.path, 'testimony'))

    def testimony(self):
        """Return {'asked': was the driver loaded, 'on': was the plugin}."""
        return json.loads(_read(os.path.join(self.path, 'testimony')))

    def distribution(self, name, version, entry_points=''):
        """Install a distribution that has nothing but metadata.

        It hides one of the same name.
        """
        folder = os.path.join(self._site, '%s-%s.dist-info' % (name, version))
        os.mkdir(folder)
        for file_name, text in (
                ('METADATA', 'Metadata-Version: 2.1\nName: %s\nVersion: %s\n'
                 % (name, version)),
                ('entry_points.txt', entry_points)):
            with open(os.path.join(folder, file_name), 'w') as file:
                file.write(text)

    def execute(self, database, statement, *parameters):
        """Run a statement in a database."""
        connection = sqlite3.connect(self.database(database))
        with connection:
            connection.execute(statement, parameters)
        connection.close()

    def query(self, database, statement, *parameters):
        """Return the first value that a statement finds in a database."""
        connection = sqlite3.connect(self.database(database))
        value, = connection.execute(statement, parameters).fetchone()
        connection.close()
        return value

    def copy_databases(self, source):
        """Take the databases of another folder; the cells are these."""
        for name in ('api', 'cell0', 'cell1'):
            shutil.copy(os.path.join(source, name + '.db'), self.path)
            self.execute(
                'api', 'UPDATE cell_mappings SET database_connection = ? '
                'WHERE name = ?', self.url(name), name)

    def _write(self, name, text):
        with open(os.path.join(self.path, name), 'w') as file:
            file.write(text)

    def _write_conf(self):
        conf = configparser.RawConfigParser(default_section='')
        conf.read_dict(self.options)
        with open(os.path.join(self.path, 'nova.conf'), 'w') as file:
            conf.write(file)

    def _env(self):
        # Without what the test runner has set, so in Nova's default mode.
        env = {name: value for name, value in os.environ.items()
               if not name.startswith('OS_')}
        env.update(
            OS_NOVA_CONFIG_DIR=self.path,
            PYTHONPATH=os.pathsep.join(filter(None, (
                self._site, os.environ.get('PYTHONPATH')))),
            PYTHONWARNINGS='ignore',
            no_proxy='*',   # they talk to this machine only
            XDG_CACHE_HOME=_scratch(),   # where stevedore keeps its cache
            **self.variables)
        return env


@functools.lru_cache(maxsize=None)
def new_cloud():
    """Set up the databases of a new cloud, with the plugin on from the start.

    It is done once, and takes seconds.

    :returns: (folder of the databases before there was a table of the plugin,
        folder of those that are ready, list of (command, Result))
    """
    deployment = Deployment()
    deployment.setUp()
    atexit.register(deployment.cleanUp)
    steps = []

    def run(*command):
        steps.append((command, deployment.run(*command)))

    def snapshot(name):
        folder = os.path.join(_scratch(), name)
        os.mkdir(folder)
        for database in ('api', 'cell0', 'cell1'):
            shutil.copy(deployment.database(database), folder)
        return folder

    for command in of_nova(deployment.url('cell0')):
        run(*command)
    bare = snapshot('bare')
    run(*OF_PLUGIN)
    return bare, snapshot('ready'), steps


def of_nova(cell0):
    """Return the commands that make Nova's databases, a list of tuples.

    :param cell0: the URL of cell0's
    """
    return [('nova-manage', 'api_db', 'sync'),
            ('nova-manage', 'cell_v2', 'map_cell0', '--database_connection',
             cell0),
            ('nova-manage', 'db', 'sync'),
            ('nova-manage', 'cell_v2', 'create_cell', '--name', 'cell1')]


#: The command that makes the tables of the plugin there.
OF_PLUGIN = ('nova-cells-persist', 'db', 'sync')


def said(errors):
    """Return the lines of standard error that are not Nova's own notices."""
    return [line for line in errors.splitlines()
            if line.strip() and not line.startswith(NOTICES)]
