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
import os
import time

import ddt
import fixtures
from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova.cmd import manage
from nova import exception as nova_exc
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional.api import client

from tests import faults
from tests.functional import audited
from tests.functional import base

#: How many statements of a flow fail, one after the other; 0 for all.
STATEMENTS = int(os.environ.get('OUTAGE_STATEMENTS', '0' if base.KIND
                                else '3'))

#: SQLite has one error for all of it.
KINDS = (('deadlock', 'lost', 'timeout', 'read-only') if base.KIND
         else ('timeout',))

#: Seconds within which whatever has been cast is through.
DEADLINE = 20


#: By which functions of the plugin something is asked of the API database that
#: stock Nova asks there as well, at the same place or in the same transaction:
#: what fails without it fails in both.
STOCK_TOO = (
    # Nova's one transaction of a server that is accepted
    ('request_spec._create_in_db',),
    ('build_request._create_in_db',),
    ('create._create',),
    # Nova's one look at a row of its own, and what is written into that
    ('request_spec._get_by_instance_uuid_from_db',),
    ('record.write', 'request_spec._write', 'request_spec.save'),
    ('build_request._get_by_instance_uuid_from_db',),
    ('build_request._destroy_in_db',),
    # the commit of a mapping that gets its cell
    ('landing._save_and_remove',),
    # Nova's one transaction for what it has archived
    ('instance_mapping._destroy_bulk_in_db',),
    ('request_spec._destroy_bulk_in_db',),
)


def fails_stock_too(sent):
    return sent.place == 'api' and any(
        sent.by[:len(by)] == by for by in STOCK_TOO)


def kinds_of(sent):
    """Return the kinds of failure that there are of one that is Sent."""
    if sent.statement == faults.COMMIT:
        return ('deadlock',)
    if sent.statement == faults.COMMITTED:
        return ('lost',)
    return tuple(kind for kind in KINDS if kind != 'read-only' or
                 faults.WRITES.match(sent.statement))


#: What becomes of a server whose POST has failed.
GONE, BUILDING = 'gone', 'building'

LEFT_IN_API = ('request_specs', 'build_requests', 'instance_mappings',
               'request_spec', 'build_request', 'build_request_item')
LEFT_IN_CELL = ('instances', 'request_spec')


