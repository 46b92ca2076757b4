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

"""Many at once: who writes one spec, who lands one build, who heals."""

import contextlib
import datetime
import os
import subprocess
import sys
import threading

import fixtures
from oslo_utils import timeutils
import sqlalchemy as sa
import testtools

from nova import context as nova_context
from nova import objects

from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist.db import rows
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import record
from nova_cells_persist.reconcile import allocations
from nova_cells_persist.reconcile import audit
from nova_cells_persist.reconcile import codes
from nova_cells_persist.reconcile import journal as files
from nova_cells_persist.reconcile import repair

from tests.functional import audited
from tests.functional import base
from tests.functional import writer

#: SQLite lets one write at a time, and the others wait: a few will do.
WRITERS = 16 if base.KIND else 4
ROUNDS = 5 if base.KIND else 2

#: Seconds within which all of them are through.
DEADLINE = 120


def at_once(*functions):
    """Call functions at the same time, each in a thread.

    :returns: what they raise, a list
    """
    barrier, errors = threading.Barrier(len(functions)), []

    def run(function):
        barrier.wait(DEADLINE)
        try:
            function()
        except Exception as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(function,), daemon=True)
               for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    if any(thread.is_alive() for thread in threads):
        errors.append(TimeoutError('not all of them came to an end'))
    return errors


class Tries(fixtures.Fixture):
    """Counts how often each thread tries to write a revision."""

    def _setUp(self):
        self.counts = {}
        # Which each of them begins with.
        self._lock = db_instance.lock
        self.useFixture(fixtures.MockPatchObject(
            db_instance, 'lock', self._counted))

    def _counted(self, *args):
        thread = threading.get_ident()
        self.counts[thread] = self.counts.get(thread, 0) + 1
        self._lock(*args)


class WritersTest(audited.AuditTestCase):
    """Every writer's own change is in the last revision."""

    def hints(self, text):
        return set(primitive.data(text)['scheduler_hints'])

    def save(self, server_id, name):
        record.write(nova_context.get_admin_context(), server_id,
                     writer.add_hint(name), 'save')

    def many(self, server_id, context=None):
        """Let many save at once, a few times.

        :returns: how often they had to try, at most
        """
        worst = 0
        for turn in range(ROUNDS):
            names = ['%d-%d' % (turn, number) for number in range(WRITERS)]
            with Tries() as tries:
                self.assertEqual([], at_once(*[
                    lambda name=name: self.save(server_id, name)
                    for name in names]))
            self.names = getattr(self, 'names', set()).union(names)
            worst = max(worst, *tries.counts.values())
        return worst

    def newest(self, server_id):
        return self.rows('request_spec', server_id, 'cell1')[-1]['spec']

    def test_threads(self):
        server_id = self.boot(host='host1')['id']
        tries = self.many(server_id)
        self.assertLessEqual(tries, 3)
        nova, = self.rows('request_specs', server_id)
        self.assertEqual(self.names, self.hints(nova['spec']))
        self.assertEqual(self.names, self.hints(self.newest(server_id)))
        self.assertEqual([], self.audit())

    def test_threads_in_the_conductor_of_a_cell(self):
        server_id = self.boot(host='host1')['id']
        with self.cell_level('cell1'):
            tries = self.many(server_id)
        self.assertLessEqual(tries, 3)
        self.assertEqual(self.names, self.hints(self.newest(server_id)))
        self.assertEqual([('pending-revision', server_id)], self.audit())
        self.heal()
        nova, = self.rows('request_specs', server_id)
        self.assertEqual(self.names, self.hints(nova['spec']))
        self.assertEqual([], self.audit())

    def test_saves_of_nova(self):
        """Of different fields; and a move reloads the spec meanwhile."""
        server_id = self.boot(host='host1')['id']
        fields = {'availability_zone': 'one', 'num_instances': 7,
                  'force_hosts': ['host1'], 'is_bfv': True,
                  'scheduler_hints': {'colour': ['blue']}}
        self.assertEqual([], at_once(*[
            lambda name=name: self.saved(server_id, nova_context.
                                         get_admin_context(),
                                         **{name: fields[name]})
            for name in fields]))
        found = primitive.data(self.newest(server_id))
        self.assertEqual(fields, {name: found[name] for name in fields})
        self.assertEqual([], [code for code, _ in self.audit()
                              if code != 'spec-differs'])

    def test_processes(self):
        if not base.KIND:
            self.skipTest('The processes of an SQLite do not wait long')
        server_id = self.boot(host='host1')['id']
        urls = [self.engine(cell).url.render_as_string(hide_password=False)
                for cell in (None, 'cell1')]
        names = ['process%d' % number for number in range(4)]
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(self.process(
                *urls, server_id, name, str(ROUNDS))) for name in names]
            for process in processes:
                stack.callback(process.kill)
            for process in processes:
                # After what Nova warns of when it is loaded.
                self.assertIn('ready\n', iter(process.stdout.readline, ''))
            for process in processes:
                process.stdin.write('\n')
                process.stdin.flush()
            for process in processes:
                said, _ = process.communicate(timeout=DEADLINE)
                self.assertEqual((0, ''), (process.returncode, said))
        wanted = {'%s-%d' % (name, number) for name in names
                  for number in range(ROUNDS)}
        self.assertEqual(wanted, self.hints(self.newest(server_id)))
        self.assertEqual([], self.audit())

    def process(self, *argv):
        """Return a running writer."""
        return subprocess.Popen(
            [sys.executable, writer.__file__, *argv], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))

    def test_damaged_revision_of_another_writer(self):
        """It is followed by what Nova's row says."""
        server_id = self.boot(host='host1')['id']
        row, = self.rows('request_spec', server_id, 'cell1')
        update = db_spec.update_nova_spec

        def overtaken(*args):
            overtaking.cleanUp()
            other = dict(row, revision=2, event='save', spec='{')
            del other['id']
            self.insert('request_spec', other, 'cell1')
            return update(*args)

        overtaking = fixtures.MonkeyPatch(
            'nova_cells_persist.db.request_spec.update_nova_spec', overtaken)
        overtaking.setUp()
        self.save(server_id, 'mine')
        self.assertEqual([(1, 'create'), (2, 'save'), (3, 'save')],
                         self.revisions(server_id, 'cell1'))
        self.assertEqual({'mine'}, self.hints(self.newest(server_id)))


