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

"""Servers in two cells, and cells that audit cannot tell apart or reach."""

import contextlib
import io
import os

import fixtures

from nova.cmd import manage
from nova.conductor import rpcapi
from nova import context as nova_context


from tests.functional import audited
from tests.functional import base


class TwoCellsTest(audited.AuditTestCase):

    def test_cast_delivered_twice(self):
        """What it has left in the first cell goes."""
        server_id = self.delivered_twice()
        spare = self.of_server(server_id, 'cell1')
        self.assert_healed(server_id, 'two-cells')
        self.assertEqual({}, self.of_server(server_id, 'cell1'))
        # What Nova archives in one cell, it takes out of the API database.
        with contextlib.redirect_stdout(io.StringIO()):
            manage.DbCommands().archive_deleted_rows(
                all_cells=True, until_complete=True, purge=True)
        self.assertEqual('ACTIVE',
                         self.api.get_server(server_id)['status'])
        self.undo()
        self.assertEqual(spare, self.of_server(server_id, 'cell1'))
        self.assertEqual([('two-cells', server_id)], self.audit())

    def test_undo_of_a_server_that_was_forced_back(self):
        server_id = self.delivered_twice()
        spare = self.of_server(server_id, 'cell1')
        self.heal()
        self.saved(server_id, num_instances=7)
        self.force()
        self.assertEqual(spare, self.of_server(server_id, 'cell1'))
        status, _, stderr = self.command('undo', self.forced)
        self.assertEqual(0, status, stderr)
        self.assertEqual({}, self.of_server(server_id, 'cell1'))
        self.assertEqual(7, self.spec(server_id).num_instances)
        self.assertEqual([], self.audit())

    def delivered_twice(self):
        """Return the id of a server that is in two cells.

        The first conductor dies, the second builds it elsewhere.
        """
        with self.held_builds() as let_go:
            server_id = self.accept()['id']
            self.api.put_service(self.service_id('host3'),
                                 {'status': 'disabled'})
            cast = self.cast_of(let_go)
            self.kill_in('_map_instance_to_cell', cast)
            self.api.put_service(self.service_id('host3'),
                                 {'status': 'enabled'})
            self.api.put_service(self.service_id('host1'),
                                 {'status': 'disabled'})
            cast()
            server = self._wait_for_state_change({'id': server_id}, 'ACTIVE')
        self.assertEqual('host3', server['OS-EXT-SRV-ATTR:host'])
        return server_id

    def test_running_in_two_cells(self):
        server_id = self.boot(host='host1')['id']
        self.put_in_two_cells(server_id)
        (code, result), = self.heal(status=1)
        self.assertEqual('two-cells', code)
        self.assertIn('is not mended by itself: in cell cell1 (host host1) '
                      'and cell cell2 (host host1), mapped to cell cell1',
                      result)
        self.assertIn('To do by hand: see where it runs', result)
        _, (row,) = self.listed('heal', *audited.NOW)
        self.assertEqual('by hand', row['Result'])
        self.assertTrue(row['Repair'].startswith('by hand: see where'), row)
        self.assertEqual([('two-cells', server_id)], self.audit())

    def cast_of(self, let_go):
        """Return a function that delivers the cast that is held."""
        kept = []
        with fixtures.MonkeyPatch(
                'nova.conductor.rpcapi.ComputeTaskAPI.'
                'schedule_and_build_instances',
                lambda *args, **kwargs: kept.append((args, kwargs))):
            let_go()
        (args, kwargs), = kept
        return lambda: rpcapi.ComputeTaskAPI.schedule_and_build_instances(
            *args, **kwargs)


