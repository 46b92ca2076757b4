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

"""What can be done to a server that has no cell yet."""

from tempest import config
from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc

from nova_cells_persist_tempest_plugin.tests import base

CONF = config.CONF


class BuildingTest(base.HeldTest):

    def setUp(self):
        super().setUp()
        self.window = self.open_window()

    def listed(self, detail=False, **query):
        return self.servers_client.list_servers(detail, **query)['servers']

    def assert_gone(self, server):
        self.assertRaises(lib_exc.NotFound, self.servers_client.show_server,
                          server['id'])
        for detail in (False, True):
            self.assertNotIn(server['id'], [
                other['id'] for other in self.listed(detail)])


@decorators.serial
class DeleteTest(BuildingTest):

    @decorators.idempotent_id('53a30b78-b879-4175-956b-98bb4499454d')
    @decorators.attr(type=['held', 'smoke'])
    def test_delete(self):
        server = self.accept()
        self.servers_client.delete_server(server['id'])
        self.assert_gone(server)
        self.assertRaises(lib_exc.NotFound, self.servers_client.delete_server,
                          server['id'])

    @decorators.idempotent_id('5763c988-8aa6-4e9b-8d6c-7bf7c7d9229e')
    @decorators.attr(type='held')
    def test_does_not_come_back(self):
        server, other = self.accept(), self.accept()
        self.servers_client.delete_server(server['id'])
        last = self.accept()
        self.window.close()
        # Builds are begun in the order of their requests.
        for one in (other, last):
            self.wait_for_status(one, 'ACTIVE')
        self.assert_gone(server)
        self.wait_until(lambda: not self.allocations(server),
                        'The server still takes something')
        self.assert_gone(server)

    @decorators.idempotent_id('96532be2-4143-47fc-972d-12df3ab4f4e7')
    @decorators.attr(type='held')
    def test_force_delete(self):
        server = self.accept()
        self.servers_client.force_delete_server(server['id'])
        self.assert_gone(server)


@decorators.serial
class ActionsTest(BuildingTest):

    @decorators.idempotent_id('f7ce4600-24df-4b2c-a44f-3f8af82dd708')
    @decorators.attr(type=['held', 'negative'])
    def test_refused(self):
        """What needs a server that is built is a conflict, and no error."""
        server = self.accept(metadata={'key': 'value'}, tags=['tag'])
        before = self.show(server)
        client, uuid = self.servers_client, server['id']
        for function, *args in (
                (client.update_server_metadata, uuid, {'key': 'other'}),
                (client.set_server_metadata, uuid, {}),
                (client.update_tag, uuid, 'other'),
                (client.update_all_tags, uuid, ['other']),
                (client.delete_tag, uuid, 'tag'),
                (client.delete_all_tags, uuid),
                (client.shelve_server, uuid),
                (client.migrate_server, uuid),
                (client.resize_server, uuid, CONF.compute.flavor_ref_alt)):
            self.assertRaises(lib_exc.Conflict, function, *args)
        after = self.show(server)
        for body in (before, after):
            # Nova makes it the time of the question where there is none.
            del body['updated']
        self.assertEqual(before, after)

    @decorators.idempotent_id('7e7a2d37-e9b2-45d3-88bf-abcff1a5f907')
    @decorators.attr(type='held')
    def test_rename(self):
        server = self.accept()
        name = base.random_name('renamed')
        self.assertEqual(name, self.servers_client.update_server(
            server['id'], name=name)['server']['name'])
        self.assertEqual(name, self.show(server)['name'])
        self.assertEqual([server['id']], [
            one['id'] for one in self.listed(name='^%s$' % name)])


@decorators.serial
class MultipleTest(BuildingTest):

    @decorators.idempotent_id('cade46e8-cbf4-4e83-94d1-a0373651c3c6')
    @decorators.attr(type=['held', 'smoke'])
    def test_several_at_once(self):
        name = base.random_name('several')
        reservation = self.accept_several(name, min_count=2, max_count=3)
        names = ['%s-%d' % (name, number) for number in (1, 2, 3)]
        building = self.reserved(reservation)
        self.assertEqual(names, [server['name'] for server in building])
        self.assertEqual([0, 1, 2], [
            server['OS-EXT-SRV-ATTR:launch_index'] for server in building])
        self.assertEqual({'BUILD'}, {
            server['status'] for server in building})
        self.window.close()
        for server in building:
            self.wait_for_status(server, 'ACTIVE')
        for name in ('id', 'name', 'OS-EXT-SRV-ATTR:launch_index'):
            self.assertEqual(
                [server[name] for server in building],
                [server[name] for server in self.reserved(reservation)])

    @decorators.idempotent_id('ad714884-7251-499a-9694-957be309f588')
    @decorators.attr(type='held')
    def test_delete_one(self):
        name = base.random_name('several')
        reservation = self.accept_several(name, min_count=3)
        first, second, third = self.reserved(reservation)
        self.servers_client.delete_server(second['id'])
        self.assert_gone(second)
        self.window.close()
        for server in (first, third):
            self.wait_for_status(server, 'ACTIVE')
        self.assertEqual(
            [first['id'], third['id']],
            [server['id'] for server in self.reserved(reservation)])

    def accept_several(self, name, **counts):
        """Ask for servers and return the id of their reservation."""
        reservation = self.servers_client.create_server(
            name=name, imageRef=CONF.compute.image_ref,
            flavorRef=CONF.compute.flavor_ref, networks='none',
            return_reservation_id=True, **counts)['reservation_id']
        self.servers += self.reserved(reservation)
        self.addCleanup(self.delete_servers, self.servers)
        return reservation

    def reserved(self, reservation):
        """Return the servers of a reservation in the order of their names."""
        return sorted(self.listed(True, reservation_id=reservation),
                      key=lambda server: server['name'])
