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

"""Each statement of the plugin fails once; nothing of Nova's does for it."""

import contextlib
import io
import itertools
import os
import time

import fixtures
from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova.cmd import manage
from nova import exception as nova_exc
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional.api import client

from tests import faults
from tests.functional import base
from tests.functional import test_audit

#: How many statements of a flow fail, one after the other; 0 for all.
STATEMENTS = int(os.environ.get('OUTAGE_STATEMENTS', '0' if base.KIND
                                else '3'))

#: SQLite has one error for all of it.
KINDS = (('deadlock', 'lost', 'timeout', 'read-only') if base.KIND
         else ('timeout',))

#: Seconds within which whatever has been cast is through.
DEADLINE = 20


class OutageTestCase(test_audit.AuditTestCase):

    HOSTS = {'host1': 'cell1', 'host2': 'cell1'}

    def faults(self, prepare, act, every_kind=False):
        """Yield (database, statement, kind, what came of it).

        Of each statement of the plugin that act() takes, each of which fails
        once.

        :param prepare: a function that returns what act() is given
        :param act: a function that returns what came of it
        :param every_kind: try all kinds of failure with each of them, and not
            each kind in turn
        """
        prepared = prepare()
        with faults.Faults(self.engines()) as asked:
            self.usual = act(prepared)
            self.settle()
        statements = list(dict.fromkeys(asked.seen))
        self.assertTrue(statements)
        if STATEMENTS:
            statements = statements[::-(-len(statements) // STATEMENTS)]
        for number, (place, statement) in enumerate(statements):
            kinds = [kind for kind in KINDS if kind != 'read-only' or
                     faults.WRITES.match(statement)]
            for kind in kinds if every_kind else [
                    kinds[number % len(kinds)]]:
                prepared = prepare()
                with faults.Faults(self.engines(), self.once(
                        place, statement, kind)) as failing:
                    outcome = act(prepared)
                    self.settle()
                if failing.raised:
                    yield place, statement, kind, outcome

    def once(self, place, statement, kind):
        """Return a fault of one statement, the first time that it is sent."""
        kinds = itertools.chain([kind], itertools.repeat(None))

        def fault(at, sent):
            return next(kinds) if (at, sent) == (place, statement) else None

        return fault

    def settle(self):
        """Wait until all servers have come to what they are becoming."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and any(
                row['task_state'] or row['vm_state'] == 'building'
                for row in self.instances()):
            time.sleep(0.05)

    def instances(self):
        return [row for cell in self.cell_mappings for row in self.table(
            'instances', cell) if not row['deleted']]

    def table(self, name, cell=None):
        with self.engine(cell).connect() as connection:
            return [dict(row._mapping) for row in connection.execute(
                sa.text('SELECT * FROM %s' % name))]

    def check(self, steps, api_may_fail=True):
        """Make sure that nothing fails for what a cell could not take.

        :param steps: as of faults()
        :param api_may_fail: whether stock Nova fails with an API database
            that fails there
        """
        tried = 0
        for place, statement, kind, outcome in steps:
            tried += 1
            what = '%s of the %s database: %s' % (kind, place, statement)
            if place != 'api' or not api_may_fail:
                self.assertEqual(self.usual, outcome, what)
            self.assert_can_be_healed(what)
        self.assertGreater(tried, 0)

    def assert_can_be_healed(self, what):
        def heal():
            self.command('heal', *test_audit.NOW, '--yes', '--undo-file',
                         self.undo_file)
            self.assertEqual([], self.audit(), what)

        # What was written within this second is left alone.
        self._wait_for_assert(heal)

    def state(self, server_id):
        """Return (status, the flavor that the server and both specs have)."""
        try:
            server = self.api.get_server(server_id)
        except client.OpenStackApiException:   # it fails once
            server = self.api.get_server(server_id)
        return server['status'], server['flavor']['original_name']


class BuildOutageTest(OutageTestCase):
    """While nobody works on the builds."""

    TABLES = ('request_specs', 'build_requests', 'instance_mappings',
              'request_spec', 'build_request', 'build_request_item')

    def setUp(self):
        super().setUp()
        self.enterContext(self.held_builds())

    def counts(self):
        return {table: len(self.table(table)) for table in self.TABLES}

    def settle(self):
        pass   # nothing is cast

    def assert_can_be_healed(self, what):
        pass   # all of them are in flight

    def accepted(self, before):
        """Return whether a server is accepted; none or all of it is left."""
        try:
            self.accept({'metadata': {'role': 'web'}, 'tags': ['one']})
        except client.OpenStackApiException as exc:
            self.assertEqual(500, exc.response.status_code)
            self.assertEqual(before, self.counts())
            return False
        after = self.counts()
        self.assertEqual(
            [1, 1, 1, 1, 1, 2],
            [after[table] - before[table] for table in self.TABLES])
        return True

    def test_accept(self):
        self.check(self.faults(self.counts, self.accepted, every_kind=True))

    def listed(self, server):
        """Return what a list and a show say, or that they fail."""
        found = []
        for ask in (lambda: self.api.get_servers(detail=True)[0]['id'],
                    lambda: self.api.get_server(server['id'])['id']):
            try:
                found.append(ask())
            except client.OpenStackApiException as exc:
                self.assertEqual(500, exc.response.status_code)
        # Stock Nova's one statement may fail as well; the next is whole.
        self.assertLessEqual(1, len(found))
        return set(found) == {server['id']}

    def test_list_and_show(self):
        server = self.accept()
        self.check(self.faults(lambda: server, self.listed, every_kind=True))

    def deleted(self, server):
        try:
            self.api.delete_server(server['id'])
        except client.OpenStackApiException as exc:
            self.assertEqual(500, exc.response.status_code)
        builds = [len(self.rows(table, server['id'])) for table in (
            'build_request', 'build_requests')]
        self.assertIn(builds, ([0, 0], [1, 1]))
        return builds == [0, 0]

    def test_delete(self):
        self.check(self.faults(self.accept, self.deleted, every_kind=True))


class MoveOutageTest(OutageTestCase):
    """While conductors and computes are at work."""

    def setUp(self):
        super().setUp()
        self.api = self.admin_api
        self.useFixture(nova_fixtures.CastAsCallFixture(self))

    def ask(self, server, action, **kwargs):
        try:
            self.api.post_server_action(server['id'], {action: kwargs or None})
        except client.OpenStackApiException:
            pass   # what has come of it will be seen
        self.settle()

    def booted(self, prepared):
        try:
            server = self.accept(host='host1')
        except client.OpenStackApiException:
            return None
        self.settle()
        return self.state(server['id'])

    def test_boot(self):
        self.check(self.faults(lambda: None, self.booted))

    def test_landing(self):
        """What is only read or removed for it fails no build."""
        usual = self.booted(None)
        for begin in ('SELECT request_spec.id', 'DELETE FROM request_spec '):
            with faults.Faults(self.engines(), lambda place, statement: (
                    KINDS[0] if place == 'api' and
                    statement.startswith(begin) else None)) as failing:
                outcome = self.booted(None)
            self.assertGreater(failing.raised, 0, begin)
            self.assertEqual(usual, outcome, begin)
            self.assert_can_be_healed(begin)

    def new(self):
        # One server at a time.
        for server in self.api.get_servers(detail=False):
            self._delete_server(server)
        return self.boot(host='host1')

    def resized(self, server):
        self.ask(server, 'resize', flavorRef=self.flavors[1]['id'])
        return self.state(server['id']) + (
            self.flavor_persisted(server['id']) == self.flavors[1]['id'],)

    def confirmed(self, server):
        before = self.resized(server)
        self.ask(server, 'confirmResize')
        return before, self.state(server['id'])

    def reverted(self, server):
        before = self.resized(server)
        self.ask(server, 'revertResize')
        return before, self.state(server['id'])

    def refused(self, server):
        def refuse(*args, **kwargs):
            raise nova_exc.MigrationError(reason='of the test')

        with fixtures.MonkeyPatch('nova.virt.fake.FakeDriver.'
                                  'migrate_disk_and_power_off', refuse):
            self.ask(server, 'resize', flavorRef=self.flavors[1]['id'])
        return self.state(server['id'])

    def test_resize_and_confirm(self):
        self.check(self.faults(self.new, self.confirmed))

    def test_resize_and_revert(self):
        self.check(self.faults(self.new, self.reverted))

    def test_failed_resize(self):
        self.check(self.faults(self.new, self.refused))

    def test_cells_that_take_nothing(self):
        """All that the plugin asks of a cell fails, all the time."""
        for prepare, act in ((lambda: None, self.booted),
                             (self.new, self.confirmed),
                             (self.new, self.reverted),
                             (self.new, self.refused)):
            prepared = prepare()
            usual = act(prepared)
            self.settle()
            prepared = prepare()
            with faults.Faults(self.engines(), self.of_cells) as failing:
                outcome = act(prepared)
                self.settle()
            self.assertGreater(failing.raised, 0)
            self.assertEqual(usual, outcome, act)
            self.assert_can_be_healed(act)

    def of_cells(self, place, statement):
        return None if place == 'api' else KINDS[0]


class ArchiveOutageTest(OutageTestCase):
    """While what was deleted is archived."""

    def deleted(self):
        server = self.boot(host='host1')
        self._delete_server(server)
        return server['id']

    def archived(self, server_id):
        """Archive; if that fails, once more.

        :returns: what is left, as of everything()
        """
        try:
            self.archive()
        except (db_exc.DBError, sa.exc.DBAPIError):
            self.archive()
        # A copy that its cell did not let go of is for heal to remove.
        return {place: count for place, count in
                self.everything(server_id).items()
                if place[0] == 'api' or place[1] != 'request_spec'}

    def archive(self):
        with contextlib.redirect_stdout(io.StringIO()):
            manage.DbCommands().archive_deleted_rows(
                all_cells=True, until_complete=True, purge=True)

    def test_archive(self):
        self.skip_if_stock_cannot('archive a server')
        self.boot(host='host1')   # who stays: audit believes no empty cell
        self.check(self.faults(self.deleted, self.archived))
        self.assertEqual({}, self.usual)
