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

"""A cloud of one cell in which every service is a process of its own.

Each has its own nova.conf, as they have on the machines of a real cloud:

- API level, with the API database and the message bus ``super``: nova-api,
  super-conductor, scheduler.
- cell1, with the message bus ``cell1``: a conductor that knows the database
  of its cell and no other; three nova-computes, which know none.

Placement is real, the bus is in wire.py, the rest in standins.py. Nothing is
needed but this environment of Python.
"""

import contextlib
import os
import shutil
import socket
import sqlite3
import time

import fixtures
import requests

from tests.functional import process
from tests.functional import standins
from tests.functional import wire

HOSTS = ('host1', 'host2', 'host3')

PASTE = '''
[composite:osapi_compute]
use = call:nova.api.openstack.urlmap:urlmap_factory
/v2.1: api

[pipeline:api]
pipeline = faultwrap admin router

[filter:faultwrap]
paste.filter_factory = nova.api.openstack:FaultWrapper.factory

[filter:admin]
paste.filter_factory = standins:admin

[app:router]
paste.app_factory = nova.api.openstack.compute:APIRouterV21.factory
'''

PLACEMENT = '''
[placement_database]
connection = %s
sync_on_startup = True

[api]
auth_strategy = noauth2
'''

#: In SQLite, a transaction that has read must not write once another process
#: has written. So it begins with its first write, waiting for its turn.
SQLITE = '''
import wrapt


def begin(connection):
    connection.connection.dbapi_connection.isolation_level = 'IMMEDIATE'
    # oslo.db is not to begin one.
    connection.info['in_transaction'] = True


def listen(module):
    import sqlalchemy
    sqlalchemy.event.listen(sqlalchemy.engine.Engine, 'begin', begin)


wrapt.register_post_import_hook(listen, 'oslo_db.sqlalchemy.engines')
'''

#: In a compute: the preparation of a resize fails, once for each file that
#: is in a folder.
FAIL = '''
import os

import wrapt


def prep_resize(wrapped, manager, args, kwargs):
    for name in os.listdir(%(faults)r):
        os.replace(os.path.join(%(faults)r, name),
                   os.path.join(%(failed)r, manager.host))
        raise RuntimeError('prep_resize was told to fail')
    return wrapped(*args, **kwargs)


wrapt.register_post_import_hook(
    lambda module: wrapt.wrap_function_wrapper(
        module, 'ComputeManager._prep_resize', prep_resize),
    'nova.compute.manager')
'''

#: In the super-conductor: having cast a move to a compute, it goes on when
#: nothing is in a folder. When it has done with a server it leaves a file.
HOLD = '''
import os
import time

import wrapt


def execute(wrapped, task, args, kwargs):
    result = wrapped(*args, **kwargs)
    while os.listdir(%(holds)r):
        time.sleep(0.05)
    return result


def migrate_server(wrapped, manager, args, kwargs):
    try:
        return wrapped(*args, **kwargs)
    finally:
        uuid = kwargs['instance'].uuid
        open(os.path.join(%(done)r, uuid), 'w').close()


wrapt.register_post_import_hook(
    lambda module: wrapt.wrap_function_wrapper(
        module, 'MigrationTask.execute', execute),
    'nova.conductor.tasks.migrate')
wrapt.register_post_import_hook(
    lambda module: wrapt.wrap_function_wrapper(
        module, 'ComputeTaskManager.migrate_server', migrate_server),
    'nova.conductor.manager')
'''


