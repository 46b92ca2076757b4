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

"""nova-cells-persist audit and heal, on what a running Nova leaves behind.

Each finding is made by Nova itself, by letting it lose what can be lost; then
audit names it, heal mends it, and a second audit finds nothing.
"""

import contextlib
import datetime
import errno
import io
import os
import threading
from unittest import mock

import ddt
import fixtures
from keystoneauth1 import exceptions as ks_exc
from oslo_db import exception as db_exc
from oslo_serialization import jsonutils
from oslo_utils import timeutils
import sqlalchemy as sa
import testtools

from nova.cmd import manage
from nova.compute import manager as compute_manager
from nova.conductor import manager
from nova.conductor import rpcapi
from nova import context as nova_context
from nova import objects
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional.api import client

from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.db import rows as db_rows
from nova_cells_persist import exception
from nova_cells_persist.reconcile import journal
from nova_cells_persist.reconcile import repair
from nova_cells_persist import releases

from tests import counting
from tests.crash import points
from tests.functional import base
from tests.functional import command

#: No grace: what is audited here has been written just now.
NOW = ('--older-than', '0s')


class Killed(Exception):
    """A process ends here."""


class AuditTestCase(command.CommandMixin, base.CloudTestCase):

    def setUp(self):
        super().setUp()
        self.undo_file = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'undo')
        # Nor for what has just landed.
        self.useFixture(fixtures.MonkeyPatch(
            'nova_cells_persist.cmd.audit.LANDING', datetime.timedelta()))

    def audit(self, *argv):
        """Return [(code, uuid)] of what audit finds."""
        status, rows = self.listed('audit', *NOW, *argv)
        self.assertEqual(int(bool(rows)), status)
        return [(row['Code'], row['Server']) for row in rows]

    def heal(self, *argv, status=0):
        """Heal and return [(code, result)]."""
        done, rows = self.listed('heal', *NOW, '--yes', '--undo-file',
                                 self.undo_file, *argv)
        self.assertEqual(status, done, rows)
        return [(row['Code'], row['Result']) for row in rows]

    def assert_healed(self, server_id, *codes):
        """Make sure that a server has these findings, and none once healed."""
        before = self.everything(server_id)
        self.assertEqual([(code, server_id) for code in codes], self.audit())
        status, rows = self.listed('heal', *NOW)
        self.assertEqual((1, ['proposed'] * len(codes)),
                         (status, [row['Result'] for row in rows]))
        self.assertEqual(before, self.everything(server_id))
        for code, result in self.heal():
            self.assertEqual('mended', result, code)
        self.assertEqual([], self.audit())

    def undo(self, *argv):
        status, stdout, stderr = self.command('undo', self.undo_file, *argv)
        self.assertEqual(0, status, stderr)
        return stdout

    def force(self):
        """Undo what has changed since.

        :returns: standard output, standard error
        """
        self.forced = self.undo_file + '-forced'
        status, stdout, stderr = self.command(
            'undo', self.undo_file, '--force', '--undo-file', self.forced)
        self.assertEqual(0, status, stderr)
        return stdout, stderr

    def lose(self, *argv, **kwargs):
        """Let the cast of a build be lost, and return the server's id."""
        with self.held_builds():
            return self.accept(*argv, **kwargs)['id']

    def built_by_a_conductor_killed_in(self, method, host='host1'):
        """Return the id of a server in whose build a conductor is killed."""
        with self.held_builds() as let_go:
            server_id = self.accept(az='nova:' + host)['id']
            self.kill_in(method, let_go)
        return server_id

    def built_on_no_host(self):
        """Return the id of a server in cell1 that its host did not get."""
        sent = threading.Event()
        with fixtures.MonkeyPatch(
                'nova.compute.rpcapi.ComputeAPI.build_and_run_instance',
                lambda *args, **kwargs: sent.set()):
            server_id = self.accept(az='nova:host1')['id']
            self.assertTrue(sent.wait(60))
        return server_id

    def kill_in(self, method, do):
        """Kill the conductor in a method, while it does what it is sent."""
        died = threading.Event()

        def die(*args, **kwargs):
            died.set()
            raise Killed()

        with fixtures.MonkeyPatch('nova.conductor.manager.ComputeTaskManager.'
                                  + method, die):
            do()
            self.assertTrue(died.wait(60))

    def saved(self, server_id, context=None, **fields):
        """Save fields of a request spec."""
        spec = self.spec(server_id, context)
        for name, value in fields.items():
            setattr(spec, name, value)
        spec.save()

    def service_id(self, host):
        return self.api.get_services(host=host,
                                     binary='nova-compute')[0]['id']

    def flavor(self, number):
        return objects.Flavor.get_by_flavor_id(
            self.context, self.flavors[number]['id'])


