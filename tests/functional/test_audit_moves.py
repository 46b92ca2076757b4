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

"""What audit finds of moves to another cell that were cut short."""

import contextlib
import datetime
import io
import threading

import fixtures
from oslo_utils import timeutils

from nova.cmd import manage
from nova.compute import manager as compute_manager
from nova.tests.functional.api import client

from tests.crash import points
from tests.functional import audited


class MovesTest(audited.AuditTestCase):

    def test_move_to_another_cell_cut_short(self):
        """The conductor dies when it has copied the server."""
        server_id = self.boot(host='host1')['id']
        allocated = self.allocated(server_id)
        self.cut_short(server_id)
        self.claim_device(server_id, 'cell2')
        copy = self.of_server(server_id, 'cell2')
        self.assert_healed(server_id, 'interrupted-move')
        self.assertEqual({}, self.of_server(server_id, 'cell2'))
        self.assertEqual(allocated, self.allocated(server_id))
        self.assertEqual({}, self.allocated(
            self.rows('migrations', server_id, 'cell1')[0]['uuid']))
        # As its host does once the server is gone.
        self.assertEqual(1, self.execute(
            'UPDATE pci_devices SET instance_uuid = NULL', 'cell2'))
        self.undo()
        self.assertEqual(copy, self.of_server(server_id, 'cell2'))
        self.heal()
        self.resize(server_id)
        self._wait_for_state_change({'id': server_id}, 'VERIFY_RESIZE')
        self.assertEqual([], self.audit())

    def allocated(self, consumer):
        """Return what placement has of a server or a migration, by host."""
        return {provider: found['resources'] for provider, found in
                self._get_allocations_by_server_uuid(consumer).items()}

    def cut_short(self, server_id):
        """Have its conductor die when it has copied a server."""
        self.allow_cross_cell_resize()
        with self.dies_in('PrepResizeAtDestTask'):
            self.resize(server_id)
        self.assertEqual([], self.audit())   # it is moving
        self.api.post_server_action(
            server_id, {'os-resetState': {'state': 'active'}})

    @contextlib.contextmanager
    def dies_in(self, task):
        """Have the conductor die where it is about to execute a task."""
        died = threading.Event()

        def die(task):
            died.set()
            raise points.Killed()

        with fixtures.MonkeyPatch('nova.conductor.tasks.cross_cell_migrate.'
                                  '%s._execute' % task, die):
            yield
            self.assertTrue(died.wait(60))

    def test_placement_keeps_what_a_move_has_allocated(self):
        server_id = self.boot(host='host1')['id']
        self.cut_short(server_id)
        with fixtures.MonkeyPatch(
                'nova.scheduler.client.report.SchedulerReportClient.'
                'move_allocations', lambda *args: False):
            (code, result), = self.heal(status=1)
        self.assertEqual('interrupted-move', code)
        self.assertIn('nova-manage placement heal_allocations', result)
        self.assertEqual([], self.audit())

    def test_confirmation_of_a_move_to_another_cell_cut_short(self):
        self.allow_cross_cell_resize()
        server_id = self.boot(host='host1')['id']
        self.resize(server_id)
        self._wait_for_state_change({'id': server_id}, 'VERIFY_RESIZE')
        self.assertEqual([], self.audit())
        with self.dies_in('ConfirmResizeTask'):
            self.confirm(server_id)
        (code, result), = self.heal(status=1)
        self.assertEqual('interrupted-move', code)
        self.assertIn('in cell cell2 back to finished', result)
        self.execute("UPDATE migrations SET status = 'finished'", 'cell2')
        self.assertEqual([], self.audit())
        self.confirm(server_id)
        self._wait_for_state_change({'id': server_id}, 'ACTIVE')
        self.assertEqual([], self.audit())

    def test_reset_when_its_confirmation_was_cut_short(self):
        """It has moved, and what it had before is free."""
        self.allow_cross_cell_resize()
        server_id = self.boot(host='host1')['id']
        self.resize(server_id)
        self._wait_for_state_change({'id': server_id}, 'VERIFY_RESIZE')
        with self.dies_in('ConfirmResizeTask'):
            self.confirm(server_id)
        allocated = self.allocated(server_id)
        move, = self.rows('migrations', server_id, 'cell2')
        self.assertNotEqual({}, self.allocated(move['uuid']))
        self.api.post_server_action(
            server_id, {'os-resetState': {'state': 'active'}})
        self.assert_healed(server_id, 'interrupted-move')
        self.assertEqual({}, self.allocated(move['uuid']))
        self.assertEqual(allocated, self.allocated(server_id))

    def claim_device(self, server_id, cell):
        self.assertEqual(1, self.execute(
            'INSERT INTO pci_devices (deleted, compute_node_id, address, '
            'vendor_id, product_id, dev_type, dev_id, label, status, '
            'instance_uuid) SELECT 0, id, :a, :a, :a, :a, :a, :a, :a, :uuid '
            'FROM compute_nodes', cell, a='a', uuid=server_id))

    def verified(self):
        """Return the id of a server that has moved to cell2."""
        self.allow_cross_cell_resize()
        server_id = self.boot(host='host1')['id']
        for host in self.HOSTS:
            self.boot(host=host)
        self.resize(server_id)
        self._wait_for_state_change({'id': server_id}, 'VERIFY_RESIZE')
        return server_id

    def deleted_without_its_source(self):
        """Return the id of one that is deleted, but for the hidden one."""
        server_id = self.verified()

        def fail(*args, **kwargs):
            raise Exception('the host is down')

        with fixtures.MonkeyPatch(
                'nova.compute.rpcapi.ComputeAPI.'
                'confirm_snapshot_based_resize_at_source', fail):
            self.assertRaises(client.OpenStackApiException,
                              self.api.delete_server, server_id)
        self.api.delete_server(server_id)
        self._wait_for_assert(lambda: self.assertRaises(
            client.OpenStackApiNotFoundException, self.api.get_server,
            server_id))
        return server_id

    def test_hidden_one_of_a_deleted_server(self):
        server_id = self.deleted_without_its_source()
        move, = self.rows('migrations', server_id, 'cell2')
        self.assertNotEqual({}, self.allocated(move['uuid']))
        self.assert_healed(server_id, 'interrupted-move')
        self.assertEqual([], self.rows('instances', server_id, 'cell1'))
        self.assertEqual({}, self.allocated(move['uuid']))

    def test_hidden_one_of_an_archived_server(self):
        """Nothing tells whether its owner has deleted it."""
        server_id = self.deleted_without_its_source()
        with contextlib.redirect_stdout(io.StringIO()):
            manage.DbCommands().archive_deleted_rows(
                all_cells=True, until_complete=True, purge=True)
        self.assertEqual([('unmapped-instance', server_id)], self.audit())
        [(_, result)] = self.heal(status=1)
        self.assertIn('To do by hand: see whether its owner', result)
        self.assertRaises(client.OpenStackApiNotFoundException,
                          self.api.get_server, server_id)
        # As it says, if it was not.
        self.execute('UPDATE instances SET hidden = :no WHERE uuid = :uuid',
                     'cell1', uuid=server_id, no=False)
        self.heal()
        self.assertEqual(server_id, self.api.get_server(server_id)['id'])

    def test_undo_of_what_a_move_holds(self):
        """Who resets a state by mistake can put all of it right again."""
        server_id = self.verified()
        move, = self.rows('migrations', server_id, 'cell2')
        before = self.allocated(server_id), self.allocated(move['uuid'])
        self.assertNotIn({}, before)
        self.api.post_server_action(
            server_id, {'os-resetState': {'state': 'active'}})
        self.assertEqual([('interrupted-move', 'mended')],
                         self.heal('interrupted-move'))
        self.undo()
        self.assertEqual(before, (self.allocated(server_id),
                                  self.allocated(move['uuid'])))
        self.undo()
        self.execute("UPDATE instances SET vm_state = 'resized' "
                     'WHERE uuid = :uuid', 'cell2', uuid=server_id)
        self.assertEqual([], self.audit())
        self.api.post_server_action(server_id, {'revertResize': None})
        self._wait_for_state_change({'id': server_id}, 'ACTIVE')
        self._wait_for_assert(lambda: self.assertEqual(
            (before[1], {}), (self.allocated(server_id),
                              self.allocated(move['uuid']))))

    def test_being_confirmed(self):
        """By a source host that takes its time, or has died over it."""
        server_id = self.verified()
        old = timeutils.utcnow() - datetime.timedelta(days=2)
        for cell, tables in (
                (None, ('instance_mappings', 'request_specs')),
                ('cell1', ('instances', 'request_spec')),
                ('cell2', ('instances', 'request_spec', 'migrations'))):
            for table in tables:
                self.execute('UPDATE %s SET created_at = :old, '
                             'updated_at = :old WHERE %s = :uuid' % (
                                 table, 'uuid' if table == 'instances' else
                                 'instance_uuid'), cell, old=old,
                             uuid=server_id)
        self.assertEqual((0, []), self.listed('audit'))
        there, go_on = threading.Event(), threading.Event()
        confirm = (compute_manager.ComputeManager.
                   confirm_snapshot_based_resize_at_source)

        def slow(*args, **kwargs):
            there.set()
            self.assertTrue(go_on.wait(60))
            return confirm(*args, **kwargs)

        with fixtures.MonkeyPatch(
                'nova.compute.manager.ComputeManager.'
                'confirm_snapshot_based_resize_at_source', slow):
            self.confirm(server_id)
            self.assertTrue(there.wait(60))
            try:
                self.assertEqual((0, []), self.listed('audit'))
                self.assertEqual([('interrupted-move', server_id)],
                                 self.audit())
            finally:
                go_on.set()
            self._wait_for_state_change({'id': server_id}, 'ACTIVE')

    def test_confirmation_that_has_deleted_the_other_one(self):
        server_id = self.verified()
        died = threading.Event()

        def die(task):
            died.set()
            raise points.Killed()

        with fixtures.MonkeyPatch(
                'nova.conductor.tasks.cross_cell_migrate.ConfirmResizeTask.'
                '_finish_confirm_in_target_cell', die):
            self.confirm(server_id)
            self.assertTrue(died.wait(60))
        self.assertEqual([('interrupted-move', server_id)], self.audit())
        # As it says.
        self.execute("UPDATE migrations SET status = 'confirmed' "
                     'WHERE instance_uuid = :uuid', 'cell2', uuid=server_id)
        self.api.post_server_action(
            server_id, {'os-resetState': {'state': 'active'}})
        self.assertEqual([], self.audit())
        self.api.delete_server(server_id)
        self._wait_until_deleted({'id': server_id})
