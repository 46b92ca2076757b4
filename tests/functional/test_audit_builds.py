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

"""What audit finds of builds that were lost, and how heal ends them."""

import datetime
import os

import ddt
import fixtures
from oslo_utils import timeutils
import sqlalchemy as sa

from nova.conductor import manager
from nova.tests.functional.api import client

from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.reconcile import repair

from tests.functional import audited


@ddt.ddt
class BuildsTest(audited.AuditTestCase):

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

    def test_buried_before_its_cast_arrives(self):
        """A conductor finds no build, and Nova deletes the mapping."""
        with self.held_builds() as let_go:
            server_id = self.accept()['id']
            status, rows = self.listed('audit', *audited.NOW)
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

    def test_older_api_database_of_a_server_that_runs(self):
        """What it has by now is not what its build says."""
        server_id, rows = self.landed(body={'tags': ['asked']})
        self.api.api_put('/servers/%s/tags' % server_id, {'tags': ['now']})
        self.execute('UPDATE block_device_mapping SET deleted = id', 'cell1')
        self.put_back(server_id, rows)
        self.assert_healed(server_id, 'stuck-build')
        self.assertEqual(['now'], self.api.get_server(server_id)['tags'])
        self.assertEqual([], [
            row['id'] for row in
            self.rows('block_device_mapping', server_id, 'cell1')
            if not row['deleted']])

    def test_older_api_database_of_a_server_that_was_deleted(self):
        """It does not come back."""
        server_id, rows = self.landed()
        self.api.delete_server(server_id)
        self._wait_until_deleted({'id': server_id})
        self.put_back(server_id, rows)
        self.assertEqual('BUILD', self.api.get_server(server_id)['status'])
        self.assert_healed(server_id, 'landed-build')
        self.assertRaises(client.OpenStackApiNotFoundException,
                          self.api.get_server, server_id)
        self.assertEqual([], self.rows('instances', server_id, 'cell0'))

    def landed(self, **kwargs):
        """Return the id of a server, and {table: rows} of its build."""
        with self.held_builds() as let_go:
            server_id = self.accept(az='nova:host1', **kwargs)['id']
            rows = {table: self.rows(table, server_id) for table in (
                'build_requests', 'build_request', 'build_request_item')}
            let_go()
            self._wait_for_state_change({'id': server_id}, 'ACTIVE')
        return server_id, rows

    def put_back(self, server_id, rows):
        """Have the API database be as before a server has landed."""
        for table, several in rows.items():
            for row in several:
                self.insert(table, row)
        self.execute('UPDATE instance_mappings SET cell_id = NULL')

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
                    name, *audited.NOW, '--yes', '--undo-file',
                    self.undo_file))
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
            status, rows = self.listed('purge', *audited.NOW)
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

    def test_killed_before_the_tags(self):
        with self.held_builds() as let_go:
            server_id = self.accept({'tags': ['gold', 'web']},
                                    az='nova:host1')['id']
            self.kill_in('_create_tags', let_go)
        self.assert_healed(server_id, 'stuck-build')
        self.assertEqual(['gold', 'web'],
                         sorted(self.api.get_server(server_id)['tags']))
