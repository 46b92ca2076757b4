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

"""Reloading before a move, from the database of the context."""

import fixtures
from oslo_db import exception as db_exc
from oslo_serialization import jsonutils

from nova import objects
from nova.scheduler.client import query

from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import reload

from tests.functional import base
from tests.functional import saving


class ReloadTest(saving.SpecTestCase):

    def test_promotes_a_pending_revision(self):
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            self.save_az(server, 'one', context)
        self.assertIsNone(self.az_persisted(server))
        with self.targeted('cell1') as cctxt:
            reload.reload(cctxt, server['id'])
        self.assertEqual('one', self.az_persisted(server))
        self.assertEqual([], self.pending(server))
        self.assertEqual(2, len(self.revisions(server['id'], 'cell1')))

    def test_conflict(self):
        server = self.conflicting()
        with self.targeted('cell1') as cctxt:
            reload.reload(cctxt, server['id'])
        self.assertEqual('api', self.az_persisted(server))
        self.assertEqual('api', self.az_of_newest(server))
        self.assertEqual([(1, 'create'), (2, 'save'), (3, 'reload')],
                         self.revisions(server['id'], 'cell1'))
        # Still in the history, and still marked.
        self.assertEqual([2], self.pending(server))
        self.assertIn('The API database wins; revision 2 stays in the '
                      'history', self.stdlog.logger.output)

    def test_goes_on_from_one_that_kept_its_mark(self):
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            self.save_az(server, 'one', context)

        def fail(*args):
            raise db_exc.DBConnectionError('gone')

        with self.targeted('cell1') as cctxt:
            with fixtures.MonkeyPatch(
                    'nova_cells_persist.db.request_spec.clear_pending', fail):
                reload.reload(cctxt, server['id'])
            self.assertEqual('one', self.az_persisted(server))
            with self.cell_level('cell1') as context:
                self.save_az(server, 'two', context)
            self.assertEqual([2, 3], self.pending(server))
            reload.reload(cctxt, server['id'])
        self.assertEqual('two', self.az_persisted(server))
        self.assertEqual([], self.pending(server))
        self.assertEqual([(1, 'create'), (2, 'save'), (3, 'save')],
                         self.revisions(server['id'], 'cell1'))

    def conflicting(self):
        """Return a server of which cell and API database say other zones."""
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            self.save_az(server, 'cell', context)
        self.execute('UPDATE request_specs SET spec = :spec', spec=(
            self.with_az(server, 'api')))
        return server

    def with_az(self, server, az):
        row, = self.rows('request_specs', server['id'])
        spec = jsonutils.loads(row['spec'])
        spec['nova_object.data']['availability_zone'] = az
        return jsonutils.dumps(spec)

    def test_conflict_at_a_save(self):
        server = self.conflicting()
        spec = self.spec(server['id'])
        spec.scheduler_hints = {'colour': ['blue']}
        spec.save()
        self.assertEqual('api', self.az_persisted(server))
        self.assertEqual(
            [(1, 'create'), (2, 'save'), (3, 'reload'), (4, 'save')],
            self.revisions(server['id'], 'cell1'))
        self.assertEqual([2], self.pending(server))
        self.assertIn('The API database wins; revision 2 stays in the '
                      'history', self.stdlog.logger.output)

    def test_clears_what_it_was_made_of(self):
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            self.save_az(server, 'one', context)
            self.save_az(server, 'two', context)
        with self.targeted('cell1') as cctxt:
            reload.reload(cctxt, server['id'])
        self.assertEqual('two', self.az_persisted(server))
        self.assertEqual([], self.pending(server))

    def test_follows_a_node_without_the_plugin(self):
        server = self.boot(host='host1')
        self.execute('UPDATE request_specs SET spec = :spec',
                     spec=self.with_az(server, 'stock'))
        with self.targeted('cell1') as cctxt:
            reload.reload(cctxt, server['id'])
            reload.reload(cctxt, server['id'])
        self.assertEqual('stock', self.az_of_newest(server))
        self.assertEqual([(1, 'create'), (2, 'reload')],
                         self.revisions(server['id'], 'cell1'))