class Cluster(fixtures.Fixture):
    """Start it once for many tests: that takes some 20 seconds.

    :param plugin: whether the plugin is on, in every service
    :ivar flavors: {'small': id, 'large': id}
    """

    def __init__(self, plugin=True):
        super().__init__()
        self._plugin = plugin

    def _setUp(self):
        self._path = self.useFixture(fixtures.TempDir()).path
        self._folders = {name: self._file(name)
                         for name in ('faults', 'failed', 'holds', 'done')}
        for folder in self._folders.values():
            os.mkdir(folder)
        # They are there before the processes that inherit them, so that all
        # can be started at once: who comes early waits in the backlog.
        listeners = {name: socket.create_server(('127.0.0.1', 0), backlog=100)
                     for name in ('bus',) + standins.APPLICATIONS}
        self._addresses = {name: '%s:%d' % listener.getsockname()
                           for name, listener in listeners.items()}
        self._session = requests.Session()
        self._session.trust_env = False   # no proxies
        self._processes = []
        self._prepare_databases()
        self._start_surroundings(listeners)
        self._start_nova(listeners)
        for listener in listeners.values():
            listener.close()
        self.wait_until(self._computes_are_there, self.errors)
        self.flavors = {name: self._create_flavor(name, ram)
                        for name, ram in (('small', 64), ('large', 128))}

    # What a user does

    def request(self, method, path, body=None):
        """Send a request to nova-api and return what is in the answer."""
        response = self._session.request(
            method, self._url('nova_api') + '/v2.1' + path, json=body,
            headers={'X-OpenStack-Nova-API-Version': '2.90'},
            timeout=process.DEADLINE)
        if not response.ok:
            raise AssertionError('%s %s: %d %s' % (
                method, path, response.status_code, response.text))
        return response.json() if response.content else None

    def boot(self, group=None, status='ACTIVE', **fields):
        """Boot a small server and wait until it has that status.

        :param group: the id of a server group
        :returns: the server
        """
        body = {'server': dict(
            name='server', imageRef=standins.IMAGE, networks='none',
            flavorRef=self.flavors['small'], **fields)}
        if group:
            body['os:scheduler_hints'] = {'group': group}
        server = self.request('POST', '/servers', body)['server']
        return self.wait_for(server['id'], status)

    def create_group(self, policy):
        """Return the id of a new server group."""
        return self.request('POST', '/os-server-groups', {'server_group': {
            'name': policy, 'policy': policy}})['server_group']['id']

    def act(self, server_id, action, **arguments):
        self.request('POST', '/servers/%s/action' % server_id,
                     {action: arguments or None})

    def show(self, server_id):
        return self.request('GET', '/servers/' + server_id)['server']

    def wait_for(self, server_id, status):
        """Wait until a server has that status and nothing is done with it.

        :returns: the server
        """
        def there():
            server = self.show(server_id)
            if server['OS-EXT-STS:task_state'] is not None:
                return False
            if server['status'] == 'ERROR' != status:
                raise AssertionError('%s is in ERROR, not %s.\n%s' % (
                    server_id, status, self.errors()))
            return server['status'] == status and server
        return self.wait_until(
            there, lambda: '%s is not %s.\n%s' % (
                self.show(server_id), status, self.errors()))

    # What a test does

    def wait_until(self, condition, complaint):
        """Wait until a function returns something true, and return that.

        :param complaint: a function that says what is wrong otherwise
        """
        deadline = time.monotonic() + process.DEADLINE
        while True:
            for one in self._processes:
                if one.has_ended():
                    raise AssertionError(one.everything())
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(complaint())
            time.sleep(0.05)

    def fail_prep_resize(self, times):
        """Have the next preparations of a resize fail, wherever they are."""
        for folder in ('faults', 'failed'):
            for name in os.listdir(self._folders[folder]):
                os.unlink(os.path.join(self._folders[folder], name))
        for number in range(times):
            self._touch('faults', str(number))

    def failed(self):
        """Return the hosts that have failed as fail_prep_resize() asked."""
        return os.listdir(self._folders['failed'])

    @contextlib.contextmanager
    def late_super_conductor(self):
        """Hold the super-conductor when it has cast a move to a compute."""
        path = self._touch('holds', 'hold')
        try:
            yield
        finally:
            os.unlink(path)

    def wait_for_super_conductor(self, server_id):
        """Wait until it has done with a move of a server.

        It saves the request spec after it has cast the move, so maybe after
        the end of that.
        """
        path = os.path.join(self._folders['done'], server_id)
        self.wait_until(lambda: os.path.exists(path), self.errors)
        os.unlink(path)

    def rows(self, database, table, server_id):
        """Return the rows of a server as dicts, the oldest first."""
        connection = sqlite3.connect(self._database(database), timeout=60)
        connection.row_factory = sqlite3.Row
        with contextlib.closing(connection):
            return [dict(row) for row in connection.execute(
                'SELECT * FROM %s WHERE instance_uuid = ? ORDER BY id' %
                table, (server_id,))]

    def errors(self):
        """Return what was logged as an error, without the tracebacks."""
        return '\n'.join(line[:300] for line in self.said(' ERROR ')
                         if ' req-' in line or '[-]' in line)

    def said(self, text):
        """Return the lines of all logs that have a text."""
        return [line for one in self._processes
                for line in one.everything().splitlines() if text in line]

    # How it is set up

    def _file(self, name):
        return os.path.join(self._path, name)

    def _touch(self, folder, name):
        path = os.path.join(self._folders[folder], name)
        open(path, 'w').close()
        return path

    def _database(self, name):
        return self._file(name + '.db')

    def _connection(self, name):
        return 'sqlite:///%s?timeout=60' % self._database(name)

    def _prepare_databases(self):
        bare, ready, _ = process.new_cloud()
        for name in ('api', 'cell0', 'cell1'):
            shutil.copy(os.path.join(ready if self._plugin else bare,
                                     name + '.db'), self._path)
            # Nobody waits for a reader.
            self._change(name, 'PRAGMA journal_mode = WAL')
            self._change('api', 'UPDATE cell_mappings SET '
                         'database_connection = ? WHERE name = ?',
                         self._connection(name), name)
        self._change('api', 'UPDATE cell_mappings SET transport_url = ? '
                     "WHERE name = 'cell1'", self._bus('cell1'))
        for host in HOSTS:   # as "nova-manage cell_v2 discover_hosts" would
            self._change('api', 'INSERT INTO host_mappings (cell_id, host) '
                         'SELECT id, ? FROM cell_mappings '
                         "WHERE name = 'cell1'", host)

    def _change(self, database, statement, *parameters):
        connection = sqlite3.connect(self._database(database))
        with contextlib.closing(connection), connection:
            connection.execute(statement, parameters)

    def _bus(self, name):
        return 'wire://%s/%s' % (self._addresses['bus'], name)

    def _url(self, name):
        return 'http://' + self._addresses[name]

    def _start_surroundings(self, listeners):
        bus, placement, glance = (
            self.useFixture(process.Deployment()) for _ in range(3))
        bus.put('wire.py', _source(wire))
        self._start(bus, 'wire.py', listener=listeners['bus'])
        placement.put('placement.conf',
                      PLACEMENT % self._connection('placement'))
        self._serve(placement, 'placement', listeners)
        self._serve(glance, 'glance_and_neutron', listeners)

    def _start_nova(self, listeners):
        both = {'api_database': {'connection': self._connection('api')},
                'database': {'connection': self._connection('cell0')}}
        own = {'database': {'connection': self._connection('cell1')}}
        api = self._nova('super', 'super', **both)
        api.put('api-paste.ini', PASTE)
        self._serve(api, 'nova_api', listeners)
        self._start(self._nova('super', 'super', **both), 'nova-scheduler')
        conductor = self._nova('super', 'super', **both)
        conductor.customize(HOLD % self._folders)
        self._start(conductor, 'nova-conductor')
        self._start(self._nova('cell1', 'cell1', **own), 'nova-conductor')
        for host in HOSTS:
            compute = self._nova('cell1', host)
            compute.customize(FAIL % self._folders)
            self._start(compute, 'nova-compute')

    def _nova(self, bus, host, **sections):
        """Return a Deployment of one service of Nova."""
        deployment = self.useFixture(process.Deployment())
        deployment.distribution(
            'wire', '1', '[oslo.messaging.drivers]\nwire = wire:Driver\n')
        deployment.module('wire', _source(wire))
        deployment.customize(SQLITE)
        deployment.options = {
            'DEFAULT': {
                'transport_url': self._bus(bus),
                'host': host,
                'my_ip': '127.0.0.1',
                'state_path': deployment.path,
                'compute_driver': 'fake.FakeDriverWithoutFakeNodes',
                # Whatever happens is what a test has asked for.
                'periodic_enable': 'False',
                'report_interval': '1000',
                'service_down_time': '10000',
            },
            'wsgi': {'api_paste_config': os.path.join(
                deployment.path, 'api-paste.ini')},
            'oslo_concurrency': {'lock_path': deployment.path},
            'conductor': {'workers': '1'},
            'scheduler': {'workers': '1'},
            'filter_scheduler': {'track_instance_changes': 'False'},
            'vnc': {'enabled': 'False'},
            'placement': {'auth_type': 'admin_token', 'token': 'admin',
                          'endpoint': self._url('placement')},
            'neutron': {'auth_type': 'none', 'endpoint_override':
                        self._url('glance_and_neutron')},
            'glance': {'endpoint_override': self._url('glance_and_neutron')},
            **sections}
        if self._plugin:
            deployment.options['DEFAULT']['config_source'] = 'cells_persist'
            deployment.options['cells_persist'] = {
                'driver': 'nova_cells_persist'}
        return deployment

    def _serve(self, deployment, name, listeners):
        deployment.put('standins.py', _source(standins))
        self._start(deployment, 'standins.py', name, listener=listeners[name])

    def _start(self, deployment, program, *arguments, listener=None):
        inherit = [listener.fileno()] if listener else []
        self._processes.append(deployment.start(
            program, *arguments, *map(str, inherit), inherit=inherit))

    def _create_flavor(self, name, ram):
        return self.request('POST', '/flavors', {'flavor': {
            'name': name, 'ram': ram, 'vcpus': 1, 'disk': 1}})['flavor']['id']

    def _computes_are_there(self):
        response = self._session.get(
            self._url('placement') + '/resource_providers?resources=VCPU:1',
            headers={'X-Auth-Token': 'admin',
                     'OpenStack-API-Version': 'placement 1.4'},
            timeout=process.DEADLINE)
        return len(response.json()['resource_providers']) == len(HOSTS)


def _source(module):
    with open(module.__file__) as file:
        return file.read()
