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

"""What heal has done is put back, and the file that tells how."""

import os

import fixtures
from oslo_db import exception as db_exc
from oslo_serialization import jsonutils

from nova.tests.functional.api import client

from nova_cells_persist.db import database
from nova_cells_persist.db import rows as db_rows
from nova_cells_persist.reconcile import journal

from tests.functional import audited
from tests.functional import base


class UndoTest(audited.AuditTestCase):

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

    def test_undo_of_a_finished_build(self):
        server_id = self.built_by_a_conductor_killed_in(
            '_map_instance_to_cell')
        before = self.everything(server_id)
        self.heal()
        self.assertEqual(2, self.undo().count('put back'))
        self.assertEqual(before, self.everything(server_id))
        instance = self.rows('instances', server_id, 'cell1')[0]
        self.assertEqual('building', instance['vm_state'])

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
        self.boot(host='host1')   # a cell without any server is refused
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

    def test_undo_file(self):
        self.api.delete_server(self.lose(body={'user_data': 'c2VjcmV0'}))
        self.heal()
        self.assertEqual(0o600, os.stat(self.undo_file).st_mode & 0o777)
        status, _, stderr = self.command(
            'heal', *audited.NOW, '--yes', '--undo-file', '/nowhere/undo')
        self.assertEqual(0, status, stderr)   # there is nothing to write
        deleted = self.lose()
        self.api.delete_server(deleted)
        before = self.everything(deleted)
        status, _, stderr = self.command(
            'heal', *audited.NOW, '--yes', '--undo-file', '/nowhere/undo')
        self.assertEqual(2, status)
        self.assertIn('The undo file /nowhere/undo cannot be used: No such',
                      stderr)
        self.assertEqual(before, self.everything(deleted))
        self.assertNotIn('can be put back', stderr)
        for path in ('/nowhere/undo', __file__):
            status, _, stderr = self.command('undo', path)
            self.assertEqual(2, status)
            self.assertIn('The undo file %s cannot be used' % path, stderr)

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
            'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('it is no undo file', stderr)
        with open(self.undo_file) as file:
            self.assertEqual('{"precious": 1}', file.read())
        self.assertEqual(before, self.everything(server_id))
