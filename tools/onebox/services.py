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

"""The services of a cloud: how each is started, and when it is there."""

import contextlib
import dataclasses
import functools
import glob
import os
import pwd
import shutil
import socket
import time
import typing

import pymysql
import requests

from tools import environments
from tools.onebox import configuration
from tools.onebox import errors
from tools.onebox import place as places

# For what takes some seconds, on a machine that has much else to do.
DEADLINE = 120

# Where distributions put what is not meant for everybody's PATH.
FOLDERS = ('/usr/sbin', '/usr/libexec', '/usr/lib/erlang/bin',
           '/usr/lib/erlang/erts-*/bin',
           '/usr/lib64/erlang/bin', '/usr/lib/rabbitmq/lib/*/sbin')


@dataclasses.dataclass(frozen=True)
class Service:
    """One service.

    :param answers: called with nothing, returns whether it is there; None for
        one that is asked through another, see Cloud.wait_for_nova()
    :param listener: which of place.LISTENERS it is, if any
    """

    name: str
    command: list
    env: dict = dataclasses.field(default_factory=dict)
    answers: typing.Callable = None
    listener: str = None


def program(name):
    """Return the path of a program of the distribution.

    :raises: NotInstalled
    """
    # What Debian has on PATH as rabbitmq-server changes to another account.
    folders = ['/usr/lib/rabbitmq/bin', os.environ.get('PATH', os.defpath)]
    for pattern in FOLDERS:
        folders += sorted(glob.glob(pattern), reverse=True)
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        raise errors.NotInstalled(name)
    return path


def accepts(port):
    """Return whether something listens on a port of 127.0.0.1."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((places.HOST, port)) == 0


def _speaks_http(url):
    # uWSGI opens its socket before it has loaded the application.
    try:
        requests.get(url, timeout=60)
    except requests.RequestException:
        return False
    return True


def microversion(place):
    """Return the newest microversion of the cloud's nova-api, a str."""
    versions = requests.get(place.url('nova-api', '/')).json()['versions']
    return max(versions, key=lambda version: version['id'])['version']


def connect(place, server):
    """Return a connection to a MariaDB of the cloud, of pymysql.

    :param server: 'control', 'api', 'cell1' or 'cell2'
    """
    return pymysql.connect(
        host=places.HOST, port=place.port('mariadb-' + server), user='cloud',
        password=place.password, autocommit=True, connect_timeout=5)


def locks(place):
    """Return the transactions that hold locks, and go on doing so, a set.

    A MariaDB that does not answer has none.
    """
    first, second = _locks(place), set()
    if first:
        time.sleep(0.1)
        second = _locks(place)
    return first & second


def _locks(place):
    found = set()
    for server in set(places.DATABASES.values()):
        with contextlib.suppress(pymysql.Error):
            connection = connect(place, server)
            with contextlib.closing(connection), connection.cursor() as rows:
                rows.execute('SELECT trx_id FROM information_schema.innodb_trx'
                             ' WHERE trx_rows_locked > 0'
                             ' OR trx_rows_modified > 0')
                found |= {(server, *row) for row in rows.fetchall()}
    return found


def _serves_sql(place, server):
    try:
        connect(place, server).close()
    except pymysql.Error:
        return False
    return True


def _account():
    # MariaDB and memcached ask root to say so. They are as private to that
    # account as the folder is.
    return pwd.getpwuid(os.geteuid()).pw_name


def mariadb(place, server):
    """Return a MariaDB, with its folder filled."""
    name = 'mariadb-' + server
    folder = place.path('data', name)
    # Two of them at work in one folder remove each other's tables.
    temporary = place.made('data', name + '-tmp')
    if not os.path.exists(os.path.join(folder, 'mysql')):
        # The account root gets in through the socket alone.
        environments.run([
            program('mariadb-install-db'), '--no-defaults',
            '--user=' + _account(), '--datadir=' + place.made('data', name),
            '--skip-name-resolve', '--skip-test-db'],
            env={'TMPDIR': temporary})
    first = os.path.join(folder, 'first.sql')
    with open(first, 'w') as file:
        file.write(
            "CREATE USER IF NOT EXISTS 'cloud'@'%s' IDENTIFIED BY '%s';\n"
            "GRANT ALL ON *.* TO 'cloud'@'%s';\n" % (
                places.HOST, place.password, places.HOST))
        for database, where in places.DATABASES.items():
            if where == server:
                file.write('CREATE DATABASE IF NOT EXISTS %s '
                           'CHARACTER SET utf8mb3;\n' % database)
    return Service(name, [
        program('mariadbd'), '--no-defaults', '--user=' + _account(),
        '--datadir=' + folder, '--tmpdir=' + temporary,
        '--init-file=' + first,
        # In the folder. The path of a socket may have 107 characters.
        '--socket=socket', '--pid-file=pid',
        '--bind-address=' + places.HOST, '--port=%d' % place.port(name),
        '--skip-name-resolve', '--max-connections=1000',
        '--innodb-buffer-pool-size=64M', '--performance-schema=OFF',
        # A commit need not survive a power cut.
        '--innodb-flush-log-at-trx-commit=0', '--sync-binlog=0'],
        answers=functools.partial(_serves_sql, place, server), listener=name)


