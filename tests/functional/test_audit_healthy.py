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

"""What operations of Nova leave is nothing wrong to audit."""

import contextlib
from unittest import mock

import fixtures

from nova.tests import fixtures as nova_fixtures

from nova_cells_persist import releases

from tests.functional import audited


class HealthyTest(audited.AuditTestCase):
    """What operations of Nova leave is nothing wrong."""

    OTHER_IMAGE = '76fa36fc-c930-4bf3-8c8a-ea2a2420deb6'

    def setUp(self):
        super().setUp()
        self._start_compute('host2', cell_name='cell1')
        self.boot(host='host3')

    def nothing(self):
        self._wait_for_assert(lambda: self.assertEqual([], self.audit()))

    def test_moved(self):
        server = self.boot(host='host1')
        self._live_migrate(server, 'completed')
        self.nothing()
        self._migrate_server(server)
        server = self._wait_for_state_change(server, 'VERIFY_RESIZE')
        self.nothing()
        self._confirm_resize(server)
        self.nothing()
        self._resize_server(server, self.flavors[1]['id'])
        self._confirm_resize(server)
        self.nothing()

    def test_mapped_by_nova_manage(self):
        """It notes how far it has come in a mapping of no server."""
        for _ in range(2):
            self.boot(host='host1')
        self.map_one_instance()
        self.nothing()

    def test_rebuilt_and_shelved(self):
        server = self.boot(host='host1')
        self._rebuild_server(server, self.OTHER_IMAGE)
        self.nothing()
        self._shelve_server(server)
        self.nothing()
        self._unshelve_server(server)
        self.nothing()

    def test_evacuated(self):
        server = self.boot(host='host1')
        self.computes['host1'].stop()
        self.api.put_service(self.service_id('host1'),
                             {'forced_down': True})
        self._evacuate_server(server, expected_host='host2')
        self.nothing()

    def test_in_an_availability_zone(self):
        for zone, hosts in (('east', ['host1']), ('west', ['host2'])):
            aggregate = self.api.post_aggregate({'aggregate': {
                'name': zone, 'availability_zone': zone}})
            for host in hosts:
                self.api.add_host_to_aggregate(aggregate['id'], host)
        asked = self._wait_for_state_change(self.accept(az='east'), 'ACTIVE')
        self._wait_for_state_change(self.accept(), 'ACTIVE')
        self.nothing()
        self._shelve_server(asked)
        self.nothing()
        self._unshelve_server(asked)
        self.nothing()
        # Nova writes that it is there, and does not take that back.
        self.api.microversion = '2.1'
        with fixtures.MonkeyPatch(
                'nova.virt.fake.FakeDriver.pre_live_migration',
                mock.Mock(side_effect=Exception('it is too far'))):
            self.api.post_server_action(asked['id'], {'os-migrateLive': {
                'host': 'host2', 'block_migration': False,
                'disk_over_commit': False}})
            self._wait_for_migration_status(asked, ['error', 'failed'])
            # Nova rolls the server back after its migration.
            self._wait_for_server_parameter(
                asked, {'OS-EXT-STS:task_state': None})
        row, = self.rows('instances', asked['id'], 'cell1')
        self.assertEqual('host1 west', '%(host)s %(availability_zone)s' % row)
        self.nothing()
        self.execute('DELETE FROM request_specs WHERE instance_uuid = :uuid',
                     uuid=asked['id'])
        self.execute('DELETE FROM request_spec WHERE instance_uuid = :uuid',
                     'cell1', uuid=asked['id'])
        self.assertEqual('east', self.spec(asked['id']).availability_zone)

    def test_another_zone_in_vain(self):
        """One that is offloaded is in no zone, whatever its row has left."""
        for zone, host in (('east', 'host1'), ('west', 'host2')):
            aggregate = self.api.post_aggregate({'aggregate': {
                'name': zone, 'availability_zone': zone}})
            self.api.add_host_to_aggregate(aggregate['id'], host)
        self.flags(shelved_offload_time=0)
        server = self._wait_for_state_change(
            self.accept(az='east'), 'ACTIVE')
        self._shelve_server(server)

        def die(*args, **kwargs):
            raise Exception('no such volume there')

        with fixtures.MonkeyPatch(
                'nova.compute.manager.ComputeManager._prep_block_device',
                die):
            self.api.post_server_action(
                server['id'], {'unshelve': {'availability_zone': 'west'}})
            self._wait_for_assert(lambda: self.assertEqual(
                'restore', self.revisions(server['id'], 'cell1')[-1][1]))
        self._wait_for_assert(lambda: self.assertIsNone(
            self.api.get_server(server['id'])['OS-EXT-STS:task_state']))
        self.nothing()
        self.api.post_server_action(server['id'], {'unshelve': None})
        server = self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual('host1', server['OS-EXT-SRV-ATTR:host'])

    def test_rebuilt_in_a_volume(self):
        """It keeps the image that it names, and has the other."""
        if releases.nova_release() < 26:
            self.skipTest('Nova 26 is the first that does that')
        server = self.boot_in_volume()
        image = '70a599e0-31e7-49b7-b260-868f441e862b'
        self.assertNotEqual(image, self.spec(server['id']).image.id)
        self.api.microversion = '2.93'
        with fixtures.MonkeyPatch(
                'nova.compute.manager.ComputeVirtAPI.'
                'wait_for_instance_event',
                lambda *args, **kwargs: contextlib.nullcontext()):
            self.api.post_server_action(
                server['id'], {'rebuild': {'imageRef': image}})
            self._wait_for_assert(lambda: self.assertIsNone(
                self.api.get_server(server['id'])['OS-EXT-STS:task_state']))
        self.assertEqual('ACTIVE',
                         self.api.get_server(server['id'])['status'])
        self.assertEqual(image, self.spec(server['id']).image.id)
        self.nothing()

    def test_in_a_volume(self):
        self.useFixture(nova_fixtures.CinderFixture(self))
        volume = nova_fixtures.CinderFixture.IMAGE_BACKED_VOL
        server = self._wait_for_state_change(self.accept({
            'imageRef': '', 'block_device_mapping_v2': [{
                'boot_index': 0, 'uuid': volume, 'source_type': 'volume',
                'destination_type': 'volume'}]}), 'ACTIVE')
        self.nothing()
        _, rows = self.listed('spec', 'diff', server['id'])
        self.assertEqual([], rows)
        lost = self.lose({
            'imageRef': '', 'block_device_mapping_v2': [{
                'boot_index': 0, 'source_type': 'volume',
                'uuid': nova_fixtures.CinderFixture.SWAP_OLD_VOL,
                'destination_type': 'volume'}]})
        self.assert_healed(lost, 'stuck-build')
        # The volume is known there, so that a delete gives it back.
        mapping, = self.rows('block_device_mapping', lost, 'cell0')
        self.assertEqual(nova_fixtures.CinderFixture.SWAP_OLD_VOL,
                         mapping['volume_id'])