class OutageTestCase(audited.AuditTestCase):

    HOSTS = {'host1': 'cell1', 'host2': 'cell1'}

    def faults(self, prepare, act, every_kind=False, half=None):
        """Yield (what is Sent and fails, how in words, what came of it).

        Of each statement and each commit of the plugin that act() takes, each
        of which fails once.

        :param prepare: a function that returns what act() is given
        :param act: a function that returns what came of it
        :param every_kind: try all kinds of failure with each of them, and not
            each kind in turn
        :param half: of the statements and commits every other one, from the
            first (0) or the second (1) on; None: all of them
        """
        prepared = prepare()
        with faults.Faults(self.engines()) as asked:
            self.usual = act(prepared)
            self.settle()
        self.assertTrue(asked.seen)
        sent = asked.seen
        if STATEMENTS:
            sent = sent[::-(-len(sent) // STATEMENTS)]
        if half is not None:
            sent = sent[half::2]
        for number, each in enumerate(sent):
            kinds = kinds_of(each)
            for kind in kinds if every_kind else [
                    kinds[number % len(kinds)]]:
                prepared = prepare()
                with faults.Faults(self.engines(), lambda one: (
                        kind if one == each else None)) as failing:
                    outcome = act(prepared)
                    self.settle()
                what = '%s of %s' % (kind, each)
                self.assertEqual(1, failing.raised, what)
                yield each, what, outcome

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

    def check(self, steps, *as_it_was, unanswered=()):
        """Make sure that nothing fails that stock Nova would complete.

        :param steps: as of faults()
        :param as_it_was: what may come of it if stock Nova fails too
        :param unanswered: what may come of it, beside that, if all is written
            and only the answer is lost
        """
        tried = 0
        for sent, what, outcome in steps:
            tried += 1
            allowed = [self.usual]
            if fails_stock_too(sent):
                allowed += as_it_was
                if sent.statement == faults.COMMITTED:
                    allowed += unanswered
            self.assertIn(outcome, allowed, what)
            self.assert_can_be_healed(what)
        self.assertGreater(tried, 0)

    def assert_can_be_healed(self, what):
        def heal():
            self.command('heal', *audited.NOW, '--yes', '--undo-file',
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

    def setUp(self):
        super().setUp()
        self.enterContext(self.held_builds())

    def counts(self):
        return {table: len(self.table(table)) for table in LEFT_IN_API}

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
            is_accepted = False
        else:
            is_accepted = True
        after = self.counts()
        left = [after[table] - before[table] for table in LEFT_IN_API]
        self.assertIn(left, ([0] * len(left), [1, 1, 1, 1, 1, 2]))
        # As with stock Nova, whom no answer has told, a whole one may be left.
        return is_accepted, any(left)

    def test_accept(self):
        self.check(self.faults(self.counts, self.accepted, every_kind=True),
                   (False, False), unanswered=[(False, True)])

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
        self.check(self.faults(self.accept, self.deleted, every_kind=True),
                   False)


@ddt.ddt
class MoveOutageTest(OutageTestCase):
    """While conductors and computes are at work."""

    def setUp(self):
        super().setUp()
        self.api = self.admin_api
        self.useFixture(nova_fixtures.CastAsCallFixture(self))
        old, new = [flavor['name'] for flavor in self.flavors[:2]]
        # What comes of one whose POST, or that of its revert, has failed.
        self.not_resized = (('ACTIVE', old, False), ('ACTIVE', old))
        self.not_reverted = (('VERIFY_RESIZE', new, True),
                             ('VERIFY_RESIZE', new))

    def ask(self, server, action, **kwargs):
        try:
            self.api.post_server_action(server['id'], {action: kwargs or None})
        except client.OpenStackApiException:
            pass   # what has come of it will be seen
        self.settle()

    def booted(self, prepared):
        """Return the state of a new server, or what is left if that fails."""
        before = self.servers()
        try:
            server = self.accept(host='host1')
        except client.OpenStackApiException as exc:
            self.assertEqual(500, exc.response.status_code)
            return self.left(before)
        self.settle()
        return self.state(server['id'])

    def servers(self):
        """Return the uuids of all servers that anything is left of."""
        return {row.get('instance_uuid') or row['uuid']
                for place in (None, *self.cell_mappings)
                for table in (LEFT_IN_API if place is None else LEFT_IN_CELL)
                for row in self.table(table, place)}

    def left(self, before):
        """Return GONE, or BUILDING if a server is whole and can be deleted."""
        new = self.servers() - before
        if not new:
            return GONE
        uuid, = new
        self.assertEqual('BUILD', self.api.get_server(uuid)['status'])
        found = self.everything(uuid)
        for table in ('request_specs', 'instance_mappings'):
            self.assertEqual(1, found['api', table])
        tables = {table for _, table in found}
        self.assertIn('request_spec', tables)
        self.assertTrue(tables & {'build_request', 'instances'})
        return BUILDING

    def test_boot(self):
        self.check(self.faults(self.empty, self.booted), GONE, BUILDING)
        self.empty()
        self.assert_can_be_healed('deleted')

    def test_landing(self):
        """What is only read or removed for it fails no build."""
        usual = self.booted(None)
        for begin in ('SELECT request_spec.id', 'DELETE FROM request_spec '):
            with faults.Faults(self.engines(), lambda sent: (
                    KINDS[0] if sent.place == 'api' and
                    sent.statement.startswith(begin) else None)) as failing:
                outcome = self.booted(None)
            self.assertGreater(failing.raised, 0, begin)
            self.assertEqual(usual, outcome, begin)
            self.assert_can_be_healed(begin)

    def empty(self):
        # One server at a time.
        for server in self.api.get_servers(detail=False):
            self._delete_server(server)

    def new(self):
        self.empty()
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
        self.check(self.faults(self.new, self.confirmed), self.not_resized)

    @ddt.data(0, 1)
    def test_resize_and_revert(self, half):
        """It takes twice as many statements as the others."""
        self.check(self.faults(self.new, self.reverted, half=half),
                   self.not_resized, self.not_reverted)

    def test_failed_resize(self):
        self.check(self.faults(self.new, self.refused),
                   self.not_resized[-1])

    def test_cells_that_take_nothing(self):
        """All that the plugin asks of a cell fails, all the time."""
        for prepare, act in ((self.empty, self.booted),
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

    def of_cells(self, sent):
        return None if sent.place == 'api' else KINDS[0]


class ArchiveOutageTest(OutageTestCase):
    """While what was deleted is archived."""

    def deleted(self):
        # SQLite would give what is archived next the ids of what has been.
        with contextlib.redirect_stdout(io.StringIO()):
            manage.DbCommands().purge(purge_all=True, all_cells=True)
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
        # What had gone from the cells is not looked for a second time.
        self.check(self.faults(self.deleted, self.archived),
                   {('api', 'request_specs'): 1},
                   {('api', 'request_specs'): 1,
                    ('api', 'instance_mappings'): 1})
        self.assertEqual({}, self.usual)
