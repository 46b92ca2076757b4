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

"""Tests that move servers within a cell."""

from tempest.common import compute

from nova_cells_persist_tempest_plugin.tests import base


class CellTest(base.CellsPersistTest):
    """A test that moves servers between two hosts of one cell.

    :ivar cell: which of the cells; each test is there for two of them
    :ivar hosts: the names of its two hosts
    """

    cell = None

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        hosts = cls.hosts_of_cell(cls.cell)
        if len(hosts) < 2:
            raise cls.skipException(
                '[cells_persist] cells does not name two hosts of a cell '
                'number %d' % (cls.cell + 1))
        cls.hosts = hosts[:2]

    def other_host(self, server):
        """Return the host of the cell that a server is not on."""
        host = self.show(server)['OS-EXT-SRV-ATTR:host']
        self.assertIn(host, self.hosts)
        return self.hosts[1 - self.hosts.index(host)]

    def assert_host(self, host, server):
        self.assertEqual(host, self.show(server)['OS-EXT-SRV-ATTR:host'])

    def assert_flavor(self, flavor, server):
        """Check what a server has: as it is shown, and in placement."""
        shown = self.show(server)
        self.assertEqual('ACTIVE', shown['status'])
        self.assertEqual(flavor['name'], shown['flavor']['original_name'])
        allocations = self.allocations(server)
        self.assertEqual(1, len(allocations), allocations)
        resources, = [taken['resources'] for taken in allocations.values()]
        self.assertEqual(
            {'VCPU': flavor['vcpus'], 'MEMORY_MB': flavor['ram'],
             'DISK_GB': flavor['disk']}, resources)

    def resize(self, server, flavor):
        """Resize a server, for which it goes to the other host."""
        self._move(server, self.servers_client.resize_server, flavor['id'])

    def migrate(self, server, **where):
        self._move(server, self.servers_client.migrate_server, **where)

    def _move(self, server, function, *args, **kwargs):
        target = self.other_host(server)
        function(server['id'], *args, **kwargs)
        self.wait_for_status(server, 'VERIFY_RESIZE')
        self.assert_host(target, server)

    def confirm(self, server):
        self.servers_client.confirm_resize_server(server['id'])
        self.wait_for_status(server, 'ACTIVE')

    def revert(self, server):
        target = self.other_host(server)
        self.servers_client.revert_resize_server(server['id'])
        self.wait_for_status(server, 'ACTIVE')
        self.assert_host(target, server)

    def live_migrate(self, server, host=None):
        """Live-migrate a server to the other host, and wait for both."""
        target = self.other_host(server)
        self.servers_client.live_migrate_server(
            server['id'], host=host, block_migration='auto')
        self.wait_for_status(server, 'ACTIVE')
        self.assert_host(target, server)
        # The source cleans up after the server has left.
        self.wait_until(
            lambda: set(self.migrations(server, 'live-migration')) ==
            {'completed'}, 'The live migration is not completed')

    def migrations(self, server, kind):
        """Return the states of the migrations of a server."""
        client = self.os_admin.migrations_client
        return [migration['status'] for migration in client.list_migrations(
            instance_uuid=server['id'], migration_type=kind)['migrations']]

    def shelve(self, server):
        compute.shelve_server(self.servers_client, server['id'],
                              force_shelve_offload=True)

    def unshelve(self, server, **where):
        self.servers_client.unshelve_server(server['id'], **where)
        self.wait_for_status(server, 'ACTIVE')

    def refused(self, server, function, *args, **kwargs):
        """Check that there is no host for an action, and nothing has changed.

        :param function: of the client of servers
        """
        before = self.show(server)
        request = function(server['id'], *args, **kwargs).response[
            'x-openstack-request-id']
        self.wait_until(lambda: self.has_no_host(server, request),
                        'The action does not fail for want of a host')
        after = self.wait_for_status(server, before['status'])
        for name in ('OS-EXT-SRV-ATTR:host', 'flavor', 'image'):
            self.assertEqual(before[name], after[name])

    def has_no_host(self, server, request):
        """Whether an action has failed since there is no host for it."""
        action = self.servers_client.show_instance_action(
            server['id'], request)['instanceAction']
        return any('No valid host' in event['details']
                   for event in action['events']
                   if event['result'] == 'Error')

    def assert_stays(self, server):
        """Check that no move takes a server to the other host."""
        self.refused(server, self.servers_client.migrate_server)
        self.refused(server, self.servers_client.live_migrate_server,
                     host=None, block_migration='auto')


class FirstCellTest(CellTest):
    cell = 0


class SecondCellTest(CellTest):
    cell = 1
