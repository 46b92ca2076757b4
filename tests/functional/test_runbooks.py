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

"""That the operator's guide says what is so.

Each trouble is made in a cloud, the commands of its runbook are run there one
after the other, and what they print is what the page shows. A server is built
and looked at where the page says what there is of it.
"""

import contextlib
import csv
import json

import fixtures
import testtools

from nova.conductor import manager
from nova.tests.functional.api import client

from nova_cells_persist import fixture
from nova_cells_persist import releases

from tests import counting
from tests.functional import base
from tests.functional import numa_pci
from tests.functional import restoring
from tests.functional import terminal
from tests.functional import test_list_servers
from tests.functional import test_upcalls
from tests import pages


def nothing_is_restored():
    """As on stock Nova, or with a process that has died."""
    return fixtures.MonkeyPatch(
        'nova_cells_persist.objects.restore.restore',
        lambda *args, **kwargs: None)


class FailedResizeTest(terminal.TerminalMixin, restoring.RestoreTestCase):

    @testtools.skipIf(base.KIND, 'flavors have other ids there')
    def test_t1(self):
        server = self.boot(host='host1')
        with nothing_is_restored():
            self.fail_resize(server)
        self.assert_flavor(server, 1)
        self.follow('T1', last=-1, SERVER=server['id'])
        self.assert_flavor(server, 0)
        self.fail_resize(server)
        self.assert_events(server, 'create', 'resize', 'sync', 'resize',
                           'restore')
        self.follow('T1', first=-1, SERVER=server['id'])

    def fail_resize(self, server):
        with self.driver_fails('migrate_disk_and_power_off'):
            self.resize(server)
            self.settled(server, 'ERROR')
            self._wait_for_assert(lambda: self.assertIn('resize', [
                event for _, event in self.revisions(server['id'],
                                                     'cell1')[-2:]]))
        self.api.post_server_action(
            server['id'], {'os-resetState': {'state': 'active'}})


class RevertTest(terminal.TerminalMixin, numa_pci.NumaPciTestCase):

    CASTS = numa_pci.SAVED_FIRST

    def test_t2(self):
        server = self.boot('small')
        with nothing_is_restored(), fixtures.MonkeyPatch(
                'nova_cells_persist.objects.restore.completion',
                lambda *args: lambda text: text):
            self.move(server, 'pci')
            self.revert(server)
        row, = self.rows('request_specs', server['id'])
        self.assertEqual(('small', {'a1': 1}), self.contract_of(row)[::2])
        self.follow('T2', last=-1, SERVER=server['id'])
        self.assert_contract(server, 'small')
        self.move(server, 'pci')
        self.revert(server)
        self.follow('T2', first=-1, SERVER=server['id'])
        self.assert_contract(server, 'small')


class OrphanTest(terminal.TerminalMixin, base.CloudTestCase):

    def test_t4(self):
        self.boot(host='host1')
        server_id = self.deleted_under_a_conductor_without_the_plugin()
        self.follow('T4', SERVER=server_id)
        self.assertEqual({}, self.everything(server_id))


class LostBuildTest(terminal.TerminalMixin, base.CloudTestCase):

    def test_t5(self):
        self.boot(host='host1')
        with self.held_builds():
            server_id = self.accept({'name': 'web'})['id']
            other = self.accept({'name': 'db'})['id']
        for each in (server_id, other):
            self.made_old(each)
        self.follow('T5', SERVER=server_id, OTHER=other)
        self.assertEqual({}, self.everything(other))

    def made_old(self, server_id):
        for table in ('build_request', 'build_requests', 'request_specs',
                      'request_spec', 'instance_mappings'):
            self.execute("UPDATE %s SET created_at = '2026-01-05 09:00:00' "
                         'WHERE instance_uuid = :uuid' % table,
                         uuid=server_id)


class ListTest(terminal.TerminalMixin, test_list_servers.ListTestCase):

    def test_t6(self):
        self.boot(host='host1', name='old')
        with self.held_builds():
            self.named('new', 'new')
            self.follow('T6')

    def test_t7(self):
        with self.held_builds():
            self.named('a', 'b', 'c', 'd', 'e')
            self.follow('T7')

    @testtools.skipIf(releases.nova_release() < 29, 'is of microversion 2.96')
    def test_t8(self):
        for group in (self.create_group(), self.create_group()):
            self.named_in(group, 'a', 'b')
        with counting.Count([self.engine()]) as one:
            self.page(limit=1)
        with counting.Count([self.engine()]) as all_of_them:
            self.follow('T8')
        self.assertEqual(self.of_groups(one), self.of_groups(all_of_them))
        self.assertNotEqual(0, self.of_groups(one))

    def named_in(self, group, *names):
        with self.held_builds():
            for name in names:
                self.accept({'name': name}, hints={'group': group})

    def of_groups(self, count):
        """Return how many statements read server groups."""
        return len([statement for statement in count.statements
                    if 'FROM instance_groups' in statement])


