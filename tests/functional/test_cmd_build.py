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

"""nova-cells-persist build, on the servers of a cloud that runs."""

import base64
import os

import fixtures

from nova import objects

from nova_cells_persist.objects import build_request

from tests.functional import base
from tests.functional import command

SECRET = 'the password is 12345'


class BuildMixin(command.CommandMixin):

    def accept_some(self, *names):
        with self.held_builds():
            return [self.accept({
                'name': name, 'metadata': {'role': 'web'},
                'user_data': base64.b64encode(SECRET.encode()).decode(),
                'adminPass': SECRET})['id'] for name in names]

    def made_old(self, server_id):
        for table in ('build_request', 'build_requests'):
            self.execute("UPDATE %s SET created_at = '2020-01-01 00:00:00' "
                         'WHERE instance_uuid = :uuid' % table,
                         uuid=server_id)


class BuildTestCase(BuildMixin, base.CloudTestCase):

    def test_list(self):
        self.boot(host='host1')
        self.assertEqual([], self.asked('build', 'list'))
        first, second = self.accept_some('one', 'two')
        found = self.asked('build', 'list')
        self.assertEqual([(first, 'one'), (second, 'two')],
                         [(row['Server'], row['Name']) for row in found])
        row = found[0]
        self.assertIn(row.pop('Age'), range(100))
        self.assertEqual({
            'Server': first, 'Project': self.api.project_id, 'Name': 'one',
            'Flavor': self.flavors[0]['name'], 'Zone': None,
            'Image': '155d900f-4e14-4e4c-a73d-069cbf4541e6',
            'State': 'building/scheduling', 'Mapping': 'no cell'}, row)

    def test_list_of_some(self):
        old, young = self.accept_some('old', 'young')
        self.made_old(old)
        for argv, expected in (
                (['--older-than', '10m'], [old]),
                (['--older-than', '0'], [old, young]),
                (['--project', self.api.project_id], [old, young]),
                (['--project', 'nobody'], [])):
            self.assertEqual(expected, [row['Server'] for row in self.asked(
                'build', 'list', *argv)])
        for text in ('soon', '-1', '1w', ''):
            status, _, stderr = self.command('build', 'list',
                                             '--older-than=' + text)
            self.assertEqual(127, status)
            self.assertIn('%r is no duration' % text, stderr)

    def test_accepted_by_a_node_without_the_plugin(self):
        with fixtures.MonkeyPatch(
                'nova_cells_persist.objects.build_request.BuildRequest.'
                '_create_in_db', build_request.stock.BuildRequest.
                _create_in_db):
            server_id, = self.accept_some('one')
        before = self.everything(server_id)
        row, = self.asked('build', 'list')
        self.assertEqual((server_id, 'one', self.flavors[0]['name']),
                         (row['Server'], row['Name'], row['Flavor']))
        self.assertEqual('build_requests',
                         self.asked('build', 'show', server_id)['table'])
        self.assertEqual(before, self.everything(server_id))

    def test_show(self):
        server_id, = self.accept_some('one')
        found = self.asked('build', 'show', server_id)
        self.assertEqual(
            (server_id, 'one', 'no cell', self.flavors[0]['name'],
             '%d bytes' % len(base64.b64encode(SECRET.encode()))),
            tuple(found[name] for name in (
                'uuid', 'name', 'mapping', 'spec.flavor.name', 'user_data')))

    def test_shows_no_secret(self):
        server_id, = self.accept_some('one')
        for argv in (['list'], ['show', server_id], ['explain', server_id]):
            _, stdout, stderr = self.command('build', *argv, '-f', 'json')
            for secret in (SECRET, base64.b64encode(SECRET.encode())):
                self.assertNotIn(str(secret), stdout + stderr)

    def test_show_without_its_spec(self):
        server_id, = self.accept_some('one')
        self.execute('DELETE FROM request_specs')
        self.assertEqual('missing',
                         self.asked('build', 'show', server_id)['spec'])
        self.assertEqual(1, len(self.asked('build', 'list')))

    def test_show_of_what_is_no_build(self):
        server = self.boot(host='host1')
        status, _, stderr = self.command('build', 'show', server['id'])
        self.assertEqual(2, status)
        self.assertIn('is not being built', stderr)


