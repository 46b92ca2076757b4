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

"""A server that has no cell yet is shown as what it will be."""

from oslo_serialization import base64
from tempest import config
from tempest.lib.common.utils import data_utils
from tempest.lib import decorators

from nova_cells_persist_tempest_plugin.tests import base

CONF = config.CONF

#: What a server gets with its host, or what tells how far it is. All else that
#: is shown of it has to be the same before and after.
ACQUIRED = frozenset((
    'addresses',
    'hostId',
    'host_status',
    'security_groups',
    'status',
    'updated',
    'OS-EXT-SRV-ATTR:host',
    'OS-EXT-SRV-ATTR:hypervisor_hostname',
    'OS-EXT-SRV-ATTR:instance_name',
    'OS-EXT-SRV-ATTR:root_device_name',
    'OS-EXT-STS:power_state',
    'OS-EXT-STS:task_state',
    'OS-EXT-STS:vm_state',
    'OS-SRV-USG:launched_at',
))


class Views:
    """One server, as those see it who may.

    :cvar building: what each way to look at it shows while it has no cell: a
        dict whose keys are the kind of user and the kind of view
    :cvar built: the same once it is active
    """

    with_network = True

    #: Of those who may see it, the administrator is the last.
    users = ('admin',)

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not cls.hosts_of_cell(cls.cell):
            raise cls.skipException(
                '[cells_persist] cells names no hosts of a cell number %d' % (
                    cls.cell + 1))

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.owner = getattr(cls, 'os_' + cls.users[0])
        cls.request = cls.everything()
        window = cls.open_window_of_class()
        cls.server = cls.accept_server(
            [], cls.addClassResourceCleanup, cls.owner.servers_client,
            **cls.request)
        cls.building = cls.look()
        window.close()
        cls.wait_for_status(cls.server, 'ACTIVE')
        cls.built = cls.look()

    @classmethod
    def everything(cls):
        """Return a request that says all that can be said."""
        return {
            'name': base.random_name(cls.__name__),
            'description': 'A "description", with a %',
            'flavorRef': cls.create_flavor(
                cls.addClassResourceCleanup,
                {'hw_rng:allowed': 'True'})['id'],
            'metadata': {'key': 'value', 'other key': ''},
            'tags': ['one', 'two'],
            'key_name': cls.create_key(cls.owner),
            'security_groups': [{'name': cls.create_security_group()}],
            'networks': [{'uuid': cls.get_tenant_network(
                cls.users[0])['id']}],
            'availability_zone': cls.zone_of(cls.hosts_of_cell(cls.cell)[0]),
            'user_data': base64.encode_as_text('data'),
            'hostname': 'a-name-of-its-own',
            'config_drive': True,
            'accessIPv4': '192.0.2.1',
            'accessIPv6': '2001:db8::1',
            'disk_config': 'MANUAL',
            'trusted_image_certificates': [data_utils.rand_uuid()],
        }

    @classmethod
    def create_security_group(cls):
        client = cls.owner.security_groups_client
        group = client.create_security_group(
            name=base.random_name('group'))['security_group']
        cls.addClassResourceCleanup(client.delete_security_group, group['id'])
        return group['name']

    @classmethod
    def look(cls):
        """Return what each way to look at the server shows of it."""
        seen = {}
        for user in cls.users:
            client = getattr(cls, 'os_' + user).servers_client
            seen[user, 'show'] = client.show_server(
                cls.server['id'])['server']
            for view, detail in (('list', False), ('detail', True)):
                seen[user, view], = [
                    server for server in client.list_servers(
                        detail, all_tenants=user == 'admin')['servers']
                    if server['id'] == cls.server['id']]
        return seen

    @decorators.idempotent_id('c202ffee-0d70-4c07-a2f6-3f1310f1839e')
    @decorators.attr(type=['held', 'smoke'])
    def test_the_same_as_built(self):
        for view, building in self.building.items():
            built = self.built[view]
            # Which groups there are, Neutron says, once there is a port.
            self.assertEqual(set(built) - {'security_groups'}, set(building))
            same = set(built) - ACQUIRED
            self.assertEqual({name: built[name] for name in same},
                             {name: building[name] for name in same}, view)

    @decorators.idempotent_id('c2df9f28-4cf1-4054-8304-241646b65677')
    @decorators.attr(type='held')
    def test_what_is_acquired(self):
        """No more is left out above than has to be."""
        for view, built in self.built.items():
            for name in ACQUIRED.intersection(built) - {'updated'}:
                self.assertNotEqual(built[name], self.building[view].get(
                    name), (view, name))

    @decorators.idempotent_id('67543478-96bd-492a-a70a-ad573d289351')
    @decorators.attr(type='held')
    def test_while_it_has_no_cell(self):
        for view, building in self.building.items():
            if view[1] != 'list':
                self.assertEqual(
                    ('BUILD', 'building', 'scheduling', {}, ''),
                    tuple(building[name] for name in (
                        'status', 'OS-EXT-STS:vm_state',
                        'OS-EXT-STS:task_state', 'addresses', 'hostId')))
                self.assertEqual('ACTIVE', self.built[view]['status'])

    @decorators.idempotent_id('f71acb02-d70a-445c-9ad6-82a336a8db27')
    @decorators.attr(type='held')
    def test_what_was_asked_for(self):
        for view, building in self.building.items():
            self.assertEqual(self.request['name'], building['name'])
            if view[1] == 'list':
                continue
            for name in ('description', 'metadata', 'tags', 'key_name',
                         'accessIPv4', 'accessIPv6',
                         'trusted_image_certificates'):
                self.assertEqual(self.request[name], building[name], view)
            self.assertEqual(CONF.compute.image_ref, building['image']['id'])
            self.assertEqual('True', building['config_drive'])
            self.assertEqual('MANUAL', building['OS-DCF:diskConfig'])
            self.assertEqual(self.request['availability_zone'],
                             building['OS-EXT-AZ:availability_zone'])
            self.assertEqual(
                {'hw_rng:allowed': 'True'}, building['flavor']['extra_specs'])
            self.assertIs(False, building['locked'])
            self.assertEqual(self.request['security_groups'],
                             self.built[view]['security_groups'])
            if view[0] == 'admin':
                for name in ('user_data', 'hostname'):
                    self.assertEqual(self.request[name],
                                     building['OS-EXT-SRV-ATTR:' + name])