class LostSpecTest(terminal.TerminalMixin, base.CloudTestCase):

    HOSTS = dict(base.CloudTestCase.HOSTS, host2='cell1')

    def test_t9(self):
        server_id = self.boot(host='host1')['id']
        self.lose_spec(server_id)
        self.follow('T9', last=-1, SERVER=server_id)
        self.lose_spec(server_id)
        self.follow('T9', first=-1, SERVER=server_id)
        self._wait_for_state_change({'id': server_id}, 'VERIFY_RESIZE')

    def lose_spec(self, server_id):
        self.execute('DELETE FROM request_specs WHERE instance_uuid = :uuid',
                     uuid=server_id)


class RescheduleTest(terminal.TerminalMixin, test_upcalls.UpcallTestCase):

    def test_t3(self):
        server = self.cluster.boot()
        with self.cluster.late_super_conductor():
            self.reschedule(server, 'large')
            self.follow('T3', SERVER=server['id'])
        self.cluster.wait_for_super_conductor(server['id'])

    def engine(self, cell=None):
        return self.cluster.databases.engine(cell or 'api')

    def command(self, *argv):
        return self.cluster.services.run('nova-cells-persist', *argv)

    def call_api(self, method, path, body, version, sent_as):
        return 200, json.dumps(self.cluster.request(method, path, body))


class InstallTest(terminal.TerminalMixin, base.CloudTestCase):

    PAGE = ('install', 'index.rst')

    def test_install(self):
        self.boot(host='host1')
        for engine in self.engines().values():
            fixture.drop_tables(engine)
        # Not pip.
        self.follow('Install', first=-2)
        self.assertEqual([], self.listed('audit', '--older-than', '0s')[1])


class UpgradeTest(terminal.TerminalMixin, base.CloudTestCase):

    PAGE = ('admin', 'upgrade.rst')

    def test_check(self):
        self.boot(host='host1')
        self.follow('Whether')


class BuildingTest(terminal.TerminalMixin, test_list_servers.ListTestCase):

    PAGE = ('admin', 'building.rst')
    TABLES = tuple(('api', table) for table in (
        'request_specs', 'instance_mappings', 'build_requests',
        'build_request', 'request_spec')) + (
            ('cell', 'instances'), ('cell', 'request_spec'))

    def setUp(self):
        super().setUp()
        self.points = self.in_the_page()
        self.seen = {}

    def in_the_page(self):
        """Return {point: what there is in each of TABLES, and the status}."""
        lines = pages.read(*self.PAGE).split('.. csv-table::')[1].split(
            '\n\n')[1].splitlines()
        return {point: values for point, *values in csv.reader(
            lines, skipinitialspace=True, delimiter=',')}

    def look(self, point, server_id, cell='cell1'):
        found = self.everything(server_id)
        counts = [str(found.pop((cell if kind == 'cell' else kind, table), 0))
                  for kind, table in self.TABLES]
        self.assertEqual({}, found, point)
        try:
            status = self.api.get_server(server_id)['status']
        except client.OpenStackApiNotFoundException:
            status = 'none'
        self.seen[point] = counts + [status]

    def test_build(self):
        with self.held_builds() as let_go, contextlib.ExitStack() as stack:
            server_id = self.accept(host='host1')['id']
            self.look('accepted', server_id)
            for point, moment, step in (
                    ('scheduled', self.after, '_schedule_instances'),
                    ('written', self.before, '_map_instance_to_cell'),
                    ('built', self.after, '_delete_build_request'),
                    ('landed', self.before, '_delete_build_request')):
                stack.enter_context(moment(
                    step, lambda point=point: self.look(point, server_id)))
            let_go()
            self._wait_for_state_change({'id': server_id}, 'ACTIVE')
        self.look('active', server_id)
        self.follow('To see', SERVER=server_id)
        self.refused()
        self.deleted()
        self.assertEqual(self.points, self.seen)

    def refused(self):
        with self.no_host():
            server_id = self.accept()['id']
            self.wait_until_buried({'id': server_id})
        self.look('refused', server_id, 'cell0')

    def deleted(self):
        with self.held_builds() as let_go:
            server_id = self.accept()['id']
            self.api.delete_server(server_id)
            self.look('deleted while it is accepted', server_id)
            let_go()
            self._wait_for_assert(lambda: self.assertEqual(
                {}, self.everything(server_id)))
        self.look('and once the super-conductor has seen it', server_id)

    def after(self, step, function):
        """Have a function called after a step of the super-conductor."""
        stock = getattr(manager.ComputeTaskManager, step)

        def then(*args, **kwargs):
            result = stock(*args, **kwargs)
            function()
            return result

        return fixtures.MonkeyPatch(
            'nova.conductor.manager.ComputeTaskManager.' + step, then)
