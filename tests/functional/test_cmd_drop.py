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

"""nova-cells-persist db drop, in a cloud that would lose something by it."""

from tests.functional import base
from tests.functional import command

DROP = ('db', 'drop', '--yes')


class DropTestCase(command.CommandMixin, base.CloudTestCase):

    def refused(self, name, what, *argv):
        status, stdout, stderr = self.command(*DROP, *argv)
        self.assertEqual((2, ''), (status, stdout))
        error, = stderr.splitlines()
        self.assertIn('The %s has what Nova has nowhere: %s. Nothing was '
                      'dropped anywhere.' % (name, what), error)

    def dropped(self, *argv):
        status, stdout, stderr = self.command(*DROP, *argv)
        self.assertEqual((0, ''), (status, stderr))
        self.assertEqual(4, stdout.count('dropped'), stdout)

    def test_builds_that_nova_has_no_row_of(self):
        self.boot(host='host1')
        self.flags(mirror_build_requests=False, group='cells_persist')
        with self.held_builds():
            ids = [self.accept()['id'] for _ in range(2)]
            self.refused('API database',
                         '2 builds in flight that Nova has no row of')
            self.refused('API database',
                         '2 builds in flight that Nova has no row of',
                         '--api')
            for server_id in ids:
                self.assertEqual(
                    1, len(self.rows('build_request', server_id)))
                self.assertEqual('BUILD',
                                 self.api.get_server(server_id)['status'])
            self.dropped('--force')

    def test_builds_with_a_mirror(self):
        self.boot(host='host1')
        with self.held_builds():
            self.accept()
            self.dropped()

    def test_pending_revisions(self):
        server_id = self.boot(host='host1')['id']
        with self.cell_level('cell1') as context:
            spec = self.spec(server_id, context)
            spec.num_instances = 2
            spec.save()
        self.refused('database of cell cell1',
                     '1 servers with a revision that is pending')
        # What is pending in the history only was written later, or lost.
        with self.targeted('cell1') as context:
            spec = self.spec(server_id, context)
            spec.num_instances = 3
            spec.save()
        self.dropped()
