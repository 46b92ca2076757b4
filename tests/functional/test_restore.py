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

"""What an operation wanted that failed is taken back."""

import contextlib
import threading

import fixtures
from oslo_config import cfg
from oslo_serialization import jsonutils

from nova import objects

from nova_cells_persist.objects import operation
from nova_cells_persist.objects import primitive

from tests.functional import base
from tests.functional import restoring

CONF = cfg.CONF


class NoTaskTest(restoring.RestoreTestCase):

    def test_a_key_of_the_metadata(self):
        """Instance.delete_metadata_key() has one object before and after."""
        server = self.boot(host='host1')
        self.api.post_server_metadata(
            server['id'], {'key': 'value', 'other': 'value'})
        with self.targeted('cell1') as context:
            instance = objects.Instance(
                context, uuid=server['id'],
                metadata={'key': 'value', 'other': 'value'})
            instance.obj_reset_changes()
            instance.delete_metadata_key('key')
            self.assertFalse(instance.obj_attr_is_set('task_state'))
        self.assertEqual({'other': 'value'},
                         self.api.get_server(server['id'])['metadata'])


class ResizeTest(restoring.RestoreTestCase):

    @contextlib.contextmanager
    def late_save(self):
        """Hold the super-conductor's save back; yields what lets it go."""
        go = threading.Event()
        write = objects.RequestSpec._write

        def wait(spec, *args):
            if operation.current().event == 'resize':
                go.wait(60)
            return write(spec, *args)

        with fixtures.MonkeyPatch(
                'nova_cells_persist.objects.request_spec.RequestSpec._write',
                wait):
            try:
                yield go.set
            finally:
                go.set()

    def test_saved_after_it_has_failed(self):
        server = self.boot(host='host1')
        with self.late_save() as let_go, self.driver_fails(
                'migrate_disk_and_power_off'):
            self.resize(server)
            self.settled(server, 'ERROR')
            self.assert_flavor(server, 0)
            let_go()
            self.assert_events(server, 'create', 'resize', 'restore')
        self.assert_flavor(server, 0)

    def test_saved_after_it_was_reverted(self):
        server = self.boot(host='host1')
        with self.late_save() as let_go:
            self.resize(server)
            server = self.settled(server, 'VERIFY_RESIZE')
            self._revert_resize(server)
            let_go()
            self._wait_for_assert(lambda: self.assertEqual(
                'restore', self.revisions(server['id'], 'cell1')[-1][1]))
        self.assert_flavor(server, 0)

    def test_conductor_dies_before_it_saves(self):
        """The server is resized all the same, and nobody else saves."""
        def die(*args, **kwargs):
            raise RuntimeError('dead')

        server = self.boot(host='host1')
        with fixtures.MonkeyPatch(
                'nova_cells_persist.objects.request_spec.RequestSpec.save',
                die):
            self.resize(server)
            server = self.settled(server, 'VERIFY_RESIZE')
        self.assert_flavor(server, 1)
        self.assert_events(server, 'create', 'resize')
        self._confirm_resize(server)
        self.assert_flavor(server, 1)

    def test_every_field_of_it(self):
        """Also those that a flavor says nothing of; what is newer stays."""
        server = self.boot(host='host1')
        with self.limits_saved_too():
            self.resize(server)
            server = self.settled(server, 'VERIFY_RESIZE')
            self.assert_events(server, 'create', 'resize')
        self.assertEqual(
            7, self.saved(server, 'limits')[1][primitive.DATA]['vcpu'])
        spec = self.spec(server['id'])
        spec.scheduler_hints = {'colour': ['blue']}
        spec.save()
        self._revert_resize(server)
        self.assert_flavor(server, 0)
        self.assertIsNone(
            self.saved(server, 'limits')[1][primitive.DATA]['vcpu'])
        self.assert_saved(server, 'scheduler_hints', {'colour': ['blue']})

    def test_spec_healed_before_scheduling(self):
        """Nova saves a spec without is_bfv with the new flavor in it."""
        server = self.boot(host='host1')
        self.forget(server, 'is_bfv', 'request_specs')
        self.forget(server, 'is_bfv', 'request_spec', 'cell1')
        with self.no_host():
            self.resize(server)
            self._wait_for_action_fail_completion(
                server, 'resize', 'cold_migrate')
            self.settled(server, 'ACTIVE')
        self.assert_flavor(server, 0)

    def forget(self, server, field, table, cell=None):
        row, = self.rows(table, server['id'], cell)
        spec = jsonutils.loads(row['spec'])
        del spec[primitive.DATA][field]
        self.execute('UPDATE %s SET spec = :spec' % table, cell=cell,
                     spec=primitive.dumps(spec))

    def test_reset_by_the_operator(self):
        """The cast was lost, so that no migration has ended."""
        server = self.boot(host='host1')
        with fixtures.MonkeyPatch(
                'nova.compute.rpcapi.ComputeAPI.prep_resize',
                lambda *args, **kwargs: None):
            self.resize(server)
            self.assert_flavor(server, 1)
        self.api.post_server_action(
            server['id'], {'os-resetState': {'state': 'active'}})
        self.assert_flavor(server, 0)

    def test_repaired_before_the_next_move(self):
        """Nobody could restore it when the move failed."""
        server = self.boot(host='host1')
        with fixtures.MonkeyPatch(
                'nova_cells_persist.objects.restore.restore',
                lambda *args, **kwargs: None), self.driver_fails(
                    'migrate_disk_and_power_off'):
            self.resize(server)
            server = self.settled(server, 'ERROR')
            self.assert_events(server, 'create', 'resize')
        self.assert_flavor(server, 1)
        self.api.post_server_action(
            server['id'], {'os-resetState': {'state': 'active'}})
        self.assert_flavor(server, 1)
        self.api.post_server_action(server['id'], {'migrate': None})
        self.settled(server, 'VERIFY_RESIZE')
        self.assert_flavor(server, 0)

    def test_no_revision_of_before(self):
        """The flavor is read off the server, nothing is asked for it."""
        server = self.boot(host='host1')
        with self.late_save() as let_go, self.driver_fails(
                'migrate_disk_and_power_off'):
            self.resize(server)
            self.settled(server, 'ERROR')
            self.execute('DELETE FROM request_spec', cell='cell1')
            let_go()
            self.assert_events(server, 'adopt', 'resize', 'restore')
        self.assert_flavor(server, 0)

    def test_flavor_is_deleted(self):
        flavor = self._create_flavor(disk=1)
        server = self._create_server(
            host='host1', networks='none', flavor_id=flavor)
        self.resize(server)
        server = self.settled(server, 'VERIFY_RESIZE')
        self.assert_flavor(server, 1)
        self.api.delete_flavor(flavor)
        self._revert_resize(server)
        self._wait_for_assert(lambda: self.assertEqual(
            flavor, self.flavor_persisted(server['id'])))


