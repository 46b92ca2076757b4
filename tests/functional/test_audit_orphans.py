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

"""What audit finds of rows that lack the others of their server."""

import contextlib

import ddt
import fixtures
from keystoneauth1 import exceptions as ks_exc
from oslo_serialization import jsonutils

from nova.tests.functional.api import client

from tests.functional import audited


@ddt.ddt
class OrphansTest(audited.NeighboursTestCase):

    def test_deleted_under_a_conductor_without_the_plugin(self):
        server_id = self.deleted_under_a_conductor_without_the_plugin()
        self.assert_healed(server_id, 'orphaned-spec')
        self.assertEqual({}, self.everything(server_id))
        self.undo()
        self.assertEqual([('orphaned-spec', server_id)], self.audit())

    def test_row_of_the_instance_is_gone(self):
        server_id = self.boot(host='host1')['id']
        before = self.everything(server_id)
        self.lose_instance(server_id, 'cell1')
        allocated = self._get_allocations_by_server_uuid(server_id)
        self.assertTrue(allocated)
        self.assert_healed(server_id, 'orphaned-mapping')
        self.assertEqual({}, self.everything(server_id))
        self.assertEqual({}, self._get_allocations_by_server_uuid(server_id))
        self.undo()
        del before['cell1', 'instances']
        self.assertEqual(before, self.everything(server_id))
        self.assertEqual(
            {provider: each['resources']
             for provider, each in allocated.items()},
            {provider: each['resources'] for provider, each in
             self._get_allocations_by_server_uuid(server_id).items()})

    def test_placement_out_of_reach(self):
        server_id = self.lose()
        self.api.delete_server(server_id)
        self.assertEqual([('deleted-build', server_id)], self.audit())
        with self.refusing('get'):
            status, stdout, stderr = self.command(
                'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file,
                '-f', 'json')
        self.assertEqual(1, status)
        self.assertIn('Placement is out of reach, so the allocations of '
                      'server %s stay: nobody listens' % server_id, stderr)
        self.assertIn('1 deleted-build mended, allocations left', stderr)
        self.assertIn('allocation delete %s' % server_id,
                      jsonutils.loads(stdout)[0]['Result'])
        self.assertEqual({}, self.everything(server_id))

    def refusing(self, method):
        """Have Nova's client of placement reach nobody with a method."""
        def refused(*args, **kwargs):
            raise ks_exc.ConnectFailure('nobody listens')

        return fixtures.MonkeyPatch(
            'nova.scheduler.client.report.SchedulerReportClient.' + method,
            refused)

    def test_placement_does_not_remove_allocations(self):
        server_id = self.boot(host='host1')['id']
        self.lose_instance(server_id, 'cell1')
        with self.refusing('delete'):
            (_, result), = self.heal(status=1)
        self.assertIn('mended, but placement may still have', result)
        self.assertEqual({}, self.everything(server_id))
        self.assertTrue(self._get_allocations_by_server_uuid(server_id))

    def test_placement_does_not_take_allocations_back(self):
        server_id = self.boot(host='host1')['id']
        self.lose_instance(server_id, 'cell1')
        before = self.everything(server_id)
        allocated = self._get_allocations_by_server_uuid(server_id)
        provider, = allocated
        self.heal()
        # It gives away two processors at least; then nobody answers.
        self.give_at_least(2, provider)
        for refusing in (contextlib.nullcontext(), self.refusing('put'),
                         self.refusing('get')):
            with refusing:
                status, stdout, _ = self.command('undo', self.undo_file)
            self.assertEqual(1, status)
            self.assertIn('The rows of server %s are as they were' %
                          server_id, stdout)
            self.assertEqual(before, self.everything(server_id))
        self.give_at_least(1, provider)
        self.assertIn('put back', self.undo())
        self.assertEqual(
            [each['resources'] for each in allocated.values()],
            [each['resources'] for each in
             self._get_allocations_by_server_uuid(server_id).values()])
        self.assertIn('is as it was', self.undo())

    def give_at_least(self, processors, provider):
        """Have a host allocate no fewer of them to a server."""
        path = '/resource_providers/%s/inventories' % provider
        inventory = self.placement.get(path).body
        inventory['inventories']['VCPU']['min_unit'] = processors
        answer = self.placement.put(path, inventory)
        self.assertEqual(200, answer.status, answer.body)

    def test_nothing_but_revisions(self):
        server_id = self.boot(host='host1')['id']
        self.lose_instance(server_id, 'cell1')
        for table in ('instance_mappings', 'request_specs'):
            self.execute('DELETE FROM %s WHERE instance_uuid = :uuid' % table,
                         uuid=server_id)
        self.assert_healed(server_id, 'orphaned-copy')
        self.assertEqual({}, self.everything(server_id))

    def test_no_mapping(self):
        server_id = self.boot(host='host1')['id']
        self.execute('DELETE FROM instance_mappings WHERE '
                     'instance_uuid = :uuid', uuid=server_id)
        self.assertRaises(client.OpenStackApiNotFoundException,
                          self.api.get_server, server_id)
        self.assert_healed(server_id, 'unmapped-instance')
        self.assertEqual('ACTIVE',
                         self.api.get_server(server_id)['status'])

    def test_mapping_of_the_wrong_cell(self):
        server_id = self.boot(host='host1')['id']
        self.execute(
            'UPDATE instance_mappings SET cell_id = :id '
            'WHERE instance_uuid = :uuid',
            id=self.cell_mappings['cell2'].id, uuid=server_id)
        self.assert_healed(server_id, 'unmapped-instance')
        self.assertEqual('ACTIVE',
                         self.api.get_server(server_id)['status'])
        self.assertEqual([(1, 'create')], self.revisions(server_id, 'cell1'))

    def test_cell_could_not_be_written_when_it_landed(self):
        with fixtures.MonkeyPatch('nova_cells_persist.objects.landing._put',
                                  lambda *args: False):
            server_id = self.boot(host='host1')['id']
        self.assert_healed(server_id, 'misplaced-copy')
        self.assertEqual([(1, 'create')], self.revisions(server_id, 'cell1'))
        self.assertEqual([], self.revisions(server_id))

    @ddt.data(True, False)
    def test_lost_while_the_cell_has_no_revision_of_it(self, is_read):
        """What was asked for is in the revisions that have not landed."""
        with fixtures.MonkeyPatch('nova_cells_persist.objects.landing._put',
                                  lambda *args: False):
            server_id = self.accept(az='nova:host1',
                                    hints={'some': 'hint'})['id']
            self._wait_for_state_change({'id': server_id}, 'ACTIVE')
        self.execute('DELETE FROM request_specs WHERE '
                     'instance_uuid = :uuid', uuid=server_id)
        if is_read:
            self.spec(server_id)
        else:
            self.assertEqual([('missing-spec', 'mended')],
                             self.heal('missing-spec'))
        self.assertEqual(['hint'],
                         self.spec(server_id).scheduler_hints['some'])
        self.assertEqual([(1, 'create')], self.revisions(server_id, 'cell1'))
        self.assertEqual([], self.audit())

    def test_purge(self):
        stuck = self.lose()
        deleted = self.lose()
        self.api.delete_server(deleted)
        status, rows = self.listed('purge', '--yes')
        self.assertEqual((0, []), (status, rows))
        status, rows = self.listed('purge', *audited.NOW)
        self.assertEqual((1, ['deleted-build']),
                         (status, [row['Code'] for row in rows]))
        self.assertEqual(
            ['mended'], [row['Result'] for row in self.listed(
                'purge', *audited.NOW, '--yes', '--undo-file',
                self.undo_file)[1]])
        self.assertEqual({}, self.everything(deleted))
        self.assertEqual([('stuck-build', stuck)], self.audit())
