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

"""A server that no host was found for is in error as what it was to be."""

from tempest.lib import decorators

from nova_cells_persist_tempest_plugin.tests import base

#: What is shown only of a server that has failed, or only of one that is being
#: built, or differs. All else has to be the same.
CHANGED = frozenset((
    'fault', 'progress', 'status', 'updated', 'OS-EXT-SRV-ATTR:instance_name',
    'OS-EXT-STS:task_state', 'OS-EXT-STS:vm_state'))


@decorators.serial
class NoValidHostTest(base.HeldTest):

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not cls.hosts_of_cell(0):
            raise cls.skipException('[cells_persist] cells is not set')

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.key = cls.create_key()
        cls.host = cls.hosts_of_cell(0)[0]
        cls.zone = cls.zone_of(cls.host)

    def assert_fails_as(self, **body):
        """Accept a server that has to fail and compare it with the build."""
        window = self.open_window()
        server = self.accept(
            metadata={'key': 'value'}, tags=['one', 'two'],
            description='to fail', key_name=self.key,
            availability_zone=self.zone, **body)
        before = self.look(server, 'BUILD')
        window.close()
        self.wait_for_status(server, 'ERROR')
        after = self.look(server, 'ERROR')
        self.assertEqual(*(
            [{name: view[name] for name in view if name not in CHANGED}
             for view in views] for views in (before, after)))
        for view in after:
            self.assertIn('No valid host', view['fault']['message'])
            self.assertEqual('error', view['OS-EXT-STS:vm_state'])
            self.assertIsNone(view['OS-EXT-STS:task_state'])
            for name, value in (
                    ('metadata', {'key': 'value'}), ('tags', ['one', 'two']),
                    ('key_name', self.key), ('description', 'to fail'),
                    ('OS-EXT-AZ:availability_zone', self.zone)):
                self.assertEqual(value, view[name])
        self.assertEqual({}, self.allocations(server))

    def look(self, server, status):
        """Return how a server is shown, and how it is listed."""
        listed, = self.servers_client.list_servers(
            detail=True, status=status)['servers']
        return self.show(server), listed

    @decorators.idempotent_id('8244eba4-132e-4883-9bca-842c0fa41aba')
    @decorators.attr(type=['held', 'negative'])
    def test_too_large(self):
        flavor = self.create_flavor(self.addCleanup,
                                    disk=base.TOO_LARGE_A_DISK)
        self.assert_fails_as(flavorRef=flavor['id'])

    @decorators.idempotent_id('4552de70-48db-4a94-b9d1-4a5ca816839b')
    @decorators.attr(type=['held', 'negative'])
    def test_impossible_hint(self):
        """A host is asked for that the group rules out."""
        group = self.create_group(self.addCleanup, 'anti-affinity')
        hints = {'group': group['id']}
        self.boot(host=self.host, scheduler_hints=hints)
        self.assert_fails_as(host=self.host, scheduler_hints=hints)