class DatabasesTest(audited.NeighboursTestCase):

    def test_in_the_conductor_of_a_cell(self):
        with self.cell_level('cell1'):
            for argv in (['audit'], ['heal'], ['purge'], ['backfill'],
                         ['build', 'list'], ['undo', __file__]):
                status, stdout, stderr = self.command(*argv)
                self.assertEqual((2, ''), (status, stdout))
                if argv[0] != 'undo':
                    self.assertIn('looks at all databases', stderr)

    def test_dead_cell(self):
        server_id = self.lose()
        self.api.delete_server(server_id)
        before = self.everything(server_id)
        with self.dead_cell('cell2'):
            self.assert_refused('database of cell cell2 cannot be used: '
                                'nothing answers')
        self.assertEqual(before, self.everything(server_id))

    def test_cell_dies_on_the_way(self):
        """Nothing of what is read after that is taken for gone."""
        server_id = self.boot(host='host3')['id']
        set_target_cell = nova_context.set_target_cell
        targeted = []

        def dies(context, cell):
            set_target_cell(context, cell)
            if cell and cell.uuid == self.cell_mappings['cell2'].uuid:
                targeted.append(cell)
                if len(targeted) > 1:
                    context.db_connection = base.DeadDatabase()

        with fixtures.MonkeyPatch('nova.context.set_target_cell', dies):
            status, stdout, stderr = self.command(
                'heal', *audited.NOW, '--yes')
        self.assertEqual((2, ''), (status, stdout))
        self.assertIn('database of cell cell2', stderr)
        self.assertEqual('ACTIVE', self.api.get_server(server_id)['status'])

    def test_wrong_database_behind_a_cell(self):
        """It has no server, so all of the cell would seem to be orphans."""
        for server_id in self.neighbours:
            self.lose_instance(server_id, 'cell2')
        status, stdout, stderr = self.command('heal', *audited.NOW, '--yes')
        self.assertEqual((2, ''), (status, stdout))
        self.assertIn('database of cell cell2 has no server at all', stderr)
        there, = [code for code, _ in self.audit('--empty-cell', 'cell2')]
        self.assertEqual('orphaned-mapping', there)
        self.assertEqual(0, self.command('backfill')[0])
        status, _, stderr = self.command('audit', '--empty-cell', 'cell7')
        self.assertEqual(2, status)
        self.assertIn("No cell is named 'cell7'", stderr)

    def test_one_database_behind_two_cells(self):
        self.execute('UPDATE cell_mappings SET database_connection = '
                     "'mysql://a:s3cret@h/nova' WHERE name = 'cell1'")
        self.execute('UPDATE cell_mappings SET database_connection = '
                     "'mysql://b@h/nova' WHERE name = 'cell2'")
        status, _, stderr = self.command('audit')
        self.assertEqual(2, status)
        self.assertIn('connect to the same database', stderr)
        self.assertNotIn('s3cret', stderr)

    def test_databases_of_two_cells_are_exchanged(self):
        """Each has servers, and none is where it is mapped to."""
        server_ids = [self.boot(host='host1')['id'], *self.neighbours]
        before = list(map(self.everything, server_ids))
        with self.connected(cell1='cell2', cell2='cell1'):
            self.assert_refused('database of cell cell1 has hosts (host3), '
                                'and none of those that are mapped to it '
                                '(host1)')
        self.assertEqual(before, list(map(self.everything, server_ids)))

    def test_cell_without_a_mapped_host(self):
        """Its hosts are yet to be discovered."""
        self.boot(host='host1')
        self.execute('DELETE FROM host_mappings')
        self.assertEqual([], self.audit())

    def test_one_name_for_two_cells(self):
        self.execute("UPDATE cell_mappings SET database_connection = "
                     "'mysql://h/nova', name = 'twin' "
                     "WHERE name IN ('cell1', 'cell2')")
        status, _, stderr = self.command('audit')
        self.assertEqual(2, status)
        self.assertIn('connect to the same database', stderr)
        for cell in ('cell1', 'cell2'):
            self.assertIn('cell twin (%s)' % self.cell_mappings[cell].uuid,
                          stderr)

    def assert_refused(self, expected, *codes):
        """Make sure that no command does anything, each saying why.

        :param codes: that are to be healed, all if none
        """
        for argv in (['audit'], ['heal', *codes, '--yes'],
                     ['purge', '--yes'], ['backfill']):
            status, stdout, stderr = self.command(
                *argv, *(audited.NOW if argv[0] != 'backfill' else ()))
            self.assertEqual((2, ''), (status, stdout))
            self.assertIn(expected, stderr)

    def connected(self, **cells):
        """Return a context manager in which cells have others' databases.

        Under URLs that are not theirs: of two that have one these differ, as
        with and without a port, or by its name and by its address.

        :param cells: {name of a cell: name of that whose database it has}
        """
        facades = {self.cell_mappings[one].uuid: self.engine_facade(other)
                   for one, other in cells.items()}
        set_target_cell = nova_context.set_target_cell

        def targeted(cctxt, mapping):
            set_target_cell(cctxt, mapping)
            if mapping and mapping.uuid in facades:
                cctxt.db_connection = facades[mapping.uuid]

        return fixtures.MonkeyPatch('nova.context.set_target_cell', targeted)

    def test_one_database_under_two_urls(self):
        server_id = self.built_on_no_host()
        before = self.everything(server_id)
        with self.connected(cell2='cell1'):
            self.assert_refused('connect to the same database', 'two-cells')
        self.assertEqual(before, self.everything(server_id))

    def test_one_database_in_which_nobody_has_registered(self):
        server_id = self.built_on_no_host()
        for cell in ('cell1', 'cell2'):
            for table in ('services', 'compute_nodes'):
                self.execute('UPDATE %s SET deleted = id' % table, cell)
        before = self.everything(server_id)
        with self.connected(cell2='cell1'):
            self.assertIn(('two-cells', server_id), self.audit())
            status, stdout, stderr = self.command(
                'heal', 'two-cells', '--server', server_id, *audited.NOW,
                '--yes', '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('connect to the same database', stderr)
        self.assertEqual(before, self.everything(server_id))
        self.assertFalse(os.path.exists(self.undo_file))
