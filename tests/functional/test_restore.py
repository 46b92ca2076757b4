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
from unittest import mock

import fixtures
from oslo_config import cfg
from oslo_db import exception as db_exc
from oslo_serialization import jsonutils
import testtools

from nova.api.openstack.compute.schemas import servers as schema
from nova.cmd import manage
from nova.compute import api as compute
from nova import exception as nova_exc
from nova import objects
from nova.tests.functional.api import client
from nova.virt import fake

from nova_cells_persist.objects import cells
from nova_cells_persist.objects import contract
from nova_cells_persist.objects import operation
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import reload
from nova_cells_persist.objects import restore
from nova_cells_persist import releases
from tests.functional import base

CONF = cfg.CONF


#: Seconds within which what is waited for is there.
DEADLINE = 60


def no_valid_host(*args, **kwargs):
    raise nova_exc.NoValidHost(reason='of the test')


class RestoreTestCase(base.CloudTestCase):

    HOSTS = dict(base.CloudTestCase.HOSTS, host2='cell1')

    def saved(self, server, field, cell='cell1'):
        """Return what (Nova's row, the cell's newest revision) say."""
        rows = (self.rows('request_specs', server['id'])[-1],
                self.rows('request_spec', server['id'], cell)[-1])
        return tuple(primitive.data(row['spec'])[field] for row in rows)

    def assert_saved(self, server, field, value, cell='cell1'):
        self._wait_for_assert(lambda: self.assertEqual(
            (value, value), self.saved(server, field, cell)))

    def assert_flavor(self, server, flavor, cell='cell1'):
        def ids():
            return tuple(each[primitive.DATA]['flavorid']
                         for each in self.saved(server, 'flavor', cell))

        self._wait_for_assert(lambda: self.assertEqual(
            (self.flavors[flavor]['id'],) * 2, ids()))

    def assert_events(self, server, *events, cell='cell1'):
        self._wait_for_assert(lambda: self.assertEqual(
            list(enumerate(events, 1)), self.revisions(server['id'], cell)))

    def no_host(self):
        return fixtures.MonkeyPatch(
            'nova.scheduler.client.query.SchedulerQueryClient.'
            'select_destinations', no_valid_host)

    def driver_fails(self, method):
        def fail(*args, **kwargs):
            raise nova_exc.InstanceDeployFailure(reason='of the test')

        return fixtures.MonkeyPatch(
            'nova.virt.fake.FakeDriver.' + method, fail)

    def held(self):
        """Return an Event that is set at the end, whatever becomes of it."""
        event = threading.Event()
        self.addCleanup(event.set)
        return event

    def instance(self, server):
        """Return the Instance as it is now, as nova-api reads it."""
        return objects.Instance.get_by_uuid(
            cells.targeted(self.context, self.cell_mappings['cell1']),
            server['id'], expected_attrs=['flavor', 'system_metadata'])

    def limits_saved_too(self):
        """Have a resize change a field that no flavor decides."""
        save = objects.RequestSpec.save

        def change_more(spec):
            spec.limits = objects.SchedulerLimits(vcpu=7)
            save(spec)

        return fixtures.MonkeyPatch(
            'nova_cells_persist.objects.request_spec.RequestSpec.save',
            change_more)

    def resize(self, server, flavor=1):
        self.api.post_server_action(server['id'], {
            'resize': {'flavorRef': self.flavors[flavor]['id']}})

    def settled(self, server, status):
        return self._wait_for_server_parameter(
            server, {'status': status, 'OS-EXT-STS:task_state': None})


class NoTaskTest(RestoreTestCase):

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


class ResizeTest(RestoreTestCase):

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


class CrossCellResizeTest(RestoreTestCase):

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