class OfAdministrator(Views):
    """An administrator says on which host it is to be."""

    @classmethod
    def everything(cls):
        group = cls.create_group(cls.addClassResourceCleanup, 'affinity')
        return dict(super().everything(),
                    host=cls.hosts_of_cell(cls.cell)[0],
                    scheduler_hints={'group': group['id']})

    @decorators.idempotent_id('837fbea2-25e7-4531-a9b1-96f62575e402')
    @decorators.attr(type='held')
    def test_in_its_group(self):
        group = self.request['scheduler_hints']['group']
        self.assertEqual([group],
                         self.building['admin', 'show']['server_groups'])

    @decorators.idempotent_id('9a3535ed-b846-4295-84fa-13b17a82890d')
    @decorators.attr(type='held')
    def test_lands_where_it_was_asked_for(self):
        self.assertIsNone(
            self.building['admin', 'show']['OS-EXT-SRV-ATTR:host'])
        self.assertEqual(self.request['host'], self.built['admin', 'show'][
            'OS-EXT-SRV-ATTR:host'])


@decorators.serial
class ShowInFirstCellTest(OfAdministrator, base.HeldTest):
    cell = 0


@decorators.serial
class ShowInSecondCellTest(OfAdministrator, base.HeldTest):
    cell = 1


@decorators.serial
class ShowToOwnerTest(Views, base.HeldTest):
    """Somebody else's server, with all that newer microversions show."""

    max_microversion = 'latest'
    cell = 0
    users = ('primary', 'admin')

    @classmethod
    def everything(cls):
        return dict(super().everything(), scheduler_hints={
            'different_host': [data_utils.rand_uuid()]})
