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

"""The processes of a cloud of one cell, and the nova.conf of each."""

import dataclasses
import glob
import os
import socket
import sys

import fixtures

from tests.functional import cloud_databases
from tests.functional import customizations
from tests.functional import process
from tests.functional import standins
from tests.functional import wire

HOSTS = ('host1', 'host2', 'host3')

API, SUPER = 'api', 'super-conductor'
CONDUCTOR, COMPUTE = 'conductor', 'compute'

#: Each is with the plugin or without it. The scheduler, which writes no
#: record, goes with the super-conductor.
ROLES = (API, SUPER, CONDUCTOR, COMPUTE)

#: What nova-compute says as the last of what it does before it serves.
READY = 'Looking for unclaimed instances stuck in BUILDING status'

#: A nova-api that is started only when it is asked for.
SECOND_API = 'second api'

#: The names of what listens, and the application that each serves.
LISTENERS = dict({name: name for name in standins.APPLICATIONS},
                 bus=None, second_api='nova_api')


@dataclasses.dataclass
class Service:
    """One service of Nova.

    :ivar role: that it is in
    :ivar running: its Process, None if it does not run
    """

    role: str
    deployment: process.Deployment
    program: str
    arguments: tuple = ()
    listener: object = None
    running: object = None

    def start(self):
        inherit = [self.listener.fileno()] if self.listener else []
        self.running = self.deployment.start(
            self.program, *self.arguments, *map(str, inherit),
            inherit=inherit)


