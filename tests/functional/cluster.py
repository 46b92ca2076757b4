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
import sys
import time

import fixtures
import requests

from tests.functional import cloud_databases
from tests.functional import process
from tests.functional import services
from tests.functional import standins

HOSTS = services.HOSTS


class Cluster(fixtures.Fixture):
    """Start it once for many tests: that takes some 20 seconds.

    :param plugin: the roles of services.ROLES that have the plugin
    :param databases: a CloudDatabases with the tables that are wanted; None
        for one of its own, with those of the plugin if there is a role
    :param prefix: the folder of the environment of Python with Nova
    :ivar flavors: {'small': id, 'large': id}
    """

    def __init__(self, plugin=services.ROLES, databases=None,
                 prefix=sys.prefix):
        super().__init__()
        self._plugin = plugin
        self.databases = databases
        self._prefix = prefix

    def _setUp(self):
        self._session = requests.Session()
        self._session.trust_env = False   # no proxies
        if self.databases is None:
            self.databases = cloud_databases.copied(
                self.useFixture(fixtures.TempDir()).path, self._plugin)
        self.services = self.useFixture(services.Services(
            self.databases, self._plugin, self._prefix))
        self.wait_until(self._computes_are_there, self.errors)
        self.flavors = {name: self.create_flavor(name, ram)
                        for name, ram in (('small', 64), ('large', 128))}

    # What a user does

    def request(self, method, path, body=None, api='nova_api'):
        """Send a request to a nova-api and return what is in the answer."""
        response = self._session.request(
            method, self.services.url(api) + '/v2.1' + path, json=body,
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
        return self.wait_for(self.accept(group, **fields), status)

    def accept(self, group=None, api='nova_api', **fields):
        """Boot a small server and return its id."""
        body = {'server': dict(
            {'flavorRef': self.flavors['small']}, name='server',
            imageRef=standins.IMAGE, networks='none', **fields)}
        if group:
            body['os:scheduler_hints'] = {'group': group}
        return self.request('POST', '/servers', body, api)['server']['id']

    def create_group(self, policy):
        """Return the id of a new server group."""
        return self.request('POST', '/os-server-groups', {'server_group': {
            'name': policy, 'policy': policy}})['server_group']['id']

    def create_flavor(self, name, ram):
        """Return the id of a new flavor.

        :param ram: in MB
        """
        return self.request('POST', '/flavors', {'flavor': {
            'name': name, 'ram': ram, 'vcpus': 1, 'disk': 1}})['flavor']['id']

    def act(self, server_id, action, **arguments):
        self.request('POST', '/servers/%s/action' % server_id,
                     {action: arguments or None})

    def resize(self, server_id, flavor):
        """Begin a resize.

        :param flavor: the name of the new flavor
        """
        self.act(server_id, 'resize', flavorRef=self.flavors[flavor])

    def delete(self, server_id):
        """Delete a server and wait until it is gone."""
        self.request('DELETE', '/servers/' + server_id)
        self.wait_until(lambda: not self.is_shown(server_id), self.errors)

    def is_shown(self, server_id, api='nova_api'):
        """Whether a nova-api has a server of that id."""
        response = self._session.get(
            self.services.url(api) + '/v2.1/servers/' + server_id,
            timeout=process.DEADLINE)
        return response.status_code != 404

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
            for one in self.services.processes():
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
            for name in os.listdir(self.services.folders[folder]):
                os.unlink(os.path.join(self.services.folders[folder], name))
        for number in range(times):
            self._touch('faults', str(number))

    def failed(self):
        """Return the hosts that have failed as fail_prep_resize() asked."""
        return os.listdir(self.services.folders['failed'])

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
        path = os.path.join(self.services.folders['done'], server_id)
        self.wait_until(lambda: os.path.exists(path), self.errors)
        os.unlink(path)

    def rows(self, database, table, server_id):
        """Return the rows of a server as dicts, the oldest first."""
        return self.databases.rows(
            database, 'SELECT * FROM %s WHERE instance_uuid = :uuid '
            'ORDER BY id' % table, uuid=server_id)

    def errors(self):
        """Return what was logged as an error, without the tracebacks."""
        return '\n'.join(line[:300] for line in self.said(' ERROR ')
                         if ' req-' in line or '[-]' in line)

    def said(self, text):
        """Return the lines of all logs that have a text."""
        return [line for one in self.services.processes()
                for line in one.everything().splitlines() if text in line]

    # How it is set up

    def _touch(self, folder, name):
        path = os.path.join(self.services.folders[folder], name)
        open(path, 'w').close()
        return path

    def _computes_are_there(self):
        response = self._session.get(
            self.services.url('placement') +
            '/resource_providers?resources=VCPU:1',
            headers={'X-Auth-Token': 'admin',
                     'OpenStack-API-Version': 'placement 1.4'},
            timeout=process.DEADLINE)
        return len(response.json()['resource_providers']) == len(HOSTS)