def epmd(place):
    """Return Erlang's port mapper, which RabbitMQ would start as a daemon."""
    return Service(
        'epmd', [program('epmd'), '-address', places.HOST,
                 '-port', str(place.port('epmd'))],
        answers=functools.partial(accepts, place.port('epmd')),
        listener='epmd')


def rabbitmq(place):
    """Return the one RabbitMQ, with a virtual host for each cell."""
    folder = place.made('data', 'rabbitmq')
    settings = os.path.join(folder, 'rabbitmq.conf')
    with open(settings, 'w') as file:
        file.write('listeners.tcp.1 = %s:%d\n'
                   'load_definitions = %s/definitions.json\n'
                   'log.console = true\n'
                   'log.console.level = warning\n'
                   'log.file = false\n' % (
                       places.HOST, place.port('rabbitmq'), folder))
    _define(place, os.path.join(folder, 'definitions.json'))
    return Service('rabbitmq', [program('rabbitmq-server')], {
        # With the cookie of Erlang.
        'HOME': folder,
        'RABBITMQ_NODENAME': 'cloud@localhost',
        'RABBITMQ_CONFIG_FILE': settings,
        'RABBITMQ_CONF_ENV_FILE': '/dev/null',
        'RABBITMQ_ENABLED_PLUGINS_FILE': os.path.join(folder, 'plugins'),
        'RABBITMQ_MNESIA_BASE': place.made('data', 'rabbitmq', 'mnesia'),
        'RABBITMQ_LOG_BASE': folder,
        'RABBITMQ_PID_FILE': os.path.join(folder, 'pid'),
        'RABBITMQ_DIST_PORT': str(place.port('rabbitmq-nodes')),
        'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS':
            '-kernel inet_dist_use_interface {127,0,0,1} '
            # Do not spin while there is nothing to do.
            '+sbwt none +sbwtdcpu none +sbwtdio none',
        'ERL_EPMD_ADDRESS': places.HOST,
        'ERL_EPMD_PORT': str(place.port('epmd')),
    }, answers=functools.partial(accepts, place.port('rabbitmq')),
        listener='rabbitmq')


def _define(place, path):
    everything = {'configure': '.*', 'write': '.*', 'read': '.*'}
    definitions = {
        'users': [{'name': 'cloud', 'password': place.password,
                   'tags': 'administrator'}],
        'vhosts': [{'name': vhost} for vhost in places.VHOSTS],
        'permissions': [dict(everything, user='cloud', vhost=vhost)
                        for vhost in places.VHOSTS]}
    configuration.write_json(path, definitions)


def memcached(place):
    return Service(
        'memcached', [program('memcached'), '-u', _account(), '-m', '64',
                      '-l', places.HOST, '-p', str(place.port('memcached'))],
        answers=functools.partial(accepts, place.port('memcached')),
        listener='memcached')


def _wsgi(place, name, environment, module, env, processes=1, threads=4):
    url = place.url(name, '/')
    return Service(name, [
        environment.program('uwsgi'), '--module', module,
        '--http-socket', '%s:%d' % (places.HOST, place.port(name)),
        '--processes', str(processes), '--threads', str(threads),
        '--master', '--enable-threads', '--lazy-apps', '--need-app',
        '--die-on-term', '--listen', '100', '--buffer-size', '65535',
        '--http-chunked-input', '--add-header', 'Connection: close',
        '--disable-logging', '--log-5xx', '--procname-prefix', name + ' '],
        env, functools.partial(_speaks_http, url), name)


def keystone(place, environment):
    return _wsgi(place, 'keystone', environment,
                 'keystone.wsgi.api:application',
                 {'OS_KEYSTONE_CONFIG_DIR': place.path('etc', 'keystone')})


def placement(place, environment):
    return _wsgi(place, 'placement', environment,
                 'placement.wsgi.api:application',
                 {'OS_PLACEMENT_CONFIG_DIR': place.path('etc', 'placement')})


def glance(place, environment):
    return _wsgi(place, 'glance', environment, 'glance.wsgi.api:application',
                 {'OS_GLANCE_CONFIG_DIR': place.path('etc', 'glance')})


def neutron(place, environment):
    return _wsgi(place, 'neutron', environment, 'neutron.wsgi.api:application',
                 {'OS_NEUTRON_CONFIG_DIR': place.path('etc', 'neutron'),
                  'OS_NEUTRON_CONFIG_FILES': 'neutron.conf'})


def nova_api(place, environment, name='nova-api'):
    env = {'OS_NOVA_CONFIG_DIR': place.path('etc', name)}
    if environment.has('nova/wsgi/osapi_compute.py'):
        return _wsgi(place, name, environment,
                     'nova.wsgi.osapi_compute:application', env)
    # Before Nova 31 there was none, and eventlet is patched in: a process
    # takes one request at a time.
    return _wsgi(place, name, environment,
                 'nova.api.openstack.compute.wsgi:init_application()', env,
                 processes=3, threads=1)


def nova(place, environment, binary, name):
    """Return a Nova service that has no port."""
    return Service(name, [environment.program(binary), '--config-file',
                          configuration.nova_path(place, name)])
