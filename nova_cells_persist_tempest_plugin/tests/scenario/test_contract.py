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

"""A server is moved as what it is, whatever it was to become before.

Under which request the next move is scheduled shows in placement: there it is
noted what that asked for.
"""

import io

from tempest.common import waiters
from tempest import config
from tempest.lib.common.utils import data_utils
from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc
import testtools

from nova_cells_persist_tempest_plugin.tests import base
from nova_cells_persist_tempest_plugin.tests import cell

CONF = config.CONF


class Contract:
    """A server, and moves of it that show what it is to Nova."""

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        for feature in ('live_migration', 'shelve'):
            if not CONF.compute_feature_enabled[feature]:
                raise cls.skipException(
                    '[compute-feature-enabled] %s is off' % feature)

    def setUp(self):
        super().setUp()
        self.small = self.create_flavor(self.addCleanup)
        self.large = self.create_flavor(self.addCleanup, vcpus=1, ram=64,
                                        disk=1)
        self.server = self.boot(flavorRef=self.small['id'],
                                host=self.hosts[0])

    def assert_moved_as(self, flavor):
        """Move a server by all means, and check what it has then."""
        for move in (self.live_migrate, self.unshelve_anywhere,
                     self.migrate_for_good):
            move(self.server)
            self.assert_flavor(flavor, self.server)

    def unshelve_anywhere(self, server):
        self.shelve(server)
        self.unshelve(server)

    def migrate_for_good(self, server):
        self.migrate(server)
        self.confirm(server)


class Resizes(Contract):

    @decorators.idempotent_id('f3b0a302-2429-408c-ad33-1a1c61ead3ef')
    @decorators.attr(type=['multinode', 'smoke'])
    def test_confirmed(self):
        self.resize(self.server, self.large)
        self.confirm(self.server)
        self.assert_moved_as(self.large)

    @decorators.idempotent_id('4846ed60-eb28-497c-beb2-a8dd92519f1c')
    @decorators.attr(type='multinode')
    def test_reverted(self):
        self.resize(self.server, self.large)
        self.revert(self.server)
        self.assert_moved_as(self.small)

    @decorators.idempotent_id('a097ef1e-5f47-456f-bba9-3f70fab58158')
    @decorators.attr(type='multinode')
    def test_reverted_and_resized_again(self):
        self.resize(self.server, self.large)
        self.revert(self.server)
        self.resize(self.server, self.large)
        self.confirm(self.server)
        self.assert_moved_as(self.large)

    @decorators.idempotent_id('4ddfd602-3c52-4a3c-b9d8-d030f294be3d')
    @decorators.attr(type=['multinode', 'negative'])
    def test_no_host_for_it(self):
        flavor = self.create_flavor(self.addCleanup,
                                    disk=base.TOO_LARGE_A_DISK)
        self.refused(self.server, self.servers_client.resize_server,
                     flavor['id'])
        self.assert_moved_as(self.small)

    @base.promised('a resize that fails on its host takes back the flavor '
                   'that it wanted')
    @testtools.skipUnless(CONF.cells_persist.refused_extra_specs,
                          '[cells_persist] refused_extra_specs is not set')
    @decorators.idempotent_id('257632c4-18be-4f64-bdff-12f624e3ff58')
    @decorators.attr(type=['multinode', 'negative'])
    def test_refused_by_the_host(self):
        flavor = self.create_flavor(
            self.addCleanup, CONF.cells_persist.refused_extra_specs, vcpus=1)
        self.servers_client.resize_server(self.server['id'], flavor['id'])
        self.wait_for_status(self.server, 'ERROR')
        self.assertEqual(['error'], self.migrations(self.server, 'resize'))
        self.servers_client.reset_state(self.server['id'], state='active')
        self.assert_moved_as(self.small)


