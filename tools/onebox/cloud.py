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

"""The cloud as a whole: brought up, looked at, stopped."""

import concurrent.futures
import os
import shutil
import signal
import time

import psutil

from tools import environments
from tools.onebox import bootstrap
from tools.onebox import configuration
from tools.onebox import errors
from tools.onebox import packages
from tools.onebox import place as places
from tools.onebox import processes
from tools.onebox import services

API_LEVEL = ('super-conductor', 'scheduler', 'nova-api')
CONDUCTORS = tuple('conductor-' + cell for cell in places.CELLS)
COMPUTES = tuple('compute-' + host for hosts in places.CELLS.values()
                 for host in hosts)
#: Every service of Nova, in the order in which an operator would start them.
NOVA = CONDUCTORS + API_LEVEL[:2] + COMPUTES + API_LEVEL[2:]
DATABASES = tuple(name for name in places.LISTENERS
                  if name.startswith('mariadb-'))
INFRASTRUCTURE = DATABASES + ('epmd', 'rabbitmq', 'memcached')

#: How nova-api tells of the services that have no port.
BINARIES = {'conductor': 'nova-conductor', 'super': 'nova-conductor',
            'scheduler': 'nova-scheduler', 'compute': 'nova-compute'}


class Cloud:
    """A cloud in its place.

    :param place: a Place
    """

    def __init__(self, place):
        self.place = place
        self.processes = processes.Processes(place)

    @property
    def plugin(self):
        """Whether the plugin is on."""
        return not self.place.stock

    @property
    def nova(self):
        """The environment of Nova."""
        return environments.Environment(self.place.path('venv', 'nova'))

    @property
    def others(self):
        """The environment of the other services."""
        return environments.Environment(self.place.path('venv', 'others'))

    def begin(self):
        """Empty the folder of what an earlier cloud has left there.

        :raises: AlreadyUp
        """
        running = self.processes.running()
        if running:
            raise errors.AlreadyUp(self.place.folder, running)
        for name in ('data', 'etc', 'log', 'run', 'venv'):
            shutil.rmtree(self.place.path(name), ignore_errors=True)
        self.place.save()

    def _install(self, cache):
        made = self.place.made('venv')
        wheel = None
        if self.plugin:
            wheel = environments.wheel(self.place.path('wheel'))
        for name, environment in (
                ('others', packages.services(cache)),
                ('nova', packages.nova(
                    cache, self.place.nova, wheel))):
            os.symlink(environment.folder, os.path.join(made, name))

    def service(self, name):
        """Return a Service by its name, with its folder filled.

        :raises: NoService
        """
        kind, _, rest = name.partition('-')
        if name in DATABASES:
            return services.mariadb(self.place, rest)
        if name in ('epmd', 'rabbitmq', 'memcached'):
            return getattr(services, name)(self.place)
        if kind in ('keystone', 'placement', 'glance', 'neutron'):
            return getattr(services, kind)(self.place, self.others)
        if kind == 'nova':
            return services.nova_api(self.place, self.nova, name)
        if kind in BINARIES:
            return services.nova(self.place, self.nova, BINARIES[kind], name)
        raise errors.NoService(name, self.processes.names())

    def start(self, *names):
        """Start services, and wait for those of them that answer.

        :raises: PortTaken, NotStarted, NotInstalled
        """
        with concurrent.futures.ThreadPoolExecutor() as pool:
            started = list(pool.map(self._start, names))
        for service in started:
            if service.answers:
                self.processes.wait(service.name, service.answers,
                                    services.DEADLINE)

    def _start(self, name):
        service = self.service(name)
        if service.listener:
            port = self.place.port(service.listener)
            if services.accepts(port):
                raise errors.PortTaken(name, port)
        self.processes.start(service.name, service.command, service.env)
        return service

    def stop(self, *names):
        self.processes.stop(names)

    def restart(self, *names):
        self.stop(*names)
        self.start(*names)

    def configure(self):
        """Write the configuration of every service but Nova."""
        configuration.keystone(self.place)
        configuration.placement(self.place)
        configuration.glance(self.place, self.others)
        configuration.neutron(self.place, self.others)

    def configure_nova(self, *names, plugin=None):
        """Write nova.conf of services.

        :param names: all of them if none is given
        :param plugin: whether the plugin is to be on; None as the cloud has it
        """
        plugin = self.plugin if plugin is None else plugin
        for name in names or NOVA:
            kind, _, rest = name.partition('-')
            if kind == 'compute':
                configuration.nova_of_compute(
                    self.place, cell_of(rest), rest, plugin)
            elif kind == 'conductor':
                configuration.nova_of_conductor(self.place, rest, plugin)
            else:
                configuration.nova_of_api_level(
                    self.place, name, self.nova, plugin)

    def steps(self, cache):
        """Return what brings the cloud up, pairs of a name and a function.

        :param cache: the folder of the virtual environments
        """
        return (
            ('packages', lambda: self._install(cache)),
            ('writing configuration', self._configure_all),
            ('databases, message bus', lambda: self.start(*INFRASTRUCTURE)),
            ('tables, cells', self._fill_databases),
            ('keystone', lambda: self.start('keystone')),
            ('accounts, catalog', lambda: bootstrap.fill_catalog(self.place)),
            ('placement, glance, neutron', lambda: self.start(
                'placement', 'glance', 'neutron')),
            ('nova', lambda: self.start(*NOVA)),
            ('nova services report', lambda: self.wait_for_nova(*NOVA)),
            ('hosts, flavors, images, networks', self._fill_resources))

    def _configure_all(self):
        self.configure()
        self.configure_nova()

    def _fill_databases(self):
        bootstrap.fill_databases(self.place, self.others, self.nova)

    def _fill_resources(self):
        self.map_hosts()
        bootstrap.fill_resources(self.place)

    def map_hosts(self):
        bootstrap.nova_manage(self.place, self.nova)(
            'cell_v2', 'discover_hosts')

    def down(self):
        """Stop all that was started: first what uses the others."""
        names = self.processes.names()
        last = [name for name in INFRASTRUCTURE if name in names]
        self.stop(*[name for name in names if name not in last])
        self.stop(*[name for name in last if name != 'epmd'])
        self.stop('epmd')

    def wait_for_nova(self, *names):
        """Wait until services without a port report that they are up.

        :raises: NotStarted
        """
        compute = bootstrap.connect(self.place).compute
        for name in names:
            if not name.startswith('nova-api'):
                binary, host = identity(name)
                self.processes.wait(
                    name, lambda: reports(compute, binary, host),
                    services.DEADLINE)

    def hold(self, name):
        """Stop a service as it stands, with its workers (SIGSTOP).

        Not in the midst of a transaction: others would wait for its locks.

        :raises: NoService, TimedOut
        """
        def stop():
            self._signal(name, signal.SIGSTOP)
            if services.locks(self.place):
                self.release(name)
                return False
            return True

        self.wait('%s to have no transaction open' % name, stop)

    def release(self, name):
        """Let a service go on that was held."""
        self._signal(name, signal.SIGCONT)

    def is_held(self, name):
        """Return whether a service was held and not released."""
        process = self.processes.find(name)
        return process is not None and (
            process.status() == psutil.STATUS_STOPPED)

    def _signal(self, name, how):
        if self.processes.find(name) is None:
            raise errors.NoService(name, self.processes.running())
        self.processes.send(name, how)

    def wait(self, what, look, seconds=services.DEADLINE):
        """Wait until a function returns something true, and return that.

        :raises: TimedOut
        """
        deadline = time.monotonic() + seconds
        while True:
            seen = look()
            if seen:
                return seen
            if time.monotonic() > deadline:
                raise errors.TimedOut(what, seconds, seen)
            time.sleep(0.2)


def cell_of(host):
    """Return the name of the cell of a host: 'c1h2' is in 'cell1'."""
    return 'cell' + host[1]


def identity(name):
    """Return the binary and the host under which nova-api lists a service."""
    kind, _, rest = name.partition('-')
    return BINARIES[kind], rest if kind == 'compute' else name


def reports(compute, binary, host):
    """Return whether nova-api says that a service is up."""
    return any(service.state == 'up' for service in compute.services(
        binary=binary, host=host))