class ExplainTestCase(BuildMixin, base.CloudTestCase):

    def explained(self, server_id, *argv, status=0):
        """Return [(database, what)]."""
        found, rows = self.listed('build', 'explain', server_id, *argv)
        self.assertEqual(status, found, rows)
        times = [row['Time'] for row in rows if row['Time']]
        self.assertEqual(sorted(times), times)
        return [(row['Database'], row['What']) for row in rows]

    def test_what_it_proposes(self):
        server_id, = self.accept_some('one')
        story = self.explained(server_id, '--older-than', '0s', status=1)
        command = story[-1][1].partition('nova-cells-persist ')[2].split()
        status, rows = self.listed(*command, '--undo-file', os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'undo'))
        self.assertEqual((0, ['mended']),
                         (status, [row['Result'] for row in rows]))
        self.explained(server_id, '--older-than', '0s')

    def test_of_a_healthy_server(self):
        self._start_compute('host2', cell_name='cell1')
        server = self.boot(host='host1')
        self._resize_server(server, self.flavors[1]['id'])
        self._confirm_resize(server)
        self._wait_for_assert(lambda: self.assertEqual(
            2, len(self.revisions(server['id'], 'cell1'))))
        story = self.explained(server['id'])
        cell = 'database of cell cell1'
        # In the same second there is no order.
        for each in (
                ('API database', 'request spec saved in request_specs'),
                ('API database', 'mapping is now to cell1'),
                (cell, 'revision 1 of the request spec (create)'),
                (cell, 'instance made'), (cell, 'launched'),
                (cell, 'action create'),
                (cell, 'compute__do_build_and_run_instance on host1: '
                 'Success'),
                (cell, 'action resize'),
                (cell, 'resize from host1 to host2 begun'),
                (cell, 'that resize is confirmed'),
                (cell, 'revision 2 of the request spec (resize)'),
                (cell, 'instance is now active, task none, on host host2')):
            self.assertIn(each, story)

    def test_of_a_build_that_is_lost(self):
        server_id, = self.accept_some('one')
        self.made_old(server_id)
        self.assertNotIn('all', [each[0]
                                 for each in self.explained(server_id)])
        story = self.explained(server_id, '--older-than', '0s', status=1)
        self.assertEqual(
            ('API database', 'accepted, and kept as a build in '
             'build_request'), story[0])
        self.assertEqual(
            ('all', 'stuck-build: accepted at 2020-01-01 00:00:00, and in no '
             'cell. To bury it in cell0 as ERROR, where its owner can delete '
             'it, once no super-conductor has it in its queue: '
             'nova-cells-persist heal stuck-build --server %s '
             '--older-than 0s --yes' % server_id), story[-1])

    def test_of_what_is_mended_by_hand(self):
        server_id = self.boot(host='host1')['id']
        self.put_in_two_cells(server_id)
        _, what = self.explained(server_id, '--older-than', '0s',
                                 status=1)[-1]
        self.assertIn('two-cells: in cell cell1 (host host1) and', what)
        self.assertTrue(what.endswith(
            '. To do by hand: see where it runs, and delete the row of the '
            'other one from its cell: one that is only marked as deleted '
            'takes the mapping with it when it is archived.'), what)
        self.assertNotIn('nova-cells-persist', what)

    def test_of_a_request_spec_that_differs(self):
        server_id = self.boot(host='host1')['id']
        spec = self.spec(server_id)
        spec.flavor = objects.Flavor.get_by_flavor_id(
            self.context, self.flavors[1]['id'])
        spec.save()
        _, what = self.explained(server_id, '--older-than', '0s',
                                 status=1)[-1]
        self.assertEqual(
            'spec-differs: other than the server in: flavor. To take that '
            'over from the server, as "spec sync --field flavor" does: '
            'nova-cells-persist heal spec-differs --server %s --older-than '
            '0s --yes' % server_id, what)

    def test_of_nobody(self):
        for verb in ('explain', 'show'):
            status, _, stderr = self.command('build', verb, 'nobody')
            self.assertEqual(127, status)
            self.assertIn("argument UUID: 'nobody' is no uuid", stderr)