class Services(fixtures.Fixture):
    """All of them, started in an order that does not matter.

    :param databases: a CloudDatabases
    :param plugin: the roles that have the plugin
    :param prefix: the folder of the environment of Python with Nova
    :param options: of [cells_persist], where the plugin is on
    :ivar workarounds: options of [workarounds], of what is started next
    :ivar folders: {'faults', 'failed', 'holds', 'done': path}, see
        customizations.py
    """

    def __init__(self, databases, plugin, prefix=sys.prefix, options=None):
        super().__init__()
        self._databases = databases
        self._plugin = set(plugin)
        self._prefix = prefix
        self._options = options or {}
        self.workarounds = {}

    def _setUp(self):
        self._path = self.useFixture(fixtures.TempDir()).path
        self.folders = {name: os.path.join(self._path, name)
                        for name in ('faults', 'failed', 'holds', 'done')}
        for folder in self.folders.values():
            os.mkdir(folder)
        # They are there before the processes that inherit them, so that all
        # can be started at once: who comes early waits in the backlog. And
        # they stay, for a service that is started again.
        self._listeners = {name: socket.create_server(
            ('127.0.0.1', 0), backlog=100) for name in LISTENERS}
        for listener in self._listeners.values():
            self.addCleanup(listener.close)
        self._surroundings = []
        self._start_surroundings()
        self._databases.map_hosts(self._bus('cell1'), HOSTS)
        self._services = self._make()
        self.operator = self._api_level()
        for role in ROLES:
            self.start(role)

    # For a cluster

    def url(self, name):
        """Return the URL of what listens under one of LISTENERS."""
        return 'http://%s:%d' % self._listeners[name].getsockname()

    def processes(self):
        """Return the Process of everything that is to run."""
        return self._surroundings + [
            service.running for service in self._services if service.running]

    def start(self, role):
        """Start the services of a role, with the plugin or without."""
        for service in self._of(role):
            self._configure(service.deployment, role in self._plugin)
            service.start()

    def stop(self, role):
        """End the services of a role. What they are sent waits for them."""
        for service in self._of(role):
            if service.running:
                service.running.kill()
                service.running = None

    def switch(self, role, plugin, **options):
        """Restart the services of a role, with the plugin or without.

        :param options: of [cells_persist]
        """
        self.stop(role)
        self._plugin = self._plugin - {role} | ({role} if plugin else set())
        self._options = options
        self.start(role)
        if role == COMPUTE:
            # As it starts Nova gives up what is being built there.
            for service in self._of(role):
                service.running.wait_for_log(READY)

    def run(self, program, *arguments, plugin=True, **options):
        """Run a program as an operator does, with the nova.conf of nova-api.

        :param plugin: whether the plugin is on in that
        :param options: of [cells_persist]
        :returns: a process.Result
        """
        self._options = options
        self._configure(self.operator, plugin)
        return self.operator.run(program, *arguments)

    # How they are set up

    def _of(self, role):
        return [service for service in self._services
                if service.role == role]

    def _bus(self, name):
        return 'wire://%s:%d/%s' % (
            *self._listeners['bus'].getsockname(), name)

    def _start_surroundings(self):
        bus = self.useFixture(process.Deployment())
        bus.put('wire.py', _source(wire))
        listener = self._listeners['bus']
        self._surroundings.append(bus.start(
            'wire.py', str(listener.fileno()), inherit=[listener.fileno()]))
        for name in ('placement', 'glance_and_neutron'):
            deployment = self.useFixture(process.Deployment())
            deployment.put('placement.conf', customizations.PLACEMENT %
                           cloud_databases.file_url(self._path, 'placement'))
            service = _served(None, deployment, name, self._listeners[name])
            service.start()
            self._surroundings.append(service.running)

    def _make(self):
        """Return the services of Nova, a list of Service."""
        made = [self._nova_api(API, 'nova_api'),
                self._nova_api(SECOND_API, 'second_api'),
                Service(SUPER, self._api_level(), 'nova-scheduler'),
                Service(SUPER, self._api_level(), 'nova-conductor'),
                Service(CONDUCTOR, self._nova(
                    'cell1', 'cell1', database={
                        'connection': self._databases.urls['cell1']}),
                    'nova-conductor')]
        made[3].deployment.customize(customizations.HOLD % self.folders)
        for host in HOSTS:
            compute = self._nova('cell1', host)
            compute.customize(customizations.FAIL % self.folders)
            made.append(Service(COMPUTE, compute, 'nova-compute'))
        return made

    def _nova_api(self, role, listener):
        deployment = self._api_level()
        deployment.put('api-paste.ini', customizations.PASTE)
        return _served(role, deployment, 'nova_api',
                       self._listeners[listener])

    def _api_level(self):
        return self._nova(
            'super', 'super',
            api_database={'connection': self._databases.urls['api']},
            database={'connection': self._databases.urls['cell0']})

    def _nova(self, bus, host, **sections):
        """Return a Deployment of one service of Nova."""
        deployment = self.useFixture(process.Deployment(self._prefix))
        deployment.distribution(
            'wire', '1', '[oslo.messaging.drivers]\nwire = wire:Driver\n')
        deployment.module('wire', _source(wire))
        if self._databases.are_files:
            deployment.customize(customizations.SQLITE)
        deployment.options = {
            'DEFAULT': {
                'transport_url': self._bus(bus),
                'host': host,
                'my_ip': '127.0.0.1',
                'state_path': deployment.path,
                'compute_driver': _driver(self._prefix),
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
                          'endpoint': self.url('placement')},
            'neutron': {'auth_type': 'none', 'endpoint_override':
                        self.url('glance_and_neutron')},
            'glance': {'endpoint_override': self.url('glance_and_neutron')},
            **sections}
        return deployment

    def _configure(self, deployment, plugin):
        deployment.options['DEFAULT'].pop('config_source', None)
        deployment.options.pop('cells_persist', None)
        deployment.options['workarounds'] = self.workarounds
        if plugin:
            deployment.options['DEFAULT']['config_source'] = 'cells_persist'
            deployment.options['cells_persist'] = dict(
                self._options, driver='nova_cells_persist')


def _served(role, deployment, name, listener):
    deployment.put('standins.py', _source(standins))
    return Service(role, deployment, 'standins.py', (name,), listener)


def _driver(prefix):
    """Return the fake driver for a host that has the name of no node.

    As long as Nova had none of its own for that, each of them was one.
    """
    path, = glob.glob(os.path.join(
        prefix, 'lib', 'python3*', 'site-packages', 'nova', 'virt',
        'fake.py'))
    with open(path) as file:
        return ('fake.FakeDriverWithoutFakeNodes'
                if 'class FakeDriverWithoutFakeNodes' in file.read()
                else 'fake.FakeDriver')


def _source(module):
    with open(module.__file__) as file:
        return file.read()
