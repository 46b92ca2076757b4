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

"""What failed is taken back by services without the API database."""

from nova import objects

from nova_cells_persist.objects import restore

from tests.functional import restoring


class CellLevelTest(restoring.RestoreTestCase):
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


class HistoryTest(restoring.RestoreTestCase):

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