class MoveTest(saving.SpecTestCase):

    HOSTS = dict(base.CloudTestCase.HOSTS, host2='cell1')

    def test_resize_writes_a_revision(self):
        server = self.boot(host='host1')
        server = self._resize_server(server, self.flavors[1]['id'])
        self._wait_for_assert(lambda: self.assertEqual(
            [(1, 'create'), (2, 'resize')],
            self.revisions(server['id'], 'cell1')))
        rows = self.rows('request_spec', server['id'], 'cell1')
        self.assertEqual([self.flavors[0]['id'], self.flavors[1]['id']],
                         [self.flavor_of(row) for row in rows])
        self.assertEqual(self.flavors[1]['id'],
                         self.flavor_persisted(server['id']))
        self.assertEqual([], self.pending(server))
        self._revert_resize(server)
        self.assertEqual(self.flavors[0]['id'],
                         self.flavor_persisted(server['id']))
        self.assertEqual(
            self.flavors[0]['id'], self.flavor_of(
                self.rows('request_spec', server['id'], 'cell1')[-1]))

    def test_move_schedules_with_what_the_cell_knows(self):
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            spec = self.spec(server['id'], context)
            spec.scheduler_hints = {'colour': ['blue']}
            spec.save()
        asked = []
        select = query.SchedulerQueryClient.select_destinations

        def note(client, context, spec_obj, *args, **kwargs):
            asked.append(spec_obj.obj_clone())
            return select(client, context, spec_obj, *args, **kwargs)

        self.useFixture(fixtures.MonkeyPatch(
            'nova.scheduler.client.query.SchedulerQueryClient.'
            'select_destinations', note))
        server = self._migrate_cold(server)
        self.assertEqual({'colour': ['blue']}, asked[0].scheduler_hints)
        self.assertEqual([], self.pending(server))
        self.assertEqual({'colour': ['blue']},
                         self.spec(server['id']).scheduler_hints)

    def _migrate_cold(self, server):
        self.api.post_server_action(server['id'], {'migrate': None})
        return self._wait_for_state_change(server, 'VERIFY_RESIZE')

    def test_reload_never_fails_a_move(self):
        server = self.boot(host='host1')
        self.execute('DROP TABLE request_spec', cell='cell1')
        server = self._resize_server(server, self.flavors[1]['id'])
        self.assertEqual('VERIFY_RESIZE', server['status'])


class LegacyTest(saving.SpecTestCase):
    """Nova's row was written before Victoria: Nova saves it when read."""

    def setUp(self):
        super().setUp()
        self.server = self.boot(host='host1')
        cell = objects.InstanceNUMACell(
            id=0, cpuset=set(), pcpuset={0}, memory=512,
            cpu_policy='dedicated')
        spec = self.spec(self.server['id'])
        spec.numa_topology = objects.InstanceNUMATopology(cells=[cell])
        spec.save()
        self.before = self.revisions(self.server['id'], 'cell1')
        row, = self.rows('request_specs', self.server['id'])
        legacy = jsonutils.loads(row['spec'])
        topology = legacy[primitive.DATA]['numa_topology'][primitive.DATA]
        topology['cells'][0]['nova_object.version'] = '1.4'
        fields = topology['cells'][0][primitive.DATA]
        fields['cpuset'] = fields.pop('pcpuset')
        self.execute('UPDATE request_specs SET spec = :spec',
                     spec=jsonutils.dumps(legacy))

    def assert_migrated(self, spec):
        self.assertEqual({0}, spec.numa_topology.cells[0].pcpuset)
        row, = self.rows('request_specs', self.server['id'])
        self.assertIn('pcpuset', row['spec'])
        self.assertEqual(self.before,
                         self.revisions(self.server['id'], 'cell1'))
        self.assertNotIn('cannot be read', self.stdlog.logger.output)

    def test_read(self):
        self.assert_migrated(self.spec(self.server['id']))

    def test_read_in_a_list(self):
        if not hasattr(objects.RequestSpec, 'get_by_instance_uuids'):
            self.skipTest('this Nova reads one at a time')
        self.assert_migrated(*objects.RequestSpec.get_by_instance_uuids(
            self.context, [self.server['id']]))

    def test_read_while_its_cell_is_down(self):
        with self.dead_cell('cell1'):
            spec = self.spec(self.server['id'])
        self.assert_migrated(spec)
        self.assertNotIn('left to be healed', self.stdlog.logger.output)