class CrossCellResizeTest(restoring.RestoreTestCase):

    HOSTS = base.CloudTestCase.HOSTS

    def setUp(self):
        super().setUp()
        self.allow_cross_cell_resize()

    def test_fails_in_the_other_cell(self):
        server = self.boot(host='host1')
        with self.driver_fails('finish_migration'), self.driver_fails(
                'spawn'):
            self.resize(server)
            self.settled(server, 'ERROR')
        mapping = objects.InstanceMapping.get_by_instance_uuid(
            self.context, server['id'])
        self.assert_flavor(server, 0, mapping.cell_mapping.name)

    def test_revert(self):
        """All that the resize has changed goes, in the cell it returns to."""
        server = self.boot(host='host1')
        with self.limits_saved_too():
            self.resize(server)
            server = self.settled(server, 'VERIFY_RESIZE')
            self.assert_events(server, 'create', 'resize', cell='cell2')
        self._revert_resize(server)
        self.assert_flavor(server, 0)
        for limits in self.saved(server, 'limits'):
            self.assertIsNone(limits[primitive.DATA]['vcpu'])
        self.assertEqual('revert', self.revisions(
            server['id'], 'cell1')[-1][1])

    def test_revert_fails(self):
        server = self.boot(host='host1')
        self.resize(server)
        server = self.settled(server, 'VERIFY_RESIZE')
        self.assert_flavor(server, 1, 'cell2')
        with self.driver_fails('finish_revert_migration'):
            self.api.post_server_action(server['id'], {'revertResize': None})
            self.settled(server, 'ERROR')
        self.assert_flavor(server, 0)


