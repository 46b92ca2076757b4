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

"""What the tests have in common: clients, servers and windows."""

import testtools

from tempest.common import waiters
from tempest import config
from tempest.lib.common import api_microversion_fixture
from tempest.lib.common import api_version_request
from tempest.lib.common import api_version_utils
from tempest.lib.common.utils import data_utils
from tempest.lib.common.utils import test_utils
from tempest import test

from nova_cells_persist_tempest_plugin.tests import window

CONF = config.CONF

#: GB of a disk that no host has. Disks have no quota, unlike the rest of a
#: flavor.
TOO_LARGE_A_DISK = 10 ** 7

PUBLIC_KEY = ('ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINhteYFaXFfQ8lhBnjDYOYjwnXt'
              'Rw2ARK3lwMeYgww2r')


def promised(promise):
    """Skip a test of what stock Nova does not do."""
    return testtools.skipUnless(
        CONF.cells_persist.enabled,
        '[cells_persist] enabled is off, and stock Nova does not keep the '
        'promise: ' + promise)


def random_name(name):
    return data_utils.rand_name(name, prefix=CONF.resource_name_prefix)


class CellsPersistTest(api_version_utils.BaseMicroversionTest,
                       test.BaseTestCase):
    """A test in a project of its own, of which it is an administrator.

    :ivar microversion: of all that is asked for, the newest that there is
    """

    credentials = ['primary', 'admin']
    # Of the oldest Nova that the plugin is for, Nova 25.
    min_microversion = '2.90'
    # As of 2.100 a server shows its scheduler hints. Nova has a list in the
    # hint for a group, and tempest refuses to read what is not a string.
    max_microversion = '2.99'

    #: Whether servers are to have a network.
    with_network = False

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.service_available.nova:
            raise cls.skipException('Nova is not available')
        if cls.with_network and not CONF.service_available.neutron:
            raise cls.skipException('Neutron is not available')
        api_version_utils.check_skip_with_microversion(
            cls.min_microversion, cls.max_microversion,
            CONF.compute.min_microversion, CONF.compute.max_microversion)

    @classmethod
    def setup_credentials(cls):
        cls.set_network_resources(network=cls.with_network,
                                  subnet=cls.with_network)
        super().setup_credentials()

    @classmethod
    def setup_clients(cls):
        super().setup_clients()
        cls.servers_client = cls.os_admin.servers_client

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.microversion = min(map(api_version_request.APIVersionRequest, (
            cls.offered_microversion(), cls.max_microversion,
            CONF.compute.max_microversion)))
        fixture = api_microversion_fixture.APIMicroversionFixture(
            compute_microversion=cls.microversion.get_string())
        fixture.setUp()
        cls.addClassResourceCleanup(fixture.cleanUp)

    @classmethod
    def offered_microversion(cls):
        versions = cls.os_admin.compute_versions_client.list_versions()
        return max(versions['versions'],
                   key=lambda found: found['id'])['version']

    @staticmethod
    def hosts_of_cell(number):
        """Return the hosts of a cell, which are none if it is not known."""
        cells = list(CONF.cells_persist.cells.values())
        return cells[number] if number < len(cells) else []

    def require_microversion(self, version):
        if self.microversion < api_version_request.APIVersionRequest(version):
            raise self.skipException(
                'The newest microversion is %s, before %s' % (
                    self.microversion.get_string(), version))

    @classmethod
    def delete_servers(cls, servers):
        """Delete servers, all of them before waiting for the first."""
        for server in servers:
            test_utils.call_and_ignore_notfound_exc(
                cls.servers_client.delete_server, server['id'])
        for server in servers:
            waiters.wait_for_server_termination(
                cls.servers_client, server['id'], ignore_error=True)
        servers.clear()

    @classmethod
    def accept_server(cls, servers, cleanup, client=None, **body):
        """Ask for a server and return what the API answers.

        :param servers: a list of those to be deleted together
        :param cleanup: where to note that they have to be
        :param client: of somebody else than the administrator
        """
        body.setdefault('name', random_name(cls.__name__))
        body.setdefault('imageRef', CONF.compute.image_ref)
        body.setdefault('flavorRef', CONF.compute.flavor_ref)
        body.setdefault('networks', 'none')
        server = (client or cls.servers_client).create_server(
            **body)['server']
        servers.append(server)
        # With each of them, so that it is done before what this one needs is
        # deleted.
        cleanup(cls.delete_servers, servers)
        return server

    def setUp(self):
        super().setUp()
        self.servers = []

    def accept(self, **body):
        return self.accept_server(self.servers, self.addCleanup, **body)

    def boot(self, **body):
        """Return a new server once it is active."""
        return self.wait_for_status(self.accept(**body), 'ACTIVE')

    @classmethod
    def wait_for_status(cls, server, status, client=None):
        """Return the server as it is shown once it has a status."""
        return waiters.wait_for_server_status(
            client or cls.servers_client, server['id'], status,
            raise_on_error=status != 'ERROR')

    @classmethod
    def show(cls, server):
        return cls.servers_client.show_server(server['id'])['server']

    def wait_until(self, condition, message):
        """Wait until a function returns what is true."""
        self.assertTrue(test_utils.call_until_true(
            condition, CONF.compute.build_timeout,
            CONF.compute.build_interval), message)

    def allocations(self, server):
        """Return what a server takes, as placement has it."""
        return self.os_admin.placement_client.list_allocations(
            server['id'])['allocations']

    @classmethod
    def zone_of(cls, host):
        service, = cls.os_admin.services_client.list_services(
            host=host, binary='nova-compute')['services']
        return service['zone']

    @classmethod
    def create_flavor(cls, cleanup, extra_specs=None, **more):
        """Return a new flavor.

        :param cleanup: where to note that it has to be deleted
        :param more: by how much it is larger than the flavor of tempest, in
            ``vcpus``, ``ram`` and ``disk``
        """
        client = cls.os_admin.flavors_client
        body = client.show_flavor(CONF.compute.flavor_ref)['flavor']
        flavor = client.create_flavor(
            name=random_name(cls.__name__), **{
                size: body[size] + more.get(size, 0)
                for size in ('vcpus', 'ram', 'disk')})['flavor']
        cleanup(client.delete_flavor, flavor['id'])
        if extra_specs:
            client.set_flavor_extra_spec(flavor['id'], **extra_specs)
        return client.show_flavor(flavor['id'])['flavor']

    @classmethod
    def create_key(cls, clients=None):
        """Return the name of a key that is there as long as the class."""
        client = (clients or cls.os_admin).keypairs_client
        name = random_name('key')
        client.create_keypair(name=name, type='ssh', public_key=PUBLIC_KEY)
        cls.addClassResourceCleanup(client.delete_keypair, name)
        return name

    @classmethod
    def create_group(cls, cleanup, policy):
        client = cls.os_admin.server_groups_client
        group = client.create_server_group(
            name=random_name(cls.__name__), policy=policy)['server_group']
        cleanup(client.delete_server_group, group['id'])
        return group

    @classmethod
    def create_zone(cls, cleanup, hosts):
        """Return a host aggregate that is an availability zone of hosts."""
        client = cls.os_admin.aggregates_client
        name = random_name(cls.__name__)
        zone = client.create_aggregate(
            name=name, availability_zone=name)['aggregate']
        cleanup(client.delete_aggregate, zone['id'])
        for host in hosts:
            client.add_host(zone['id'], host=host)
            cleanup(test_utils.call_and_ignore_notfound_exc,
                    client.remove_host, zone['id'], host=host)
        return zone


class HeldTest(CellsPersistTest):
    """A test that opens a window in which no server gets a cell.

    It has to be marked with ``@decorators.serial``: while it runs, nobody
    else gets a server either.
    """

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        for option in ('hold_command', 'release_command'):
            if not CONF.cells_persist[option]:
                raise cls.skipException(
                    '[cells_persist] %s is not set' % option)

    def open_window(self):
        """Return a window that is closed with the test at the latest."""
        return self.useFixture(window.Window(self.settle))

    @classmethod
    def open_window_of_class(cls):
        opened = window.Window(cls.settle)
        opened.setUp()
        cls.addClassResourceCleanup(opened.cleanUp)
        return opened

    @classmethod
    def settle(cls):
        """Wait until all is built, or given up, that was accepted before.

        Builds are begun in the order in which they are accepted.
        """
        servers = []
        server = cls.accept_server(servers, lambda *args: None)
        try:
            cls.wait_for_status(server, 'ACTIVE')
        finally:
            cls.delete_servers(servers)
