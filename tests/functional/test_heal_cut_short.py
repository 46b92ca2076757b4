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

"""heal, where it is interrupted or a database or a disk fails it."""

import errno
import os

import fixtures
from oslo_db import exception as db_exc
from oslo_serialization import jsonutils
import testtools

from nova_cells_persist.db import database
from nova_cells_persist.db import rows as db_rows
from nova_cells_persist import exception
from nova_cells_persist.reconcile import journal
from nova_cells_persist.reconcile import repair

from tests import counting
from tests.functional import audited
from tests.functional import base


class CutShortTest(audited.AuditTestCase):

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
                'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('Server %s (spec-differs) may have been changed' %
                      server_id, stderr)
        self.assertIn('undo --force ' + self.undo_file, stderr)
        self.force()
        self.assertEqual('elsewhere', self.spec(server_id).availability_zone)

    def test_interrupted_and_resumed(self):
        ids = self.deleted_builds(3)
        mend = repair.mend

        def interrupt(cloud, uuid, *args):
            if uuid == ids[1]:
                raise KeyboardInterrupt()
            return mend(cloud, uuid, *args)

        with fixtures.MonkeyPatch(
                'nova_cells_persist.reconcile.repair.mend', interrupt):
            status, stdout, stderr = self.command(
                'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file,
                '-f', 'value', '-c', 'Server')
        self.assertEqual((1, ids[:1]), (status, stdout.split()))
        after = stderr.split('--after ')[1].split()[0]
        self.assertEqual(
            ids[1:], [server for _, server in self.audit('--after', after)])
        self.assertEqual([('deleted-build', 'mended')] * 2,
                         self.heal('--after', after))

    def deleted_builds(self, count):
        """Return the ids of servers that are to be mended, in their order."""
        return sorted(self.deleted() for _ in range(count))

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
                'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file,
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
            status, rows = self.listed(
                'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file)
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
            'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file, '-f',
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
            status, _, stderr = self.command('audit', *audited.NOW)
        self.assertEqual(
            (1, 'Interrupted. Run it again to begin anew.\n'
             'Nothing found.\n'), (status, stderr))

    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt()

    def test_interrupted(self):
        """What went wrong before that went wrong all the same."""
        ids = self.deleted_builds(2)

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
                status, _, stderr = self.command('heal', *audited.NOW, '--yes')
            self.assertEqual(expected, status)
            self.assertIn(said, stderr)

    def no_space_after(self, count):
        """Have the disk be full once files were synchronized that often.

        Not by /dev/full: where eventlet has patched Nova's tests, as it has no
        process of the command line, it waits for the disk instead.
        """
        sync, calls = os.fsync, []

        def is_full(number):
            calls.append(number)
            if len(calls) > count:
                raise OSError(errno.ENOSPC, 'No space left on device')
            sync(number)

        return fixtures.MonkeyPatch('os.fsync', is_full)

    def test_no_space_for_the_undo_file(self):
        server_id = self.deleted()
        before = self.everything(server_id)
        with self.no_space_after(0):
            status, _, stderr = self.command(
                'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn(
            'The undo file %s cannot be used: No space left on device. '
            'Without it nothing is changed.' % self.undo_file, stderr)
        self.assertNotIn('put back', stderr)
        self.assertEqual(before, self.everything(server_id))

    def test_no_space_once_it_is_mended(self):
        server_id = self.deleted()
        before = self.everything(server_id)
        with self.no_space_after(1):
            status, _, stderr = self.command(
                'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file)
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
                'heal', *audited.NOW, '--yes', '--undo-file', self.undo_file)
        self.assertEqual(2, status)
        self.assertIn('1 missing-spec not mended', stderr)
        self.assertNotIn('put back', stderr)
