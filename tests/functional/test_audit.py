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

import os
import threading

import fixtures
from keystoneauth1 import exceptions as ks_exc
import sqlalchemy as sa

from nova.conductor import rpcapi
from nova import context as nova_context
from nova import objects
from nova.objects import instance_mapping as stock_mapping
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional.api import client

from nova_cells_persist.reconcile import repair

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

    def lose(self, *argv, **kwargs):
        """Let the cast of a build be lost, and return the server's id."""
        with self.held_builds():
            return self.accept(*argv, **kwargs)['id']

    def built_by_a_conductor_killed_in(self, method):
        """Return the id of a server in whose build a conductor is killed."""
        with self.held_builds() as let_go:
            server_id = self.accept(az='nova:host1')['id']
            self.kill_in(method, let_go)
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

    def test_killed_before_the_build_is_removed(self):
        server_id = self.built_by_a_conductor_killed_in(
            '_delete_build_request')
        self.assert_healed(server_id, 'landed-build', 'stuck-instance')
        self.assertEqual([], self.rows('build_requests', server_id))
        self.assert_can_be_deleted(server_id)

    def test_killed_while_it_buries(self):
        with self.held_builds() as let_go:
            server_id = self.accept(az='nova:nowhere')['id']
            self.kill_in('_create_instance_action_for_cell0', let_go)
        self.assert_healed(server_id, 'landed-build', 'stuck-instance')
        self.assert_can_be_deleted(server_id)

    def test_lost_cast_to_the_compute(self):
        sent = threading.Event()
        with fixtures.MonkeyPatch(
                'nova.compute.rpcapi.ComputeAPI.build_and_run_instance',
                lambda *args, **kwargs: sent.set()):
            server_id = self.accept()['id']
            self.assertTrue(sent.wait(60))
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
        """The first conductor dies, the second builds it elsewhere."""
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
        self.assert_healed(server_id, 'two-cells')
        self.assertNotEqual(
            0, self.rows('instances', server_id, 'cell1')[0]['deleted'])
        self.assertEqual('ACTIVE',
                         self.api.get_server(server_id)['status'])
        self.undo()
        self.assertEqual([('two-cells', server_id)], self.audit())

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

    def test_running_in_two_cells(self):
        server_id = self.boot(host='host1')['id']
        with self.engine('cell2').begin() as connection:
            row = dict(self.rows('instances', server_id, 'cell1')[0], id=100)
            row.pop('compute_id', None)
            connection.execute(sa.text(
                'INSERT INTO instances (%s) VALUES (%s)' % (
                    ', '.join(row), ', '.join(':' + name for name in row))),
                row)
        (code, result), = self.heal(status=1)
        self.assertEqual('two-cells', code)
        self.assertIn('is not mended by itself: in cell cell1 (host host1) '
                      'and cell cell2 (host host1), mapped to cell cell1',
                      result)
        self.assertIn('see where it runs', result)
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
        with self.held_builds() as let_go:
            server_id = self.accept()['id']
            self.api.delete_server(server_id)
            with fixtures.MonkeyPatch(
                    'nova_cells_persist.objects.instance_mapping.'
                    'InstanceMapping._destroy_in_db',
                    stock_mapping.InstanceMapping._destroy_in_db):
                let_go()
                self._wait_for_assert(lambda: self.assertEqual(
                    [], self.rows('instance_mappings', server_id)))
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
        self.undo('--force')
        self.assertEqual(before, self.everything(server_id))

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

        def refused(*args, **kwargs):
            raise ks_exc.ConnectFailure('nobody listens')

        with fixtures.MonkeyPatch(
                'nova.scheduler.client.report.SchedulerReportClient.get',
                refused):
            status, _, stderr = self.command(
                'heal', *NOW, '--yes', '--undo-file', self.undo_file)
        self.assertEqual(0, status)
        self.assertIn('Placement is out of reach, so the allocations of '
                      'server %s stay: nobody listens' % server_id, stderr)
        self.assertEqual({}, self.everything(server_id))

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
        for path in ('/nowhere/undo', __file__):
            status, _, stderr = self.command('undo', path)
            self.assertEqual(2, status)
            self.assertIn('The undo file %s cannot be used' % path, stderr)


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
