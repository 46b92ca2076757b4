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

"""nova-cells-persist-status upgrade check, in a cloud that runs."""

import contextlib
import io
import json

import fixtures
from oslo_config import cfg

from nova_cells_persist.cmd import status
from nova_cells_persist.reconcile import audit

from tests.functional import base
from tests.functional import command

CONF = cfg.CONF


class StatusTestCase(command.CommandMixin, base.CloudTestCase):

    def setUp(self):
        super().setUp()
        self.ids = [self.boot(host=host)['id'] for host in ('host1', 'host3')]

    def check(self, code=0, **chosen):
        """Return {check: details} of those that are no success."""
        stdout = io.StringIO()
        group = fixtures.MonkeyPatch(
            'nova_cells_persist.cmd.status._drivers',
            lambda: chosen.get('drivers', ['nova_cells_persist']))
        everywhere = fixtures.MonkeyPatch(
            'nova_cells_persist.cmd.status._is_everywhere',
            lambda: chosen.get('everywhere', False))
        empty = fixtures.MonkeyPatch(
            'nova_cells_persist.cmd.status._empty_cells',
            lambda: chosen.get('empty', []))
        status._outcome.cache_clear()
        checks = status.Checks()
        with contextlib.redirect_stdout(stdout), group, everywhere, \
                empty, fixtures.MonkeyPatch(
                    'oslo_upgradecheck.upgradecheck.CONF', AsJson):
            self.assertEqual(code, checks.check(), stdout.getvalue())
        return {each['check']: each['details'] for each in
                json.loads(stdout.getvalue())['checks'] if each['result']}

    def test_all_is_well(self):
        self.assertEqual({}, self.check())

    def test_not_in_the_configuration(self):
        found = self.check(2, drivers=[])
        self.assertEqual(['Plugin in this configuration'], list(found))

    def test_no_table(self):
        self.execute('DROP TABLE build_request')
        found = self.check(2)
        self.assertIn('API database',
                      found['Tables in every database'].replace('\n ', ''))

    def test_dead_cell(self):
        passes, begin = [], audit.Cloud.__init__

        def counted(*args):
            passes.append(args)
            begin(*args)

        with self.dead_cell('cell2'), fixtures.MonkeyPatch(
                'nova_cells_persist.reconcile.audit.Cloud.__init__', counted):
            found = self.check(2)
        self.assertEqual(1, len(passes))
        self.assertEqual({'Backfill', 'Readable rows', 'Orphans',
                          'Safe to remove'} - set(found), set())
        for details in found.values():
            self.assertIn('cell2', details)

    def test_backfill(self):
        self.execute('DELETE FROM request_spec', 'cell1')
        found = self.check(1)
        self.assertEqual(['Backfill'], list(found))
        self.assertIn('1 servers have no copy of their request spec',
                      found['Backfill'].replace('\n ', ''))

    def test_unreadable(self):
        self.execute("UPDATE request_specs SET spec = '{' "
                     'WHERE instance_uuid = :uuid', uuid=self.ids[0])
        self.assertEqual(['Readable rows', 'Safe to remove'],
                         list(self.check(2)))

    def test_unreadable_build(self):
        with self.held_builds():
            uuid = self.accept()['id']
        for table, column, value, code, expected in (
                # Which the plugin does not read as long as its own is whole.
                ('build_requests', 'instance', '{', 1,
                 {'Safe to remove': '1 unreadable-mirror'}),
                ('build_request', 'request_obj', '[]', 2,
                 {'Readable rows': '1 unreadable-build',
                  'Safe to remove': '1 unreadable-mirror'})):
            self.execute('UPDATE %s SET %s = :value' % (table, column),
                         value=value)
            found = self.check(code)
            self.assertEqual(set(expected), set(found))
            for check, details in expected.items():
                self.assertIn(details, found[check].replace('\n ', ''))
        self.assertEqual('unreadable-build', self.listed(
            'audit', '--older-than', '0s', '--server', uuid)[1][0]['Code'])

    def test_orphans(self):
        self.lose_instance(self.boot(host='host1')['id'], 'cell1')
        self.assertEqual({}, self.check())
        with fixtures.MonkeyPatch('nova_cells_persist.cmd.status.ORPHANS', 0):
            details = self.check(1)['Orphans'].replace('\n ', '')
        self.assertIn('1 orphaned-mapping', details)
        self.assertIn('purge --yes', details)

    def test_cell_that_has_been_drained(self):
        lost = self.ids[1]
        self.lose_instance(lost, 'cell2')
        found = self.check(2)
        self.assertEqual({'Backfill', 'Readable rows', 'Orphans',
                          'Safe to remove'}, set(found))
        for details in found.values():
            self.assertIn('"--empty-cell cell2"',
                          details.replace('\n ', ''))
        self.assertEqual({}, self.check(empty=['cell2']))
        # What is said of one server needs no such faith.
        code, rows = self.listed('build', 'explain', lost,
                                 '--older-than', '0s')
        self.assertEqual(1, code)
        self.assertIn('orphaned-mapping: mapped to cell cell2',
                      rows[-1]['What'])
        command = rows[-1]['What'].partition('nova-cells-persist ')[2]
        status, _, stderr = self.command(*command.split())
        self.assertEqual(2, status)
        self.assertIn('"--empty-cell cell2"', stderr)

    def test_not_safe_to_remove(self):
        for server_id, cell in zip(self.ids, ('cell1', 'cell2')):
            with self.cell_level(cell) as context:
                spec = self.spec(server_id, context)
                spec.num_instances = 2
                spec.save()
        self.execute('UPDATE request_specs SET spec = REPLACE(spec, :old, '
                     ':new) WHERE instance_uuid = :uuid', uuid=self.ids[1],
                     old='"num_instances":1', new='"num_instances":3')
        self.flags(mirror_build_requests=False, group='cells_persist')
        with self.held_builds():
            self.accept()
            found = self.check(1, everywhere=True)
        self.assertEqual(['Safe to remove'], list(found))
        details = found['Safe to remove'].replace('\n ', '')
        self.assertIn('1 build-without-mirror, 1 conflicting-revision, '
                      '1 pending-revision', details)
        self.assertIn('heal missing-spec unreadable-spec pending-revision '
                      'conflicting-revision --yes', details)

    def test_mirror_is_off(self):
        self.flags(mirror_build_requests=False, group='cells_persist')
        found = self.check(1)
        self.assertEqual(['Mirror of builds'], list(found))
        self.assertIn('--all-nodes-have-plugin',
                      found['Mirror of builds'].replace('\n ', ''))
        self.assertEqual({}, self.check(everywhere=True))

    def test_mirror_is_off_and_a_service_has_no_plugin(self):
        # As nova-api, or the super-conductor, would have it.
        for mirror, table, trace in (
                (True, 'build_request', '1 accepted-without-plugin'),
                (True, 'build_requests', '1 removed-without-plugin'),
                (False, 'instance_mappings', '1 dropped-without-plugin')):
            self.flags(mirror_build_requests=mirror, group='cells_persist')
            with self.held_builds():
                uuid = self.accept()['id']
            self.execute('DELETE FROM %s WHERE instance_uuid = :uuid' % table,
                         uuid=uuid)
            self.flags(mirror_build_requests=True, group='cells_persist')
            self.assertEqual(0, status.Checks()._mirror().code)
            self.flags(mirror_build_requests=False, group='cells_persist')
            found = self.check(2, everywhere=True)
            details = found['Mirror of builds'].replace('\n ', '')
            self.assertIn(trace, details)
            self.assertIn('heal --yes', details)
            for each in ('build_request', 'build_requests'):
                self.execute('DELETE FROM %s' % each)


class AsJson:
    class command:
        json = True