class OtherMovesTest(restoring.RestoreTestCase):
    """Nova saves nothing before it schedules one of these."""

    microversion = 'latest'

    def assert_untouched(self, server, before):
        self.assert_events(server, 'create')
        self.assertEqual(before, self.rows('request_specs', server['id']))

    def live_migrate(self, server, host, migration):
        self.api.post_server_action(server['id'], {
            'os-migrateLive': {'host': host, 'block_migration': 'auto'}})
        self._wait_for_migration_status(server, [migration])
        return self.settled(server, 'ACTIVE')

    def test_live_migration(self):
        server = self.boot(host='host1')
        before = self.rows('request_specs', server['id'])
        self.live_migrate(server, None, 'completed')
        with self.no_host():
            self.live_migrate(server, None, 'error')
        self.assert_untouched(server, before)

    def test_live_migration_to_a_host(self):
        server = self.boot(host='host1')
        before = self.rows('request_specs', server['id'])
        with self.no_host():
            self.live_migrate(server, 'host2', 'error')
        self.assert_untouched(server, before)
        server = self.live_migrate(server, 'host2', 'completed')
        self.assertEqual('host2', server['OS-EXT-SRV-ATTR:host'])
        self.assert_untouched(server, before)
        # Nor is it bound to that host now.
        self.live_migrate(server, None, 'completed')

    def test_evacuate(self):
        self._test_evacuate()

    def test_evacuate_to_a_host(self):
        self._test_evacuate(host='host2')

    def _test_evacuate(self, **arguments):
        server = self.boot(host='host1')
        before = self.rows('request_specs', server['id'])
        self.computes['host1'].stop()
        self.api.put_service(self.computes['host1'].service_ref.uuid,
                             {'forced_down': True})
        with self.no_host():
            self._evacuate_server(
                server, arguments, expected_host='host1',
                expected_state='ERROR', expected_migration_status='error')
        self._evacuate_server(server, arguments, expected_host='host2',
                              expected_state='ACTIVE')
        self.assert_untouched(server, before)


class DownCellTest(restoring.RestoreTestCase):

    def setUp(self):
        super().setUp()
        if 'response_validation' in CONF.api:
            # As in a deployment; Nova's schema does not know all that a
            # minimal server has.
            self.flags(response_validation='warn', group='api')

    def test_show_and_list(self):
        here, there = self.boot(host='host1'), self.boot(host='host3')
        for microversion in ('2.69', 'latest'):
            self.api.microversion = microversion
            self.admin_api.microversion = microversion
            with self.dead_cell('cell1'):
                shown = self.api.get_server(here['id'])
                self.assertEqual('UNKNOWN', shown['status'])
                self.assertEqual(
                    self.flavors[0]['vcpus'], shown['flavor']['vcpus'])
                self.assertEqual(here['image']['id'], shown['image']['id'])
                self.assertEqual('ACTIVE', self.api.get_server(
                    there['id'])['status'])
                self.assertEqual(
                    {here['id']: 'UNKNOWN', there['id']: 'ACTIVE'},
                    {server['id']: server['status']
                     for server in self.api.get_servers(detail=True)})
