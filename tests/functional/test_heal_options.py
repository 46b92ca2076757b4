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

"""Which servers and how many audit and heal look at."""

from tests.functional import audited


class OptionsTest(audited.AuditTestCase):

    def test_grace(self):
        server_id = self.lose()
        self.api.delete_server(server_id)
        self.assertEqual((0, []), self.listed('audit'))
        for table in ('request_spec', 'request_specs'):
            self.execute(
                "UPDATE %s SET created_at = '2020-01-01 00:00:00' "
                'WHERE instance_uuid = :uuid' % table, uuid=server_id)
        self.assertEqual((0, []), self.listed('audit'))
        self.execute(
            "UPDATE instance_mappings SET created_at = '2020-01-01 00:00:00',"
            " updated_at = '2020-01-01 00:00:00' "
            'WHERE instance_uuid = :uuid', uuid=server_id)
        self.assertEqual(1, self.listed('audit')[0])

    def test_of_some_codes(self):
        lost, deleted = self.lose(), self.lose()
        self.api.delete_server(deleted)
        self.assertEqual([('deleted-build', deleted)],
                         self.audit('deleted-build'))
        self.assertEqual([('stuck-build', lost)],
                         self.audit('stuck-build', 'two-cells'))
        self.assertEqual([('stuck-build', 'mended')],
                         self.heal('stuck-build'))
        self.assertEqual([('deleted-build', deleted)], self.audit())
        status, _, stderr = self.command('audit', 'stuck')
        self.assertEqual(127, status)
        self.assertIn("'stuck'", stderr)

    def test_of_one_server(self):
        lost, _ = self.lose(), self.lose()
        for text in (lost, lost.upper()):
            self.assertEqual([('stuck-build', lost)],
                             self.audit('--server', text))
        self.assertEqual([('stuck-build', 'mended')],
                         self.heal('--server', lost.upper()))
        self.assertEqual([], self.audit('--server', lost))

    def test_of_no_server(self):
        """As a shell has it whose variable is not set."""
        before = self.everything(self.lose())
        for option in ('--server', '--after'):
            for verb in ('heal', 'purge'):
                status, stdout, stderr = self.command(
                    verb, *audited.NOW, '--yes', '--undo-file', self.undo_file,
                    option, '')
                self.assertEqual((127, ''), (status, stdout))
                self.assertIn("'' is no uuid", stderr)
        self.assertEqual(before, self.everything(self.audit()[0][1]))

    def test_time_that_is_none(self):
        for argv in (('audit', '--sleep', '-1'), ('backfill', '--sleep=-1'),
                     ('audit', '--older-than', '900000d'),
                     ('build', 'list', '--older-than', '900000d')):
            status, stdout, stderr = self.command(*argv)
            self.assertEqual((127, ''), (status, stdout), argv)
            self.assertIn('error: argument --', stderr)

    def test_of_nobody(self):
        nobody = '00000000-1111-2222-3333-444444444444'
        for argv in (('audit',), ('heal', '--yes'), ('build', 'explain')):
            status, stdout, stderr = self.command(
                *argv, *(() if argv[0] == 'build' else ['--server']), nobody)
            self.assertEqual((2, ''), (status, stdout))
            self.assertEqual('No database that this nova.conf knows has '
                             'anything of server %s. Check the uuid.\n' %
                             nobody, stderr)

    def test_shows_so_many_and_counts_all(self):
        for _ in range(3):
            self.deleted()
        status, stdout, stderr = self.command(
            'audit', *audited.NOW, '--show', '2', '-f', 'value')
        self.assertEqual((1, 2), (status, len(stdout.splitlines())))
        self.assertIn('3 deleted-build', stderr)