class LandingTest(audited.AuditTestCase):
    """Two conductors are sent one build."""

    def land(self, server_id, zone=None):
        context = nova_context.get_admin_context()
        mapping = objects.InstanceMapping.get_by_instance_uuid(
            context, server_id)
        mapping.cell_mapping = self.cell_mappings['cell1']
        mapping.save()
        if zone:
            self.saved(server_id, context, availability_zone=zone)

    def test_two_conductors(self):
        for _ in range(ROUNDS):
            with self.held_builds():
                server_id = self.accept()['id']
                self.assertEqual([], at_once(
                    lambda: self.land(server_id),
                    lambda: self.land(server_id, 'one')))
            self.assertEqual([], self.revisions(server_id))
            rows = self.rows('request_spec', server_id, 'cell1')
            self.assertEqual('create', rows[0]['event'])
            self.assertEqual('one', primitive.data(
                rows[-1]['spec'])['availability_zone'])


class HealTest(audited.AuditTestCase):

    def setUp(self):
        super().setUp()
        # Older releases of Nova test in memory. What one of two threads rolls
        # back, also at the end of a read, is then what the other has written
        # and not yet committed: a heal asks the cells between the two.
        if isinstance(self.engine().pool, sa.pool.StaticPool):
            self.skipTest('All threads share one transaction')

    def broken(self, count):
        """Return servers that are broken in turn, and were hours ago."""
        servers = []
        for number in range(count):
            server_id = self.boot(host='host1')['id']
            if number % 3 == 0:
                self.execute('DELETE FROM request_specs WHERE '
                             'instance_uuid = :uuid', uuid=server_id)
            elif number % 3 == 1:
                self.execute('DELETE FROM request_spec WHERE '
                             'instance_uuid = :uuid', 'cell1', uuid=server_id)
            else:
                self.execute('DELETE FROM instance_mappings WHERE '
                             'instance_uuid = :uuid', uuid=server_id)
            servers.append(server_id)
        old = timeutils.utcnow() - datetime.timedelta(hours=3)
        for cell, table in ((None, 'request_specs'), (None, 'request_spec'),
                            (None, 'instance_mappings'),
                            ('cell1', 'request_spec'),
                            ('cell1', 'instances')):
            self.execute('UPDATE %s SET created_at = :old, updated_at = NULL'
                         % table, cell, old=old)
        return servers

    def mend_all(self, number, since):
        """Heal as the command does, in this thread."""
        cloud = audit.Cloud(nova_context.get_admin_context())
        journal = files.Journal('%s-%s' % (self.undo_file, number))
        try:
            for case in list(cloud.cases(since=since)):
                for _, reason in repair.mend(
                        cloud, case.uuid, frozenset(codes.MEANINGS), since,
                        journal):
                    if reason is not None:
                        raise reason
        finally:
            journal.close()

    def test_twice_at_once(self):
        servers = self.broken(6)
        since = timeutils.utcnow() - datetime.timedelta(hours=1)
        self.assertEqual([], at_once(*[
            lambda number=number: self.mend_all(number, since)
            for number in range(2)]))
        self.assertEqual([], self.audit())
        for server_id in servers:
            self.assertEqual('ACTIVE',
                             self.api.get_server(server_id)['status'])

    @testtools.skipUnless(base.KIND, 'SQLite locks no rows')
    def test_accepted_while_placement_is_slow(self):
        """No row is locked but those of the server that is mended."""
        self.boot(host='host1')
        server_id = self.boot(host='host1')['id']
        self.lose_instance(server_id, 'cell1')
        get, accepted, waits = allocations.get, [], []

        def slow(*args):
            thread = threading.Thread(
                target=lambda: accepted.append(self.accept()), daemon=True)
            thread.start()
            thread.join(DEADLINE)
            waits.append(thread.is_alive())
            return get(*args)

        with fixtures.MonkeyPatch(
                'nova_cells_persist.reconcile.allocations.get', slow), \
                self.held_builds():
            self.heal('orphaned-mapping')
        self.assertEqual([False], waits)
        self.assertEqual(1, len(accepted))

    @testtools.skipUnless(base.KIND, 'SQLite locks no rows')
    def test_saved_while_it_is_put_back(self):
        server_id = self.boot(host='host1')['id']
        self.saved(server_id, num_instances=3)
        self.execute("UPDATE request_spec SET spec = '{' WHERE "
                     'instance_uuid = :uuid', 'cell1', uuid=server_id)
        self.heal('unreadable-copy')
        write, saving = rows.write, []

        def save_meanwhile(*args):
            if not saving:
                saving.append(threading.Thread(
                    target=self.saved, args=(server_id,),
                    kwargs={'num_instances': 7}, daemon=True))
                saving[0].start()
                saving[0].join(1)
                self.assertTrue(saving[0].is_alive())   # it waits
            write(*args)

        with fixtures.MonkeyPatch('nova_cells_persist.db.rows.write',
                                  save_meanwhile):
            self.undo()
        saving[0].join(DEADLINE)
        self.assertEqual(7, self.spec(server_id).num_instances)

    def test_under_live_traffic(self):
        self._start_compute('host2', cell_name='cell1')
        servers = self.broken(3)
        over, errors = threading.Event(), []

        def heal():
            number = 0
            while not over.is_set():
                since = timeutils.utcnow() - datetime.timedelta(hours=1)
                number += 1
                try:
                    self.mend_all(number, since)
                except Exception as exc:
                    errors.append(exc)
                    return

        healing = threading.Thread(target=heal, daemon=True)
        healing.start()
        try:
            kept = []
            for _ in range(ROUNDS):
                server = self.boot(host='host1')
                server = self._resize_server(server, self.flavors[1]['id'])
                self._confirm_resize(server)
                kept.append(server['id'])
                self._delete_server(self.boot(host='host3'))
        finally:
            over.set()
            healing.join(DEADLINE)
        self.assertEqual([], errors)
        for server_id in servers + kept:
            self.assertEqual('ACTIVE',
                             self.api.get_server(server_id)['status'])
        self._wait_for_assert(lambda: self.assertEqual([], self.audit()))
