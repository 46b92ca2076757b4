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

"""Where one copy of a request spec is lost, the other one answers."""

import fixtures
from oslo_versionedobjects import exception as ovo_exc

from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.objects import heal
from nova_cells_persist.objects import primitive

from tests.functional import saving


class OtherCopyTest(saving.SpecTestCase):
    """Nova's row is missing or cannot be read."""

    def test_missing_row(self):
        server = self.boot(host='host1')
        before, = self.rows('request_specs', server['id'])
        self.execute('DELETE FROM request_specs')
        self.assertEqual(server['id'], self.spec(server['id']).instance_uuid)
        self.assert_rebuilt(server, before, 'missing', 'revision 1 of its '
                            'cell')
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell1'))

    def assert_rebuilt(self, server, before, what, source):
        after, = self.rows('request_specs', server['id'])
        self.assertEqual(primitive.digest(before['spec']),
                         primitive.digest(after['spec']))
        self.assertIn('Request spec of %s: its row in request_specs of the '
                      'API database was %s and has been rebuilt from %s' % (
                          server['id'], what, source),
                      self.stdlog.logger.output)

    def test_missing_row_of_a_pending_revision(self):
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            self.save_az(server, 'one', context)
        self.execute('DELETE FROM request_specs')
        self.assertEqual('one', self.az_persisted(server))
        self.assertEqual([], self.pending(server))

    def test_rebuilt_by_another_meanwhile(self):
        """And saved: what was found here is not the newest any more."""
        server = self.boot(host='host1')
        for how in ('DELETE FROM request_specs',
                    "UPDATE request_specs SET spec = '{broken'"):
            self.execute(how)
            looked_for = heal._source

            def slowly(context, uuid):
                found = looked_for(context, uuid)
                with fixtures.MonkeyPatch(
                        'nova_cells_persist.objects.heal._source',
                        looked_for):
                    self.save_az(server, how)
                return found

            with fixtures.MonkeyPatch(
                    'nova_cells_persist.objects.heal._source', slowly):
                self.assertEqual(
                    how, self.spec(server['id']).availability_zone)
            self.assertEqual(how, self.az_persisted(server))
            self.assertEqual('save', self.revisions(
                server['id'], 'cell1')[-1][1])

    def test_why_the_cell_did_not_give_its_copy(self):
        server = self.boot(host='host1')
        self.execute('DELETE FROM request_specs')
        self.execute('DROP TABLE request_spec', cell='cell1')
        self.assertRaises(nova_exc.RequestSpecNotFound,
                          self.spec, server['id'])
        self.assertIn('did not give its copy: it has no table request_spec, '
                      'run "nova-cells-persist db sync" first',
                      self.stdlog.logger.output)

    def test_missing_row_of_a_build(self):
        with self.held_builds() as let_go:
            server = self.accept(host='host1')
            self.execute('DELETE FROM request_specs')
            self.assertEqual(server['id'],
                             self.spec(server['id']).instance_uuid)
            self.assertEqual(1, len(self.rows('request_specs',
                                              server['id'])))
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')

    def test_both_copies_of_a_build_gone(self):
        group = self.create_group()
        with self.held_builds() as let_go:
            server = self.accept(hints={'group': group}, host='host1')
            before, = self.rows('request_specs', server['id'])
            self.execute("UPDATE request_specs SET spec = '{broken'")
            self.execute("UPDATE request_spec SET spec = '{broken'")
            spec = self.spec(server['id'])
            self.assertEqual(group, spec.instance_group.uuid)
            self.assertEqual(server['id'],
                             self.api.get_server(server['id'])['id'])
            self.assert_reconstructed(server, before)
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')

    def test_damaged_row(self):
        server = self.boot(host='host1')
        good, = self.rows('request_specs', server['id'])
        for text in ('{broken', '[]', 'null', '{}', good['spec'].replace(
                '"nova_object.version"', '"nova_object.namespace"', 1)):
            self.assertNotEqual(good['spec'], text)
            self.execute('UPDATE request_specs SET spec = :spec', spec=text)
            self.assertEqual(server['id'],
                             self.spec(server['id']).instance_uuid)
            self.assertIn(
                'Table request_specs in the API database: the row of server '
                '%s cannot be read' % server['id'],
                self.stdlog.logger.output)
            self.assert_rebuilt(server, good, 'damaged', 'revision 1')

    def test_damaged_row_in_a_list(self):
        if not hasattr(objects.RequestSpec, 'get_by_instance_uuids'):
            self.skipTest('this Nova reads one at a time')
        server = self.boot(host='host1')
        good, = self.rows('request_specs', server['id'])
        self.execute("UPDATE request_specs SET spec = '{broken'")
        specs = objects.RequestSpec.get_by_instance_uuids(
            self.context, [server['id']])
        self.assertEqual([server['id']],
                         [spec.instance_uuid for spec in specs])
        self.assert_rebuilt(server, good, 'damaged', 'revision 1')

    def test_row_of_a_newer_nova(self):
        """It is not damaged, and nobody writes over it."""
        server = self.boot(host='host1')
        good, = self.rows('request_specs', server['id'])
        newer = good['spec'].replace('"nova_object.version":"1.',
                                     '"nova_object.version":"9.')
        self.execute('UPDATE request_specs SET spec = :spec', spec=newer)
        self.assertRaises(ovo_exc.IncompatibleObjectVersion,
                          self.spec, server['id'])
        row, = self.rows('request_specs', server['id'])
        self.assertEqual(newer, row['spec'])

    def test_missing_row_and_a_revision_of_a_newer_nova(self):
        """An older revision is not what the server runs under."""
        server = self.boot(host='host1')
        self.save_az(server, 'one')
        self.execute('DELETE FROM request_specs')
        self.execute(
            'UPDATE request_spec SET spec = REPLACE(spec, :old, :new) '
            'WHERE revision = 2', cell='cell1',
            old='"nova_object.version":"1.', new='"nova_object.version":"9.')
        self.assertRaises(nova_exc.RequestSpecNotFound,
                          self.spec, server['id'])
        self.assertEqual([], self.rows('request_specs', server['id']))
        self.assertIn('revision 2 in the database of cell %s cannot be read'
                      % self.cell_mappings['cell1'].uuid,
                      self.stdlog.logger.output)

    def test_newest_revision_is_damaged_too(self):
        server = self.boot(host='host1')
        good, = self.rows('request_specs', server['id'])
        self.save_az(server, 'one')
        self.execute('DELETE FROM request_specs')
        self.execute("UPDATE request_spec SET spec = '{broken' "
                     "WHERE revision = 2", cell='cell1')
        self.spec(server['id'])
        self.assert_rebuilt(server, good, 'missing', 'revision 1')
        self.assertEqual([(1, 'create'), (2, 'save'), (3, 'heal')],
                         self.revisions(server['id'], 'cell1'))

    def test_both_copies_gone(self):
        group = self.create_group()
        server = self._wait_for_state_change(
            self.accept(hints={'group': group}, host='host1'), 'ACTIVE')
        before, = self.rows('request_specs', server['id'])
        self.execute('DELETE FROM request_specs')
        self.execute('DELETE FROM request_spec', cell='cell1')
        spec = self.spec(server['id'])
        self.assertEqual(group, spec.instance_group.uuid)
        self.assertEqual([(1, 'reconstructed')],
                         self.revisions(server['id'], 'cell1'))
        self.assertIn('rebuilt from the server itself',
                      self.stdlog.logger.output)
        self.assert_reconstructed(server, before)

    def assert_reconstructed(self, server, before):
        """Only what nothing but the request said is lost."""
        was, now = (primitive.data(row['spec']) for row in (
            before, self.rows('request_specs', server['id'])[0]))
        for field in set(was) - {'availability_zone', 'flavor', 'image',
                                 'pci_requests', 'security_groups'}:
            self.assertEqual(was[field], now[field], field)
        for field, name in (('flavor', 'flavorid'), ('image', 'id'),
                            ('pci_requests', 'requests')):
            self.assertEqual(was[field][primitive.DATA][name],
                             now[field][primitive.DATA][name])

    def test_cell_does_not_answer(self):
        server = self.boot(host='host1')
        self.execute('DELETE FROM request_specs')
        self.execute('DROP TABLE request_spec', cell='cell1')
        self.assertRaises(nova_exc.RequestSpecNotFound,
                          self.spec, server['id'])
        self.assertIn('did not give its copy', self.stdlog.logger.output)

    def test_unknown_server(self):
        self.assertRaises(nova_exc.RequestSpecNotFound, self.spec,
                          '11111111-1111-1111-1111-111111111111')