class UnshelveTest(RestoreTestCase):

    microversion = 'latest'

    def setUp(self):
        super().setUp()
        for number in (1, 2):
            aggregate = self.api.post_aggregate({'aggregate': {
                'name': 'zone%d' % number,
                'availability_zone': 'zone%d' % number}})
            self.api.add_host_to_aggregate(
                aggregate['id'], 'host%d' % number)
        server = self.boot(host='host1')
        self.server = self._shelve_server(
            server, expected_state='SHELVED_OFFLOADED')

    def unshelve(self, zone, **arguments):
        self.api.post_server_action(self.server['id'], {
            'unshelve': dict(arguments, availability_zone=zone)})

    def test_success(self):
        self.unshelve('zone2')
        self.settled(self.server, 'ACTIVE')
        self.assert_events(self.server, 'create', 'unshelve')
        self.assert_saved(self.server, 'availability_zone', 'zone2')

    def test_no_valid_host(self):
        with self.no_host():
            self.unshelve('zone2')
            self.assert_events(self.server, 'create', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', None)
        self.settled(self.server, 'SHELVED_OFFLOADED')

    def test_no_valid_host_although_it_is_named(self):
        with self.no_host():
            self.unshelve('zone2', host='host2')
            self.assert_events(self.server, 'create', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', None)

    def test_spawn_fails(self):
        with self.driver_fails('spawn'):
            self.unshelve('zone2')
            self.assert_events(self.server, 'create', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', None)

    def test_fails_twice(self):
        """What succeeded in between stays."""
        self.unshelve('zone2')
        server = self.settled(self.server, 'ACTIVE')
        self._shelve_server(server, expected_state='SHELVED_OFFLOADED')
        with self.no_host():
            self.unshelve('zone1')
            self.assert_events(self.server, 'create', 'unshelve', 'unshelve',
                               'restore')
            self.settled(self.server, 'SHELVED_OFFLOADED')
            self.unshelve('zone1')
            self.assert_events(self.server, 'create', 'unshelve', 'unshelve',
                               'restore', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', 'zone2')

    def test_saved_by_a_node_without_the_plugin(self):
        """An unshelve from before is not taken for the one that failed."""
        self.unshelve('zone2')
        server = self.settled(self.server, 'ACTIVE')
        self._shelve_server(server, expected_state='SHELVED_OFFLOADED')
        self.execute(
            "UPDATE request_spec SET created_at = '2020-01-01 00:00:00'",
            cell='cell1')
        unnamed = fixtures.MonkeyPatch(
            'nova_cells_persist.objects.operation.during',
            lambda *args: contextlib.nullcontext(
                operation.Operation('save')))
        with unnamed, self.no_host():
            self.api.post_server_action(
                self.server['id'], {'unshelve': None})
            self._wait_for_assert(lambda: self.assertIn(
                'No valid host found for unshelve instance',
                self.stdlog.logger.output))
        self.settled(self.server, 'SHELVED_OFFLOADED')
        self.assert_saved(self.server, 'availability_zone', 'zone2')

    def unshelve_later(self):
        """Unshelve as one that is not about to begin any more."""
        with fixtures.MonkeyPatch('nova_cells_persist.objects.restore.SAVED',
                                  -contract.CLOCKS):
            self.api.post_server_action(self.server['id'], {'unshelve': None})
            self.settled(self.server, 'ACTIVE')

    def test_api_dies_when_it_has_saved(self):
        instance = self.instance(self.server)
        with fixtures.MonkeyPatch('nova.objects.Instance.save', mock.Mock(
                side_effect=SystemExit)):
            self.assertRaises(SystemExit, compute.API().unshelve,
                              instance._context, instance, new_az='zone2')
        self.assert_saved(self.server, 'availability_zone', 'zone2')
        reload.reload(self.context, self.server['id'],
                      self.instance(self.server))
        # That may be about to begin.
        self.assert_events(self.server, 'create', 'unshelve')
        self.unshelve_later()
        self.assert_events(self.server, 'create', 'unshelve', 'restore',
                           'unshelve')
        self.assert_saved(self.server, 'availability_zone', None)

    def test_not_taken_back_by_who_saw_it_fail(self):
        with fixtures.MonkeyPatch('nova_cells_persist.objects.restore.look',
                                  mock.Mock(side_effect=db_exc.DBError())):
            with self.no_host():
                self.unshelve('zone2')
                self._wait_for_assert(lambda: self.assertIn(
                    'and is left to be healed', self.stdlog.logger.output))
                self.settled(self.server, 'SHELVED_OFFLOADED')
        self.assert_saved(self.server, 'availability_zone', 'zone2')
        self.unshelve_later()
        self.assert_saved(self.server, 'availability_zone', None)

    def test_cell_dies_before_it_is_saved_there(self):
        instance = self.instance(self.server)
        save = objects.RequestSpec.save

        def save_without_cell(spec):
            instance._context.db_connection = base.DeadDatabase()
            save(spec)
            raise db_exc.DBConnectionError()

        with fixtures.MonkeyPatch(
                'nova_cells_persist.objects.request_spec.RequestSpec.save',
                save_without_cell):
            self.assertRaises(
                db_exc.DBConnectionError, compute.API().unshelve,
                instance._context, instance, new_az='zone2')
        row, = self.rows('request_specs', self.server['id'])
        self.assertIsNone(primitive.data(row['spec'])['availability_zone'])
        self.assertEqual([(1, 'create')],
                         self.revisions(self.server['id'], 'cell1'))

    def test_refused(self):
        """Another request was faster: 409, and nothing of this one stays."""
        def faster(*args, **kwargs):
            raise nova_exc.UnexpectedTaskStateError(
                instance_uuid=self.server['id'], expected={'task_state': None},
                actual={'task_state': 'unshelving'})

        with fixtures.MonkeyPatch(
                'nova.compute.api.API._record_action_start', faster):
            self.assertRaises(client.OpenStackApiException,
                              self.unshelve, 'zone2')
        self.assert_events(self.server, 'create', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', None)

    def test_fails_after_another_one_was_refused(self):
        """That has taken back its own revision only."""
        over, instance = self.held(), self.instance(self.server)

        def fail_later(*args, **kwargs):
            over.wait(DEADLINE)
            raise nova_exc.NoValidHost(reason='of the test')

        with fixtures.MonkeyPatch(
                'nova.scheduler.client.query.SchedulerQueryClient.'
                'select_destinations', fail_later):
            self.unshelve('zone1')
            self.assertRaises(
                nova_exc.UnexpectedTaskStateError, compute.API().unshelve,
                instance._context, instance, new_az='zone2')
            self.assert_saved(self.server, 'availability_zone', 'zone1')
            over.set()
            self.settled(self.server, 'SHELVED_OFFLOADED')
            self.assert_saved(self.server, 'availability_zone', None)

    def test_begun_again_before_the_failure_is_looked_at(self):
        """What the second one has saved stays."""
        over, failed, looked = self.held(), self.held(), self.held()
        look = restore.restore

        def look_later(context, instance_uuid, which=None):
            if which == restore.of_unshelve:
                failed.set()
                over.wait(DEADLINE)
            look(context, instance_uuid, which)
            looked.set()

        with fixtures.MonkeyPatch(
                'nova_cells_persist.objects.restore.restore', look_later):
            with self.no_host():
                self.unshelve('zone1')
                self.assertTrue(failed.wait(DEADLINE))
            self.unshelve('zone2')
            over.set()
            self.settled(self.server, 'ACTIVE')
            self.assertTrue(looked.wait(DEADLINE))
        self.assert_saved(self.server, 'availability_zone', 'zone2')


class RebuildTest(RestoreTestCase):

    #: Of Nova's GlanceFixture; the first is what servers are booted from.
    IMAGES = ('155d900f-4e14-4e4c-a73d-069cbf4541e6',
              'a2459075-d96c-40d5-893e-577ff92e721c')

    def rebuild(self, server):
        self.api.post_server_action(
            server['id'], {'rebuild': {'imageRef': self.IMAGES[1]}})

    def assert_image(self, server, image):
        self._wait_for_assert(lambda: self.assertEqual(
            [image, image], [each[primitive.DATA]['id'] for each in
                             self.saved(server, 'image')]))

    def test_success(self):
        server = self.boot(host='host1')
        self.rebuild(server)
        self.settled(server, 'ACTIVE')
        self.assert_events(server, 'create', 'rebuild')
        self.assert_image(server, self.IMAGES[1])

    def test_no_valid_host(self):
        """Nova resets the image of the server, and not of its spec."""
        server = self.boot(host='host1')
        self.assert_image(server, self.IMAGES[0])
        with self.no_host():
            self.rebuild(server)
            server = self.settled(server, 'ERROR')
        self.assertEqual(self.IMAGES[0], server['image']['id'])
        self.assert_events(server, 'create', 'rebuild', 'restore')
        self.assert_image(server, self.IMAGES[0])

    def test_spawn_fails(self):
        """The server has the new image from then on."""
        server = self.boot(host='host1')
        with self.driver_fails('spawn'):
            self.rebuild(server)
            server = self.settled(server, 'ERROR')
        self.assertEqual(self.IMAGES[1], server['image']['id'])
        self.assert_events(server, 'create', 'rebuild')

    def test_begun_while_a_move_is_refused(self):
        """That read the server before, and the spec after it had begun."""
        server = self.boot(host='host1')
        over, instance = self.held(), self.instance(server)
        spawn = fake.FakeDriver.spawn

        def spawn_later(*args, **kwargs):
            over.wait(DEADLINE)
            return spawn(*args, **kwargs)

        with fixtures.MonkeyPatch('nova.virt.fake.FakeDriver.spawn',
                                  spawn_later):
            self.rebuild(server)
            self.assertRaises(
                nova_exc.UnexpectedTaskStateError, compute.API().live_migrate,
                instance._context, instance, False, False, None)
            over.set()
            self.settled(server, 'ACTIVE')
        self.assert_events(server, 'create', 'rebuild')
        self.assert_image(server, self.IMAGES[1])


class RebuildInVolumeTest(RestoreTestCase):
    """Nothing that Nova keeps tells which image such a server has."""

    microversion = 'latest'

    @testtools.skipIf(releases.nova_release() < 26,
                      'Nova 25 rebuilds no server in a volume')
    def test_no_valid_host(self):
        server = self.boot_in_volume({'imageRef': ''}, az='nova:host1')
        before = self.saved(server, 'image')
        with self.no_host():
            self.api.post_server_action(server['id'], {
                'rebuild': {'imageRef': RebuildTest.IMAGES[1]}})
            self.settled(server, 'ERROR')
        self.assert_events(server, 'create', 'rebuild', 'restore')
        self.assertEqual(before, self.saved(server, 'image'))


class OtherMovesTest(RestoreTestCase):
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


class CellLevelTest(RestoreTestCase):
    """A conductor of a cell that cannot reach the API database."""

    def instance(self, server, context):
        return objects.Instance.get_by_uuid(
            context, server['id'], expected_attrs=['flavor'])

    def failed_resize(self, server, context):
        """Be told that a resize has failed, by a compute of the cell."""
        instance = self.instance(server, context)
        instance.task_state = 'resize_migrating'
        instance.save()
        instance.task_state = None
        instance.save()

    def test_super_conductor_has_saved(self):
        server = self.boot(host='host1')
        self.save_resize(server)
        with self.cell_level('cell1') as context:
            self.failed_resize(server, context)
        self.assert_events(server, 'create', 'save', 'restore')
        row = self.rows('request_spec', server['id'], 'cell1')[-1]
        self.assertEqual(self.flavors[0]['id'], self.flavor_of(row))
        self.assertTrue(row['pending'])
        # And comes to the API database before the next move.
        self.assertEqual(self.flavors[1]['id'],
                         self.flavor_persisted(server['id']))
        self.api.post_server_action(server['id'], {'migrate': None})
        self.settled(server, 'VERIFY_RESIZE')
        self.assert_flavor(server, 0)

    def flavor(self, number):
        return objects.Flavor.get_by_flavor_id(
            self.context, self.flavors[number]['id'])

    def save_resize(self, server, flavor=None):
        spec = self.spec(server['id'])
        spec.flavor = flavor or self.flavor(1)
        spec.save()

    def test_super_conductor_saves_later(self):
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            self.failed_resize(server, context)
        self.assert_events(server, 'create')
        self.save_resize(server)
        restore.restore(self.context, server['id'])
        self.assert_flavor(server, 0)

    def test_migration_in_error(self):
        """The task has not ended yet."""
        server = self.boot(host='host1')
        self.save_resize(server)
        with self.cell_level('cell1') as context:
            instance = self.instance(server, context)
            instance.task_state = 'resize_prep'
            instance.save()
            migration = self.migration(context, instance)
            self.assert_events(server, 'create', 'save')
            migration.status = 'error'
            migration.save()
        self.assert_events(server, 'create', 'save', 'restore')

    def migration(self, context, instance):
        migration = objects.Migration(
            context, instance_uuid=instance.uuid, source_compute='host1',
            status='migrating', migration_type='resize')
        migration.create()
        return migration

    def test_another_move_has_begun(self):
        """The failure of the first does not void what the second saves."""
        server = self.boot(host='host1')
        flavor = self.flavor(1)   # which the conductor of a cell cannot read
        with self.cell_level('cell1') as context:
            instance = self.instance(server, context)
            first = self.migration(context, instance)
            self.migration(context, instance)
            instance.task_state = 'resize_prep'
            instance.save()
            self.save_resize(server, flavor)
            first.status = 'error'
            first.save()
        self.assert_events(server, 'create', 'save')

    def test_server_is_gone(self):
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            migration = self.migration(
                context, self.instance(server, context))
            self.execute('UPDATE instances SET deleted = id', cell='cell1')
            migration.status = 'error'
            migration.save()
        self.assert_events(server, 'create')

    def test_cell_without_our_table(self):
        server = self.boot(host='host1')
        self.execute('DROP TABLE request_spec', cell='cell1')
        with self.cell_level('cell1') as context:
            self.failed_resize(server, context)
        self.assertIn('is left to be healed', self.stdlog.logger.output)


class HistoryTest(RestoreTestCase):

    def test_bounded(self):
        self.flags(revisions_kept=3, group='cells_persist')
        server = self.boot(host='host1')
        for number in range(2, 8):
            spec = self.spec(server['id'])
            spec.availability_zone = 'zone%d' % number
            spec.save()
        self.assertEqual([1, 5, 6, 7], [
            number for number, _ in self.revisions(server['id'], 'cell1')])
        for row in self.rows('request_spec', server['id'], 'cell1'):
            self.assertIsNotNone(row['created_at'])

    def test_bounded_in_a_cell(self):
        self.flags(revisions_kept=2, group='cells_persist')
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            for number in range(2, 6):
                spec = self.spec(server['id'], context)
                spec.availability_zone = 'zone%d' % number
                spec.save()
        self.assertEqual([1, 4, 5], [
            number for number, _ in self.revisions(server['id'], 'cell1')])

    def test_taken_back_over_a_gap(self):
        """Of what went between there is no telling; the contract holds."""
        self.flags(revisions_kept=2, group='cells_persist')
        server = self.boot(host='host1')
        self.resize(server)
        server = self.settled(server, 'VERIFY_RESIZE')
        self.assert_flavor(server, 1)
        for number in range(3):
            spec = self.spec(server['id'])
            spec.availability_zone = 'zone%d' % number
            spec.save()
        self._revert_resize(server)
        self.assert_flavor(server, 0)
        self.assert_saved(server, 'availability_zone', 'zone2')


class EditorsTest(RestoreTestCase):
    """What edits a request spec has the cell's news first, and is named."""

    microversion = 'latest'

    def save_pending(self, server):
        with self.cell_level('cell1') as context:
            spec = self.spec(server['id'], context)
            spec.scheduler_hints = {'colour': ['blue']}
            spec.save()

    def test_pin(self):
        if 'update_v2104' not in vars(schema):
            self.skipTest('this Nova cannot pin a server')
        server = self.boot(host='host1')
        self.save_pending(server)
        self.api.put_server(server['id'], {
            'server': {'pinned_availability_zone': 'nova'}})
        self.assert_events(server, 'create', 'save', 'pin')
        self.assert_saved(server, 'availability_zone', 'nova')
        self.assert_saved(server, 'scheduler_hints', {'colour': ['blue']})
        self.api.put_server(server['id'], {
            'server': {'pinned_availability_zone': None}})
        self.assert_saved(server, 'availability_zone', None)

    def test_pin_that_is_refused(self):
        """The answer is Nova's, and nothing is done before it."""
        server = self.boot(host='host1')
        self.save_pending(server)
        for body in (None, [], 'x', {'server': []},
                     {'server': {'pinned_availability_zone': 1}}):
            exc = self.assertRaises(
                client.OpenStackApiException, self.api.api_put,
                '/servers/' + server['id'], body)
            self.assertEqual(400, exc.response.status_code, body)
        self.api.microversion = '2.90'
        exc = self.assertRaises(
            client.OpenStackApiException, self.api.put_server, server['id'],
            {'server': {'pinned_availability_zone': 'nova'}})
        self.assertEqual(400, exc.response.status_code)
        self.assert_events(server, 'create', 'save')
        self.assertTrue(
            self.rows('request_spec', server['id'], 'cell1')[-1]['pending'])

    def test_rename(self):
        server = self.boot(host='host1')
        self.save_pending(server)
        self.api.put_server(server['id'], {'server': {'name': 'new'}})
        self.assert_events(server, 'create', 'save')
        self.assertTrue(
            self.rows('request_spec', server['id'], 'cell1')[-1]['pending'])

    def test_image_property(self):
        server = self.boot(host='host1')
        self._stop_server(server)
        self.save_pending(server)
        status = manage.ImagePropertyCommands().set(
            server['id'], image_properties=['hw_machine_type=q35'])
        self.assertEqual(0, status)
        self.assert_saved(server, 'scheduler_hints', {'colour': ['blue']})
        self.assertFalse(
            self.rows('request_spec', server['id'], 'cell1')[-1]['pending'])
        with self.targeted('cell1') as cctxt:
            instance = objects.Instance.get_by_uuid(
                cctxt, server['id'], expected_attrs=['system_metadata'])
        self.assertEqual('q35', instance.system_metadata[
            'image_hw_machine_type'])
        if len(self.revisions(server['id'], 'cell1')) > 2:
            self.assert_events(server, 'create', 'save', 'image_property')


class DownCellTest(RestoreTestCase):

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