@ddt.ddt
class StuckBuildTest(AuditTestCase):

    def test_healthy(self):
        server = self.boot(host='host1')
        self.boot(host='host3')
        with self.held_builds() as let_go:
            in_flight = self.accept()['id']
            self.assertEqual((0, []), self.listed('audit'))
            let_go()
            self._wait_for_state_change({'id': in_flight}, 'ACTIVE')
        self.assertEqual([], self.audit())
        self.assertEqual([], self.heal())
        self.assertFalse(os.path.exists(self.undo_file))
        self.assertEqual([], self.audit('--server', server['id']))

    def test_lost_cast(self):
        server_id = self.lose(body={'metadata': {'role': 'web'}})
        self.assert_healed(server_id, 'stuck-build')
        found = self.api.get_server(server_id)
        self.assertEqual('ERROR', found['status'])
        self.assertIn('was lost', found['fault']['message'])
        self.assertEqual({'role': 'web'}, found['metadata'])
        self.assertEqual([(1, 'create')], self.revisions(server_id, 'cell0'))
        actions = self.api.get_instance_actions(server_id)
        self.assertEqual(['create'], [each['action'] for each in actions])
        self.api.delete_server(server_id)
        self._wait_until_deleted(found)
        self.assertEqual([], self.audit())

    def test_lost_cast_and_deleted(self):
        server_id = self.lose()
        self.api.delete_server(server_id)
        self.assertEqual(
            {('api', 'request_specs'): 1, ('api', 'instance_mappings'): 1,
             ('api', 'request_spec'): 1}, self.everything(server_id))
        self.assert_healed(server_id, 'deleted-build')
        self.assertEqual({}, self.everything(server_id))
        self.assertRaises(client.OpenStackApiNotFoundException,
                          self.api.get_server, server_id)

    @ddt.data(
        (False, 'DELETE FROM request_specs'),
        (True, 'DELETE FROM request_specs'),
        (False, "UPDATE request_specs SET spec = '{'"))
    @ddt.unpack
    def test_request_spec_of_a_build_is_lost(self, mirror, statement):
        """The build itself is whole, and so is the revision."""
        self.flags(mirror_build_requests=mirror, group='cells_persist')
        server_id = self.lose()
        before = self.everything(server_id)
        spec = self.rows('request_specs', server_id)[0]['spec']
        self.execute(statement)
        self.assertEqual([('unreadable-build', server_id)], self.audit())
        self.assertEqual([('unreadable-build', 'mended')],
                         self.heal('unreadable-build'))
        self.assertEqual(before, self.everything(server_id))
        self.assertEqual(spec,
                         self.rows('request_specs', server_id)[0]['spec'])
        self.assertEqual('BUILD', self.api.get_server(server_id)['status'])
        self.assert_healed(server_id, 'stuck-build')

    def test_request_spec_of_a_damaged_build_is_lost(self):
        self.flags(mirror_build_requests=False, group='cells_persist')
        server_id = self.lose()
        self.execute('DELETE FROM request_specs')
        self.execute("UPDATE build_request SET request_obj = '{'")
        self.assertEqual([('unreadable-build', 'mended')] * 2, self.heal())
        self.assertEqual({}, self.everything(server_id))

    def test_request_spec_of_a_build_is_lost_with_all_its_revisions(self):
        self.flags(mirror_build_requests=False, group='cells_persist')
        server_id = self.lose()
        self.execute('DELETE FROM request_specs')
        self.execute("UPDATE request_spec SET spec = '{'")
        self.assert_healed(server_id, 'unreadable-build')
        self.assertEqual({}, self.everything(server_id))

    def test_undo(self):
        server_id = self.lose(body={'metadata': {'role': 'web'}})
        before = self.everything(server_id)
        rows = self.rows('build_request', server_id)
        self.heal()
        self.assertIn('put back', self.undo())
        self.assertEqual(before, self.everything(server_id))
        self.assertEqual(rows, self.rows('build_request', server_id))
        found = self.api.get_server(server_id)
        self.assertEqual(('BUILD', {'role': 'web'}),
                         (found['status'], found['metadata']))
        self.assertIn('is as it was', self.undo())
        self.assertEqual([('stuck-build', server_id)], self.audit())
        self.assert_healed(server_id, 'stuck-build')

    def test_undo_of_what_has_changed_since(self):
        server_id = self.lose()
        self.heal()
        server = self.api.get_server(server_id)
        self.api.delete_server(server_id)
        self._wait_until_deleted(server)
        status, _, stderr = self.command('undo', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('Server %s has been changed since' % server_id, stderr)

    def test_buried_before_its_cast_arrives(self):
        """A conductor finds no build, and Nova deletes the mapping."""
        with self.held_builds() as let_go:
            server_id = self.accept()['id']
            status, rows = self.listed('audit', *NOW)
            self.assertIn('once no super-conductor has it in its queue',
                          rows[0]['Repair'])
            self.heal()
            let_go()
            self._wait_for_assert(lambda: self.assertRaises(
                client.OpenStackApiNotFoundException,
                self.api.get_server, server_id))
        self.assert_healed(server_id, 'unmapped-instance')
        self.assert_can_be_deleted(server_id)

    def test_killed_before_the_mapping(self):
        server_id = self.built_by_a_conductor_killed_in(
            '_map_instance_to_cell')
        self.assertEqual([], self.revisions(server_id, 'cell1'))
        self.assertEqual([('stuck-build', server_id)], self.audit())
        # What it uncovers is mended in the same run.
        self.assertEqual([('stuck-build', 'mended'),
                          ('stuck-instance', 'mended')], self.heal())
        self.assertEqual([], self.audit())
        self.assertEqual([(1, 'create')], self.revisions(server_id, 'cell1'))
        self.assert_can_be_deleted(server_id)

    def assert_can_be_deleted(self, server_id):
        server = self.api.get_server(server_id)
        self.assertEqual('ERROR', server['status'])
        self.assertIn('was lost', server['fault']['message'])
        self.api.delete_server(server_id)
        self._wait_until_deleted(server)
        self.assertEqual([], self.audit())

    def test_deleted_and_killed_before_the_mapping(self):
        server_id = self.built_by_a_conductor_killed_in(
            '_map_instance_to_cell', 'host3')
        self.api.delete_server(server_id)
        self.assert_deletion_is_finished(server_id)

    def test_deleted_and_killed_before_the_build_is_removed(self):
        """It is deleted just before it is mapped."""
        mapped = manager.ComputeTaskManager._map_instance_to_cell

        def delete_first(context, instance, cell):
            self.api.delete_server(instance.uuid)
            return mapped(context, instance, cell)

        with fixtures.MonkeyPatch(
                'nova.conductor.manager.ComputeTaskManager.'
                '_map_instance_to_cell', delete_first):
            server_id = self.built_by_a_conductor_killed_in(
                '_delete_build_request', 'host3')
        self.assert_deletion_is_finished(server_id)

    def assert_deletion_is_finished(self, server_id, cell='cell2'):
        # Nova looks into cell1 all the same, which is its own database here.
        self.assertEqual(1, len(self.rows('instances', server_id, cell)))
        before = self.everything(server_id)
        there = self.of_server(server_id, cell)
        allocated = self._get_allocations_by_server_uuid(server_id)
        self.assert_healed(server_id, 'deleted-build')
        self.assertEqual({}, self.everything(server_id))
        self.assertEqual({}, self.of_server(server_id, cell))
        self.assertRaises(client.OpenStackApiNotFoundException,
                          self.api.get_server, server_id)
        self.assertEqual({}, self._get_allocations_by_server_uuid(server_id))
        self.undo()
        self.assertEqual(before, self.everything(server_id))
        self.assertEqual(there, self.of_server(server_id, cell))
        self.assertEqual(sorted(allocated), sorted(
            self._get_allocations_by_server_uuid(server_id)))
        self.assertEqual([('deleted-build', server_id)], self.audit())

    def test_build_is_lost_and_killed_before_the_mapping(self):
        """Nobody has deleted it, so its owner decides."""
        server_id = self.built_by_a_conductor_killed_in(
            '_map_instance_to_cell')
        for table in ('build_request', 'build_requests'):
            self.execute('DELETE FROM %s WHERE instance_uuid = :uuid' % table,
                         uuid=server_id)
        self.assertEqual([('unmapped-instance', 'mended'),
                          ('stuck-instance', 'mended')], self.heal())
        self.assert_can_be_deleted(server_id)

    def test_host_takes_it_while_it_is_given_up(self):
        server_id = self.built_on_no_host()
        give_up = db_instance.give_up

        def take_first(session, uuid):
            session.execute(sa.text("UPDATE instances SET host = 'host1' "
                                    'WHERE uuid = :uuid'), {'uuid': uuid})
            return give_up(session, uuid)

        with fixtures.MonkeyPatch(
                'nova_cells_persist.db.instance.give_up', take_first):
            self.assertEqual([], self.heal())
        row, = self.rows('instances', server_id, 'cell1')
        self.assertEqual('building', row['vm_state'])

    def test_killed_before_the_build_is_removed(self):
        server_id = self.built_by_a_conductor_killed_in(
            '_delete_build_request')
        self.assert_healed(server_id, 'landed-build', 'stuck-instance')
        self.assertEqual([], self.rows('build_requests', server_id))
        self.assert_can_be_deleted(server_id)

    def test_healed_while_it_lands(self):
        """A conductor that finds no build takes it for deleted."""
        deletion = 'nova.conductor.manager.ComputeTaskManager.' \
            '_delete_build_request'
        delete = manager.ComputeTaskManager._delete_build_request
        seen = []

        def heal_first(*args):
            for name in ('heal', 'purge'):
                seen.append(self.listed(
                    name, *NOW, '--yes', '--undo-file', self.undo_file))
            return delete(*args)

        with fixtures.MonkeyPatch(
                'nova_cells_persist.cmd.audit.LANDING',
                datetime.timedelta(seconds=60)), fixtures.MonkeyPatch(
                    deletion, heal_first):
            server = self.accept()
            self._wait_for_state_change(server, 'ACTIVE')
        self.assertNotIn('landed-build', [
            row['Code'] for _, rows in seen for row in rows])

    def test_landed_a_minute_ago(self):
        server_id = self.built_by_a_conductor_killed_in(
            '_delete_build_request')
        with fixtures.MonkeyPatch('nova_cells_persist.cmd.audit.LANDING',
                                  datetime.timedelta(seconds=60)):
            self.assertEqual([], self.heal('landed-build'))
            self.assertIn(('landed-build', server_id), self.audit())
            status, rows = self.listed('purge', *NOW)
            self.assertEqual((0, []), (status, rows))
            self.assertEqual(
                [('landed-build', 'mended')],
                self.heal('landed-build', '--server', server_id))
            self.undo()
            self.execute(
                'UPDATE instance_mappings SET updated_at = :then '
                'WHERE instance_uuid = :uuid', uuid=server_id,
                then=timeutils.utcnow() - datetime.timedelta(seconds=61))
            self.assertEqual([('landed-build', 'mended')],
                             self.heal('landed-build'))

    def test_killed_while_it_buries(self):
        with self.held_builds() as let_go:
            server_id = self.accept(az='nova:nowhere')['id']
            self.kill_in('_create_instance_action_for_cell0', let_go)
        self.assert_healed(server_id, 'landed-build', 'stuck-instance')
        self.assert_can_be_deleted(server_id)

    def test_lost_cast_to_the_compute(self):
        server_id = self.built_on_no_host()
        self.assert_healed(server_id, 'stuck-instance')
        self.assert_can_be_deleted(server_id)

    def test_undo_of_a_finished_build(self):
        server_id = self.built_by_a_conductor_killed_in(
            '_map_instance_to_cell')
        before = self.everything(server_id)
        self.heal()
        self.assertEqual(2, self.undo().count('put back'))
        self.assertEqual(before, self.everything(server_id))
        instance = self.rows('instances', server_id, 'cell1')[0]
        self.assertEqual('building', instance['vm_state'])

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

    def of_server(self, server_id, cell):
        """Return all that a cell has of a server, but when it was written."""
        with self.engine(cell).connect() as connection:
            found = db_rows.read_instance(connection, server_id)
        for row in found.get('instances', ()):
            del row['updated_at']
        return found

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

    def confirm(self, server_id):
        self.api.post_server_action(server_id, {'confirmResize': None},
                                    check_response_status=[204])

    def claim_device(self, server_id, cell):
        self.assertEqual(1, self.execute(
            'INSERT INTO pci_devices (deleted, compute_node_id, address, '
            'vendor_id, product_id, dev_type, dev_id, label, status, '
            'instance_uuid) SELECT 0, id, :a, :a, :a, :a, :a, :a, :a, :uuid '
            'FROM compute_nodes', cell, a='a', uuid=server_id))

    def resize(self, server_id):
        self.api.post_server_action(
            server_id, {'resize': {'flavorRef': self.flavors[1]['id']}})

    def test_forced_back_once_it_is_deleted(self):
        """It stays deleted."""
        server = self.boot(host='host1')
        self.saved(server['id'], flavor=self.flavor(1))
        self.heal('spec-differs')
        self._delete_server(server)
        before = self.rows('instances', server['id'], 'cell1')
        self.force()
        self.assertEqual(before,
                         self.rows('instances', server['id'], 'cell1'))

    def test_forced_back_once_it_is_elsewhere(self):
        """It stays there; the repair has not mapped it."""
        self.allow_cross_cell_resize()
        server_id = self.boot(host='host1')['id']
        self.saved(server_id, availability_zone='elsewhere')
        self.heal('spec-differs')
        self.resize(server_id)
        self._wait_for_state_change({'id': server_id}, 'VERIFY_RESIZE')
        self.confirm(server_id)
        self._wait_for_state_change({'id': server_id}, 'ACTIVE')
        self.force()
        self.assertEqual('ACTIVE',
                         self.api.get_server(server_id)['status'])
        self.assertEqual([], self.revisions(server_id, 'cell1'))

    def saved_at(self, step):
        """Have another one save a request spec beside its repair.

        :param step: of an Entry, behind or before which it does
        """
        server_id = self.boot(host='host1')['id']
        self.saved(server_id, flavor=self.flavor(1))
        take = getattr(journal.Entry, step)

        def save_too(entry, *args, **kwargs):
            if step == 'end':
                self.saved(server_id, num_instances=7)
            take(entry, *args, **kwargs)
            if step == 'begin':
                self.saved(server_id, num_instances=7)

        with fixtures.MonkeyPatch('nova_cells_persist.reconcile.journal.'
                                  'Entry.' + step, save_too):
            self.assertEqual([('spec-differs', 'mended')],
                             self.heal('spec-differs'))
        status, _, stderr = self.command('undo', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('has been changed since', stderr)
        self.assertEqual(7, self.spec(server_id).num_instances)

    def test_saved_just_before_it_is_mended(self):
        self.saved_at('begin')

    def test_saved_just_after_it_was_mended(self):
        self.saved_at('end')

    def test_database_dies_behind_a_repair(self):
        server_id = self.boot(host='host1')['id']
        self.saved(server_id, availability_zone='elsewhere')
        look, looks = journal.look, []

        def die(*args):
            looks.append(args)
            if len(looks) > 1:
                raise exception.DatabaseError(
                    database='database of cell cell1', reason='gone')
            return look(*args)

        with fixtures.MonkeyPatch(
                'nova_cells_persist.reconcile.journal.look', die):
            status, _, stderr = self.command(
                'heal', *NOW, '--yes', '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('Server %s (spec-differs) may have been changed' %
                      server_id, stderr)
        self.assertIn('undo --force ' + self.undo_file, stderr)
        self.force()
        self.assertEqual('elsewhere', self.spec(server_id).availability_zone)

    def test_deleted_just_before_it_is_mended(self):
        server_id = self.lose()
        checked, calls = repair._checked, []

        def delete_first(*args):
            calls.append(args)
            if len(calls) == 1:
                self.api.delete_server(server_id)
            return checked(*args)

        with fixtures.MonkeyPatch(
                'nova_cells_persist.reconcile.repair._checked', delete_first):
            # It is not buried, and what is left of it is removed.
            self.assertEqual([('deleted-build', 'mended')], self.heal())
        self.assertEqual({}, self.everything(server_id))

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

    def test_killed_before_the_tags(self):
        with self.held_builds() as let_go:
            server_id = self.accept({'tags': ['gold', 'web']},
                                    az='nova:host1')['id']
            self.kill_in('_create_tags', let_go)
        self.assert_healed(server_id, 'stuck-build')
        self.assertEqual(['gold', 'web'],
                         sorted(self.api.get_server(server_id)['tags']))

    def test_undo_of_a_burial_once_it_is_deleted(self):
        server_id = self.lose()
        self.heal()
        self.api.delete_server(server_id)
        self._wait_until_deleted({'id': server_id})
        status, stdout, stderr = self.command(
            'undo', self.undo_file, '--force', '--undo-file',
            self.undo_file + '-forced')
        self.assertEqual(2, status, stdout)
        self.assertIn('it has been deleted since', stdout + stderr)
        self.assertRaises(client.OpenStackApiNotFoundException,
                          self.api.get_server, server_id)
        self.assertEqual([], self.audit())

    def test_running_in_two_cells(self):
        server_id = self.boot(host='host1')['id']
        self.put_in_two_cells(server_id)
        (code, result), = self.heal(status=1)
        self.assertEqual('two-cells', code)
        self.assertIn('is not mended by itself: in cell cell1 (host host1) '
                      'and cell cell2 (host host1), mapped to cell cell1',
                      result)
        self.assertIn('To do by hand: see where it runs', result)
        _, (row,) = self.listed('heal', *NOW)
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


class OrphanTest(AuditTestCase):

    def setUp(self):
        super().setUp()
        # Others, which stay as they are.
        self.neighbours = {
            server['id']: self.everything(server['id'])
            for server in (self.boot(host='host1'), self.boot(host='host3'))}

    def assert_healed(self, server_id, *codes):
        super().assert_healed(server_id, *codes)
        for neighbour, before in self.neighbours.items():
            self.assertEqual(before, self.everything(neighbour))

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

    def test_undo_of_a_repair_that_was_cut_short(self):
        server_id = self.lose()
        self.api.delete_server(server_id)
        before = self.everything(server_id)
        self.heal()
        with open(self.undo_file) as file:
            line = file.readline()
        with open(self.undo_file, 'w') as file:
            file.write(line + line[:100])
        status, _, stderr = self.command('undo', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('has been changed since', stderr)
        self.assertEqual({}, self.everything(server_id))
        self.force()
        self.assertEqual(before, self.everything(server_id))

    def test_undo_leaves_a_server_that_is_there_again(self):
        """Its cell was empty for a while: a restore of the wrong backup."""
        server_id = self.boot(host='host1')['id']
        before = self.everything(server_id)
        with self.engine('cell1').connect() as connection:
            copies = db_rows.read(connection, database.CELL, server_id)
        there = self.taken_out_of_its_cell(server_id)
        self.execute('DELETE FROM request_spec WHERE instance_uuid = :uuid',
                     'cell1', uuid=server_id)
        self.assertEqual([('orphaned-mapping', 'mended')], self.heal())
        with self.engine('cell1').begin() as connection:
            db_rows.put_instance_back(connection, server_id, there)
            db_rows.write(connection, database.CELL, server_id, copies)
            there = db_rows.read_instance(connection, server_id)
        again = self.everything(server_id)
        status, _, stderr = self.command('undo', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('has been changed since', stderr)
        self.assertEqual(again, self.everything(server_id))
        _, stderr = self.force()
        self.assertIn('What was overwritten can be put back with: '
                      'nova-cells-persist undo %s' % self.forced, stderr)
        self.assertEqual(before, self.everything(server_id))
        self.assertEqual('ACTIVE', self.api.get_server(server_id)['status'])
        with self.engine('cell1').connect() as connection:
            self.assertEqual(there, db_rows.read_instance(connection,
                                                          server_id))
            self.assertEqual(copies, db_rows.read(
                connection, database.CELL, server_id))
        # And that is undone as a repair is.
        status, stdout, stderr = self.command('undo', self.forced)
        self.assertEqual(0, status, stderr)
        self.assertIn('put back', stdout)
        self.assertEqual(again, self.everything(server_id))

    def taken_out_of_its_cell(self, server_id):
        """Return what db_rows.put_instance_back() brings there again."""
        with self.engine('cell1').begin() as connection:
            there = db_rows.read_instance(connection, server_id)
            db_rows.delete_instance(connection, server_id)
        return there

    def test_saved_just_before_it_is_put_back(self):
        """Who comes first is seen; later ones wait for the lock."""
        server_id = self.boot(host='host1')['id']
        self.saved(server_id, flavor=self.flavor(1))
        self.heal('spec-differs')
        lock, calls = db_rows.lock, []

        def save_first(*args):
            calls.append(args)
            if len(calls) == 1:
                self.saved(server_id, num_instances=7)
            lock(*args)

        with fixtures.MonkeyPatch('nova_cells_persist.db.rows.lock',
                                  save_first):
            status, _, stderr = self.command('undo', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('has been changed since', stderr)
        self.assertEqual(7, self.spec(server_id).num_instances)
        self.assertEqual(self.flavors[0]['id'],
                         self.flavor_persisted(server_id))

    def test_undo_goes_on_after_what_cannot_be_put_back(self):
        ids = [self.lose() for _ in range(3)]
        before = self.everything(ids[0])
        for server_id in ids:
            self.heal('--server', server_id)
        healed = self.everything(ids[1])
        with open(self.undo_file) as file:
            lines = list(map(jsonutils.loads, file))
        # A row that the database refuses, and a cell that is gone since.
        lines[2]['before']['api']['request_specs'][0]['instance_uuid'] = None
        lines[4]['before']['a-cell'] = {}
        with open(self.undo_file, 'w') as file:
            file.writelines(jsonutils.dumps(line) + '\n' for line in lines)
        status, stdout, stderr = self.command('undo', self.undo_file)
        self.assertEqual((2, '%s stuck-build: put back\n' % ids[0]),
                         (status, stdout))
        for server_id, reason in (
                (ids[1], 'Server %s: a statement failed in the API '
                 'database' % ids[1]),
                (ids[2], "No cell is named 'a-cell'")):
            self.assertIn(
                'What was repaired of server %s (stuck-build) could not be '
                'put back, so it was left as it is: %s' % (
                    server_id, reason), stderr)
        self.assertEqual(before, self.everything(ids[0]))
        self.assertEqual(healed, self.everything(ids[1]))

    def test_undo_says_what_was_not_put_back_before_a_database_died(self):
        ids = sorted(self.lose() for _ in range(2))
        for server_id in ids:
            self.heal('--server', server_id)
        self.execute("UPDATE instances SET vm_state = 'stopped' "
                     'WHERE uuid = :uuid', 'cell0', uuid=ids[1])

        def dies(*args):
            raise db_exc.DBConnectionError('nothing answers')

        with fixtures.MonkeyPatch('nova_cells_persist.db.rows.write', dies):
            status, _, stderr = self.command('undo', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('Server %s has been changed since' % ids[1], stderr)
        self.assertIn('API database cannot be used: nothing answers', stderr)

    def test_undo_where_others_have_the_ids(self):
        """SQLite gives them away again, as does an old MySQL restarted."""
        stuck, deleted = self.lose(), self.lose()
        self.api.delete_server(deleted)
        before = {server_id: self.in_api(server_id)
                  for server_id in (stuck, deleted)}
        self.heal()
        others = [self.lose(), self.lose()]
        there = {server_id: self.in_api(server_id) for server_id in others}
        if not base.KIND:
            self.assertEqual(
                [before[stuck]['build_request'][0]['id'],
                 before[deleted]['request_specs'][0]['id']],
                [there[others[0]]['build_request'][0]['id'],
                 there[others[0]]['request_specs'][0]['id']])
        self.assertEqual(2, self.undo().count('put back'))
        for server_id, tables in before.items():
            self.assertEqual(self.but_ids(tables),
                             self.but_ids(self.in_api(server_id)))
        build, = self.rows('build_request', stuck)
        mirror, = self.rows('build_requests', stuck)
        self.assertEqual(mirror['id'], build['mirror_id'])
        self.assertEqual('BUILD', self.api.get_server(stuck)['status'])
        for other in others:
            self.assertEqual(there[other], self.in_api(other))
        self.assertEqual(2, self.undo().count('is as it was'))

    def in_api(self, server_id):
        return {table: self.rows(table, server_id) for table in (
            'build_request', 'build_requests', 'request_specs',
            'request_spec', 'instance_mappings')}

    def but_ids(self, tables):
        return {table: [{name: value for name, value in row.items()
                         if name not in db_rows.IDS} for row in found]
                for table, found in tables.items()}

    def test_put_back_into_a_cell_where_others_have_the_ids(self):
        server_id = self.boot(host='host1')['id']
        there = self.taken_out_of_its_cell(server_id)
        other = self.boot(host='host1')['id']
        if not base.KIND:
            self.assertEqual(
                there['instances'][0]['id'],
                self.rows('instances', other, 'cell1')[0]['id'])
        with self.engine('cell1').begin() as connection:
            db_rows.put_instance_back(connection, server_id, there)
            again = db_rows.read_instance(connection, server_id)
        self.assertEqual(self.but_ids({
            table: [dict(row, action_id=None) for row in found]
            for table, found in there.items()}), self.but_ids({
                table: [dict(row, action_id=None) for row in found]
                for table, found in again.items()}))
        action, = again['instance_actions']
        self.assertEqual({action['id']}, {
            event['action_id'] for event in again['instance_actions_events']})
        self.assertEqual('ACTIVE', self.api.get_server(server_id)['status'])

    def test_undo_of_what_was_forced(self):
        """What it deletes is a server that the repair has made."""
        server_id = self.lose()
        self.heal()
        buried = self.everything(server_id)
        self.execute("UPDATE instances SET vm_state = 'stopped' "
                     'WHERE uuid = :uuid', 'cell0', uuid=server_id)
        self.force()
        self.assertEqual('BUILD', self.api.get_server(server_id)['status'])
        self.assertEqual([], self.rows('instances', server_id, 'cell0'))
        status, stdout, stderr = self.command('undo', self.forced)
        self.assertEqual(0, status, stderr)
        self.assertEqual(buried, self.everything(server_id))
        server, = self.rows('instances', server_id, 'cell0')
        self.assertEqual('stopped', server['vm_state'])
        self.assertEqual(1, len(self.rows('instance_faults', server_id,
                                          'cell0')))

    def test_in_the_conductor_of_a_cell(self):
        with self.cell_level('cell1'):
            for argv in (['audit'], ['heal'], ['purge'], ['backfill'],
                         ['build', 'list'], ['undo', __file__]):
                status, stdout, stderr = self.command(*argv)
                self.assertEqual((2, ''), (status, stdout))
                if argv[0] != 'undo':
                    self.assertIn('looks at all databases', stderr)

    def test_placement_out_of_reach(self):
        server_id = self.lose()
        self.api.delete_server(server_id)
        self.assertEqual([('deleted-build', server_id)], self.audit())
        with self.refusing('get'):
            status, stdout, stderr = self.command(
                'heal', *NOW, '--yes', '--undo-file', self.undo_file,
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

    def test_purge(self):
        stuck = self.lose()
        deleted = self.lose()
        self.api.delete_server(deleted)
        status, rows = self.listed('purge', '--yes')
        self.assertEqual((0, []), (status, rows))
        status, rows = self.listed('purge', *NOW)
        self.assertEqual((1, ['deleted-build']),
                         (status, [row['Code'] for row in rows]))
        self.assertEqual(
            ['mended'], [row['Result'] for row in self.listed(
                'purge', *NOW, '--yes', '--undo-file', self.undo_file)[1]])
        self.assertEqual({}, self.everything(deleted))
        self.assertEqual([('stuck-build', stuck)], self.audit())

    def test_dead_cell(self):
        server_id = self.lose()
        self.api.delete_server(server_id)
        before = self.everything(server_id)
        with self.dead_cell('cell2'):
            for argv in (['audit'], ['heal', '--yes'], ['purge', '--yes'],
                         ['backfill']):
                status, stdout, stderr = self.command(
                    *argv, *(NOW if argv[0] != 'backfill' else ()))
                self.assertEqual((2, ''), (status, stdout))
                self.assertIn('database of cell cell2 cannot be used: '
                              'nothing answers', stderr)
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
            status, stdout, stderr = self.command('heal', *NOW, '--yes')
        self.assertEqual((2, ''), (status, stdout))
        self.assertIn('database of cell cell2', stderr)
        self.assertEqual('ACTIVE', self.api.get_server(server_id)['status'])

    def test_wrong_database_behind_a_cell(self):
        """It has no server, so all of the cell would seem to be orphans."""
        for server_id in self.neighbours:
            self.lose_instance(server_id, 'cell2')
        status, stdout, stderr = self.command('heal', *NOW, '--yes')
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

    def one_database(self, one, other):
        """Return a context manager in which two cells have one.

        Under URLs that differ, as with and without a port, or by its name
        and by its address.
        """
        facade = self.engine_facade(one)
        set_target_cell = nova_context.set_target_cell

        def targeted(cctxt, mapping):
            set_target_cell(cctxt, mapping)
            if mapping and mapping.uuid == self.cell_mappings[other].uuid:
                cctxt.db_connection = facade

        return fixtures.MonkeyPatch('nova.context.set_target_cell', targeted)

    def test_one_database_under_two_urls(self):
        server_id = self.built_on_no_host()
        before = self.everything(server_id)
        with self.one_database('cell1', 'cell2'):
            for argv in (['audit'], ['heal', 'two-cells', '--yes'],
                         ['backfill']):
                status, stdout, stderr = self.command(
                    *argv, *(NOW if argv[0] != 'backfill' else ()))
                self.assertEqual((2, ''), (status, stdout))
                self.assertIn('connect to the same database', stderr)
        self.assertEqual(before, self.everything(server_id))

    def test_one_database_in_which_nobody_has_registered(self):
        server_id = self.built_on_no_host()
        for cell in ('cell1', 'cell2'):
            self.execute('UPDATE services SET deleted = id', cell)
        before = self.everything(server_id)
        with self.one_database('cell1', 'cell2'):
            self.assertIn(('two-cells', server_id), self.audit())
            status, stdout, stderr = self.command(
                'heal', 'two-cells', '--server', server_id, *NOW, '--yes',
                '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('connect to the same database', stderr)
        self.assertEqual(before, self.everything(server_id))
        self.assertFalse(os.path.exists(self.undo_file))

    def test_grace(self):
        server_id = self.lose()
        self.api.delete_server(server_id)
        self.assertEqual((0, []), self.listed('audit'))
        for table in ('request_spec', 'request_specs'):
            self.execute(
                "UPDATE %s SET created_at = '2020-01-01 00:00:00' "
                'WHERE instance_uuid = :uuid' % table, uuid=server_id)
        self.assertEqual((0, []), self.listed('audit'))
        self.execute(
            "UPDATE instance_mappings SET created_at = '2020-01-01 00:00:00',"
            " updated_at = '2020-01-01 00:00:00' "
            'WHERE instance_uuid = :uuid', uuid=server_id)
        self.assertEqual(1, self.listed('audit')[0])

    def test_of_some_codes(self):
        lost, deleted = self.lose(), self.lose()
        self.api.delete_server(deleted)
        self.assertEqual([('deleted-build', deleted)],
                         self.audit('deleted-build'))
        self.assertEqual([('stuck-build', lost)],
                         self.audit('stuck-build', 'two-cells'))
        self.assertEqual([('stuck-build', 'mended')],
                         self.heal('stuck-build'))
        self.assertEqual([('deleted-build', deleted)], self.audit())
        status, _, stderr = self.command('audit', 'stuck')
        self.assertEqual(127, status)
        self.assertIn("'stuck'", stderr)

    def test_of_one_server(self):
        lost, _ = self.lose(), self.lose()
        for text in (lost, lost.upper()):
            self.assertEqual([('stuck-build', lost)],
                             self.audit('--server', text))
        self.assertEqual([('stuck-build', 'mended')],
                         self.heal('--server', lost.upper()))
        self.assertEqual([], self.audit('--server', lost))

    def test_of_no_server(self):
        """As a shell has it whose variable is not set."""
        before = self.everything(self.lose())
        for option in ('--server', '--after'):
            for verb in ('heal', 'purge'):
                status, stdout, stderr = self.command(
                    verb, *NOW, '--yes', '--undo-file', self.undo_file,
                    option, '')
                self.assertEqual((127, ''), (status, stdout))
                self.assertIn("'' is no uuid", stderr)
        self.assertEqual(before, self.everything(self.audit()[0][1]))

    def test_time_that_is_none(self):
        for argv in (('audit', '--sleep', '-1'), ('backfill', '--sleep=-1'),
                     ('audit', '--older-than', '900000d'),
                     ('build', 'list', '--older-than', '900000d')):
            status, stdout, stderr = self.command(*argv)
            self.assertEqual((127, ''), (status, stdout), argv)
            self.assertIn('error: argument --', stderr)

    def test_of_nobody(self):
        nobody = '00000000-1111-2222-3333-444444444444'
        for argv in (('audit',), ('heal', '--yes'), ('build', 'explain')):
            status, stdout, stderr = self.command(
                *argv, *(() if argv[0] == 'build' else ['--server']), nobody)
            self.assertEqual((2, ''), (status, stdout))
            self.assertEqual('No database that this nova.conf knows has '
                             'anything of server %s. Check the uuid.\n' %
                             nobody, stderr)

    def test_shows_so_many_and_counts_all(self):
        for _ in range(3):
            self.api.delete_server(self.lose())
        status, stdout, stderr = self.command('audit', *NOW, '--show', '2',
                                              '-f', 'value')
        self.assertEqual((1, 2), (status, len(stdout.splitlines())))
        self.assertIn('3 deleted-build', stderr)

    def test_interrupted_and_resumed(self):
        ids = sorted(self.lose() for _ in range(3))
        for each in ids:
            self.api.delete_server(each)
        mend = repair.mend

        def interrupt(cloud, uuid, *args):
            if uuid == ids[1]:
                raise KeyboardInterrupt()
            return mend(cloud, uuid, *args)

        with fixtures.MonkeyPatch(
                'nova_cells_persist.reconcile.repair.mend', interrupt):
            status, stdout, stderr = self.command(
                'heal', *NOW, '--yes', '--undo-file', self.undo_file,
                '-f', 'value', '-c', 'Server')
        self.assertEqual((1, ids[:1]), (status, stdout.split()))
        after = stderr.split('--after ')[1].split()[0]
        self.assertEqual(
            ids[1:], [server for _, server in self.audit('--after', after)])
        self.assertEqual([('deleted-build', 'mended')] * 2,
                         self.heal('--after', after))

    def deleted_builds(self, count):
        """Return the ids of servers that are to be mended, in their order."""
        ids = sorted(self.lose() for _ in range(count))
        for each in ids:
            self.api.delete_server(each)
        return ids

    def deadlocks(self, server_id, times):
        """Have the rows of a server locked by somebody else, so often."""
        lock, calls = db_rows.lock, []

        def give_way(session, uuid):
            if uuid == server_id:
                calls.append(uuid)
                if len(calls) <= times:
                    raise db_exc.DBDeadlock('somebody else was first')
            lock(session, uuid)

        return fixtures.MonkeyPatch('nova_cells_persist.db.rows.lock',
                                    give_way)

    def test_deadlock(self):
        ids = self.deleted_builds(2)
        with self.deadlocks(ids[0], 2):
            self.assertEqual([('deleted-build', 'mended')] * 2, self.heal())
        self.assertEqual([], self.audit())
        self.undo()
        self.assertEqual(ids, [server for _, server in self.audit()])

    def test_deadlock_for_ever(self):
        ids = self.deleted_builds(3)
        with self.deadlocks(ids[1], 100):
            before, failed, behind = self.heal(status=2)
        self.assertEqual([('deleted-build', 'mended')] * 2, [before, behind])
        self.assertIn('Server %s: in the API database other transactions got '
                      'in the way each time: somebody else was first' %
                      ids[1], failed[1])
        self.assertEqual([('deleted-build', ids[1])], self.audit())

    def test_locks_as_nova_does(self):
        with counting.Count([self.engine()]) as count, \
                database.api_writer(self.context) as session:
            db_rows.lock(session, 'a-server')
        self.assertEqual(
            ['instance_mappings', 'build_requests', 'build_request',
             'request_specs'],
            [statement.split('FROM ')[1].split()[0]
             for statement in count.statements if 'FROM' in statement])

    def test_database_fails_on_the_way(self):
        """What was mended before is shown, and where to go on."""
        ids = self.deleted_builds(3)
        lock = db_rows.lock

        def fail(session, uuid):
            if uuid == ids[1]:
                raise db_exc.DBConnectionError('it is gone')
            lock(session, uuid)

        with fixtures.MonkeyPatch('nova_cells_persist.db.rows.lock', fail):
            status, stdout, stderr = self.command(
                'heal', *NOW, '--yes', '--undo-file', self.undo_file,
                '-f', 'value', '-c', 'Server', '-c', 'Result')
        self.assertEqual((2, [ids[0], 'mended']), (status, stdout.split()))
        self.assertIn('API database cannot be used: it is gone', stderr)
        self.assertIn('1 deleted-build mended', stderr)
        after = stderr.split('--after ')[1].split()[0]
        self.assertEqual([('deleted-build', 'mended')] * 2,
                         self.heal('--after', after))
        self.assertEqual([], self.audit())

    def test_database_fails_between_two_repairs_of_a_server(self):
        server_id = self.built_by_a_conductor_killed_in(
            '_map_instance_to_cell')

        def fail(session, uuid):
            raise db_exc.DBConnectionError('it is gone')

        with fixtures.MonkeyPatch('nova_cells_persist.db.instance.give_up',
                                  fail):
            status, rows = self.listed('heal', *NOW, '--yes', '--undo-file',
                                       self.undo_file)
        self.assertEqual((2, [('stuck-build', 'mended')]), (status, [
            (row['Code'], row['Result']) for row in rows]))
        self.assertEqual([('stuck-instance', server_id)], self.audit())

    @testtools.skipIf(base.KIND, 'the trigger is of SQLite')
    def test_database_refuses_a_row(self):
        """It is said of that server alone, without what is in the row."""
        secret = 'c2VjcmV0IHNlY3JldA=='
        refused = self.lose(body={'user_data': secret})
        mended, = self.deleted_builds(1)
        self.execute(
            'CREATE TRIGGER refuse BEFORE INSERT ON instances '
            "BEGIN SELECT RAISE(ABORT, 'no more rows'); END", 'cell0')
        status, stdout, stderr = self.command(
            'heal', *NOW, '--yes', '--undo-file', self.undo_file, '-f',
            'json')
        self.assertEqual(2, status)
        self.assertNotIn(secret, stdout + stderr)
        results = {row['Server']: row['Result']
                   for row in jsonutils.loads(stdout)}
        self.assertEqual('mended', results[mended])
        self.assertIn('Server %s: a statement failed in the database of cell '
                      'cell0: ' % refused, results[refused])
        self.assertIn('no more rows', results[refused])
        self.assertEqual([('stuck-build', refused)], self.audit())

    def test_interrupted_at_once(self):
        self.lose()
        with fixtures.MonkeyPatch(
                'nova_cells_persist.reconcile.audit.Cloud.cases',
                self.interrupted):
            status, _, stderr = self.command('audit', *NOW)
        self.assertEqual(
            (1, 'Interrupted. Run it again to begin anew.\n'
             'Nothing found.\n'), (status, stderr))

    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt()

    def test_interrupted(self):
        """What went wrong before that went wrong all the same."""
        ids = sorted(self.deleted() for _ in range(2))

        def fail_then_interrupt(cloud, uuid, *args):
            if uuid == ids[1]:
                raise KeyboardInterrupt()
            finding, = cloud.findings(cloud.case(uuid))
            return [(finding, exception.NotMended(evidence='e'))]

        def interrupt(*args):
            raise KeyboardInterrupt()

        for mend, expected, said in (
                (fail_then_interrupt, 2, 'there: --after %s\n' % ids[0]),
                (interrupt, 1, 'Run it again to begin anew.\n')):
            with fixtures.MonkeyPatch(
                    'nova_cells_persist.reconcile.repair.mend', mend):
                status, _, stderr = self.command('heal', *NOW, '--yes')
            self.assertEqual(expected, status)
            self.assertIn(said, stderr)

    def test_undo_file(self):
        self.api.delete_server(self.lose(body={'user_data': 'c2VjcmV0'}))
        self.heal()
        self.assertEqual(0o600, os.stat(self.undo_file).st_mode & 0o777)
        status, _, stderr = self.command(
            'heal', *NOW, '--yes', '--undo-file', '/nowhere/undo')
        self.assertEqual(0, status, stderr)   # there is nothing to write
        deleted = self.lose()
        self.api.delete_server(deleted)
        before = self.everything(deleted)
        status, _, stderr = self.command(
            'heal', *NOW, '--yes', '--undo-file', '/nowhere/undo')
        self.assertEqual(2, status)
        self.assertIn('The undo file /nowhere/undo cannot be used: No such',
                      stderr)
        self.assertEqual(before, self.everything(deleted))
        self.assertNotIn('can be put back', stderr)
        for path in ('/nowhere/undo', __file__):
            status, _, stderr = self.command('undo', path)
            self.assertEqual(2, status)
            self.assertIn('The undo file %s cannot be used' % path, stderr)

    def deleted(self):
        """Return the id of a server of which something is left."""
        server_id = self.lose()
        self.api.delete_server(server_id)
        return server_id

    def test_undo_file_that_is_appended_to(self):
        first = self.deleted()
        before = self.everything(first)
        self.heal()
        with open(self.undo_file, 'a') as file:
            file.write('{"time": "2026')   # nobody wrote the rest
        os.chmod(self.undo_file, 0o644)
        second = self.deleted()
        self.heal()
        self.assertEqual(0o600, os.stat(self.undo_file).st_mode & 0o777)
        self.assertEqual(2, self.undo().count('put back'))
        for server_id in (first, second):
            self.assertEqual(before, self.everything(server_id))

    def test_undo_file_that_is_something_else(self):
        server_id = self.deleted()
        before = self.everything(server_id)
        with open(self.undo_file, 'w') as file:
            file.write('{"precious": 1}')
        status, _, stderr = self.command(
            'heal', *NOW, '--yes', '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('it is no undo file', stderr)
        with open(self.undo_file) as file:
            self.assertEqual('{"precious": 1}', file.read())
        self.assertEqual(before, self.everything(server_id))

    def test_no_space_for_the_undo_file(self):
        server_id = self.deleted()
        before = self.everything(server_id)
        status, _, stderr = self.command(
            'heal', *NOW, '--yes', '--undo-file', '/dev/full')
        self.assertEqual(2, status)
        self.assertIn(
            'The undo file /dev/full cannot be used: No space left on '
            'device. Without it nothing is changed.', stderr)
        self.assertNotIn('put back', stderr)
        self.assertEqual(before, self.everything(server_id))

    def test_no_space_once_it_is_mended(self):
        server_id = self.deleted()
        before = self.everything(server_id)
        sync, calls = os.fsync, []

        def is_full(number):
            calls.append(number)
            if len(calls) > 1:
                raise OSError(errno.ENOSPC, 'No space left on device')
            sync(number)

        with fixtures.MonkeyPatch('os.fsync', is_full):
            status, _, stderr = self.command(
                'heal', *NOW, '--yes', '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn(
            'Server %s (deleted-build) was changed in the API database, but '
            'how it is now could not be noted in the undo file %s: No space '
            'left on device' % (server_id, self.undo_file), stderr)
        self.assertIn('undo --force %s' % self.undo_file, stderr)
        self.assertNotIn('nothing is changed', stderr)
        self.assertEqual({}, self.everything(server_id))
        self.force()
        self.assertEqual(before, self.everything(server_id))

    def test_nothing_to_put_back(self):
        """What was written down was not done after all."""
        server_id = self.boot(host='host1')['id']
        self.execute('DELETE FROM request_specs WHERE instance_uuid = :uuid',
                     uuid=server_id)
        with fixtures.MonkeyPatch('nova_cells_persist.objects.heal.rebuild',
                                  lambda *args: None):
            status, _, stderr = self.command(
                'heal', *NOW, '--yes', '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('1 missing-spec not mended', stderr)
        self.assertNotIn('put back', stderr)


class HealthyTest(AuditTestCase):
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


class ContractTest(AuditTestCase):

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
