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

"""What audit finds of request specs, and how heal mends them."""

from tests.functional import audited
from tests.functional import base


class ContractTest(audited.AuditTestCase):

    def setUp(self):
        super().setUp()
        self.server_id = self.boot(host='host1')['id']
        self.boot(host='host3')

    def break_spec(self, text, table='request_specs', cell=None):
        self.execute('UPDATE %s SET spec = :text WHERE instance_uuid = :uuid'
                     % table, cell, text=text, uuid=self.server_id)

    def test_missing(self):
        self.execute('DELETE FROM request_specs WHERE instance_uuid = :uuid',
                     uuid=self.server_id)
        self.assert_healed(self.server_id, 'missing-spec')
        self.assert_can_be_moved()

    def assert_can_be_moved(self):
        self._start_compute('host2', cell_name='cell1')
        self._migrate_server({'id': self.server_id})
        server = self._wait_for_state_change({'id': self.server_id},
                                             'VERIFY_RESIZE')
        self.assertEqual('host2', server['OS-EXT-SRV-ATTR:host'])

    def test_missing_on_both_sides(self):
        self.execute('DELETE FROM request_specs WHERE instance_uuid = :uuid',
                     uuid=self.server_id)
        self.execute('DELETE FROM request_spec WHERE instance_uuid = :uuid',
                     'cell1', uuid=self.server_id)
        self.assert_healed(self.server_id, 'missing-spec')
        self.assertEqual([(1, 'reconstructed')],
                         self.revisions(self.server_id, 'cell1'))
        self.assert_can_be_moved()

    def test_unreadable(self):
        for text in ('{', '[]', '{"nova_object.name": "RequestSpec"}'):
            self.break_spec(text)
            self.assert_healed(self.server_id, 'unreadable-spec')
        self.assertEqual(self.flavors[0]['id'],
                         self.flavor_persisted(self.server_id))

    def test_unreadable_copy(self):
        self.break_spec('{', 'request_spec', 'cell1')
        self.assert_healed(self.server_id, 'unreadable-copy')
        self.assertEqual([(1, 'create'), (2, 'heal')],
                         self.revisions(self.server_id, 'cell1'))

    def test_missing_copy(self):
        self.execute('DELETE FROM request_spec WHERE instance_uuid = :uuid',
                     'cell1', uuid=self.server_id)
        self.assert_healed(self.server_id, 'missing-copy')
        self.assertEqual([(1, 'heal')],
                         self.revisions(self.server_id, 'cell1'))

    def test_saved_while_the_cell_was_down(self):
        with self.targeted('cell1') as context:
            with self.dead_cell('cell1'):
                context.db_connection = base.DeadDatabase()
                self.saved(self.server_id, context,
                           scheduler_hints={'colour': ['blue']})
        self.assert_healed(self.server_id, 'stale-copy')
        self.assertEqual([(1, 'create'), (2, 'heal')],
                         self.revisions(self.server_id, 'cell1'))

    def save_in_cell(self):
        with self.cell_level('cell1') as context:
            self.saved(self.server_id, context,
                       scheduler_hints={'colour': ['blue']})

    def test_pending(self):
        self.save_in_cell()
        self.assert_healed(self.server_id, 'pending-revision')
        self.assertEqual({'colour': ['blue']},
                         self.spec(self.server_id).scheduler_hints)

    def test_conflicting(self):
        self.save_in_cell()
        row = self.rows('request_specs', self.server_id)[0]
        self.break_spec(row['spec'].replace('"num_instances":1',
                                            '"num_instances":2'))
        self.assert_healed(self.server_id, 'conflicting-revision')
        spec = self.spec(self.server_id)
        self.assertEqual((2, {}), (spec.num_instances, spec.scheduler_hints))
        self.assertEqual([(1, 'create'), (2, 'save'), (3, 'heal')],
                         self.revisions(self.server_id, 'cell1'))

    def test_other_flavor(self):
        self.saved(self.server_id, flavor=self.flavor(1))
        self.assert_healed(self.server_id, 'spec-differs')
        self.assertEqual(self.flavors[0]['id'],
                         self.flavor_persisted(self.server_id))
        self.undo()
        self.assertEqual(self.flavors[1]['id'],
                         self.flavor_persisted(self.server_id))

    def test_flavor_that_only_half_was_written(self):
        # A compute dies between the two transactions of Instance.save().
        self.execute('UPDATE instances SET instance_type_id = :id '
                     'WHERE uuid = :uuid', 'cell1', uuid=self.server_id,
                     id=self.flavor(1).id)
        self.assertEqual([], self.audit())
        self.saved(self.server_id, flavor=self.flavor(2))
        self.assert_healed(self.server_id, 'spec-differs')
        self.assertEqual(self.flavors[0]['id'],
                         self.flavor_persisted(self.server_id))

    def test_other_zone_and_image(self):
        spec = self.spec(self.server_id)
        image = spec.image
        image.id = '70a599e0-31e7-49b7-b260-868f441e862b'
        self.saved(self.server_id, availability_zone='elsewhere',
                   image=image)
        self.assert_healed(self.server_id, 'spec-differs')
        spec = self.spec(self.server_id)
        self.assertEqual('nova', spec.availability_zone)
        self.assertEqual('155d900f-4e14-4e4c-a73d-069cbf4541e6',
                         spec.image.id)

    def test_group(self):
        group = self.create_group()
        member = self._wait_for_state_change(
            self.accept(hints={'group': group}), 'ACTIVE')['id']
        self.assertEqual([], self.audit())
        self.saved(member, instance_group=None)
        self.assert_healed(member, 'spec-differs')
        self.assertEqual(group, self.spec(member).instance_group.uuid)
        # Nova skips a group that is gone.
        self.api.api_delete('/os-server-groups/%s' % group)
        self.assertEqual([], self.audit())

    def test_in_the_middle_of_a_task(self):
        self.saved(self.server_id, flavor=self.flavor(1))
        self.execute("UPDATE instances SET task_state = 'rebuilding' "
                     'WHERE uuid = :uuid', 'cell1', uuid=self.server_id)
        self.assertEqual([], self.audit())

    def test_resized_and_reverted(self):
        self._start_compute('host2', cell_name='cell1')
        server = self.api.get_server(self.server_id)
        self._resize_server(server, self.flavors[1]['id'])
        self._wait_for_assert(lambda: self.assertEqual([], self.audit()))
        self._revert_resize(server)
        self.assertEqual([], self.audit())