class Rebuilds(Contract):

    @base.promised('a rebuild that fails takes back the image that it wanted')
    @decorators.idempotent_id('28fabef9-0048-483b-b711-34328af9ba4b')
    @decorators.attr(type=['multinode', 'negative'])
    def test_no_host_for_the_image(self):
        request = self.servers_client.rebuild_server(
            self.server['id'], self.create_image()['id']).response[
                'x-openstack-request-id']
        shown = self.wait_for_status(self.server, 'ERROR')
        self.assertTrue(self.has_no_host(self.server, request))
        self.assertEqual(CONF.compute.image_ref, shown['image']['id'])
        self.servers_client.reset_state(self.server['id'], state='active')
        self.assert_moved_as(self.small)

    def create_image(self):
        """Return an image for an architecture that no host has."""
        client = self.os_admin.image_client_v2
        image = client.create_image(
            name=base.random_name('image'), container_format='bare',
            disk_format='raw', visibility='private',
            hw_architecture='sparc64')
        self.addCleanup(client.delete_image, image['id'])
        client.store_image_file(image['id'], io.BytesIO(
            data_utils.random_bytes()))
        waiters.wait_for_image_status(client, image['id'], 'active')
        return image


class Zones:
    """Each host is a zone: an unshelve is what changes that of a server."""

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.compute_feature_enabled.shelve:
            raise cls.skipException('[compute-feature-enabled] shelve is off')

    def setUp(self):
        super().setUp()
        self.zones = [
            self.create_zone(self.addCleanup, [host])['availability_zone']
            for host in self.hosts]
        self.server = self.boot(availability_zone=self.zones[0])
        self.assert_host(self.hosts[0], self.server)
        self.shelve(self.server)

    @decorators.idempotent_id('d96929be-39f4-4fcc-9334-f69a068c84e9')
    @decorators.attr(type='multinode')
    def test_unshelve_to_another(self):
        self.unshelve(self.server, availability_zone=self.zones[1])
        self.assert_host(self.hosts[1], self.server)
        self.assert_stays(self.server)

    @decorators.idempotent_id('9694a50f-fbad-4ab1-844e-77aad7bcf17e')
    @decorators.attr(type='multinode')
    def test_unshelve_to_any(self):
        self.require_microversion('2.91')
        self.unshelve(self.server, availability_zone=None)
        for _ in self.hosts:
            self.migrate(self.server)
            self.confirm(self.server)

    @decorators.idempotent_id('27b7d656-c867-4be5-9db9-58aa69e7b383')
    @decorators.attr(type=['multinode', 'negative'])
    def test_unshelve_to_a_host_outside(self):
        self.require_microversion('2.91')
        self.assertRaises(
            lib_exc.Conflict, self.servers_client.unshelve_server,
            self.server['id'], availability_zone=self.zones[1],
            host=self.hosts[0])
        self.assert_unshelved_where_it_was()

    @base.promised('an unshelve that fails takes back the zone that it wanted')
    @decorators.idempotent_id('9e6f4fa1-2874-4f9f-9d04-4d0b835b8ed3')
    @decorators.attr(type=['multinode', 'negative'])
    def test_unshelve_to_another_cell(self):
        hosts = self.hosts_of_cell(1 - self.cell)
        if not hosts:
            raise self.skipException(
                '[cells_persist] cells does not name hosts of two cells')
        zone = self.create_zone(self.addCleanup, hosts)['availability_zone']
        self.refused(self.server, self.servers_client.unshelve_server,
                     availability_zone=zone)
        self.assert_unshelved_where_it_was()

    def assert_unshelved_where_it_was(self):
        self.unshelve(self.server)
        self.assert_host(self.hosts[0], self.server)
        self.assert_stays(self.server)


class ResizesInFirstCellTest(Resizes, cell.FirstCellTest):
    pass


class ResizesInSecondCellTest(Resizes, cell.SecondCellTest):
    pass


class RebuildsInFirstCellTest(Rebuilds, cell.FirstCellTest):
    pass


class RebuildsInSecondCellTest(Rebuilds, cell.SecondCellTest):
    pass


# Alone, since a host with a server on it cannot get into a zone.
@decorators.serial
class ZonesInFirstCellTest(Zones, cell.FirstCellTest):
    pass


@decorators.serial
class ZonesInSecondCellTest(Zones, cell.SecondCellTest):
    pass
