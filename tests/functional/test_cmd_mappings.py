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

"""The commands, where a cell mapping has a URL that is none."""

import fixtures

from tests.functional import deployment

SERVER = '0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9'

SAID = {
    'database': 'The database of cell typo cannot be used: its connection is '
                'no URL that SQLAlchemy can parse. Mend that, then run the '
                'command again.',
    'transport': 'The transport_url in the mapping of cell typo cannot be '
                 'used: ',
}


class MappingTestCase(deployment.CommandTestCase):

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch('nova.context.CELL_CACHE', {}))
        self.make_nova_tables()
        self.succeed('db', 'sync')

    def map_typo(self, connection=None, transport='fake:/'):
        self.map_cell('typo', connection or self.url('typo'), transport)
        self.execute('api', 'INSERT INTO instance_mappings (instance_uuid, '
                     "project_id, cell_id) SELECT '%s', 'p', id FROM "
                     "cell_mappings WHERE name = 'typo'" % SERVER)

    def assert_each_says(self, sentence):
        for argv in (['audit'], ['heal', '--yes'], ['backfill'],
                     ['audit', '--server', SERVER],
                     ['build', 'explain', SERVER], ['spec', 'show', SERVER],
                     ['spec', 'restore', SERVER]):
            output, errors = self.fail(*argv)
            self.assertEqual([], output)
            # stevedore may have said before that there is no such driver.
            self.assertIn(sentence, errors[-1], argv)

    def test_port_that_is_part_of_a_password(self):
        self.map_typo('mysql+pymysql://nova:p@ss:s3cret@host/db')
        self.assert_each_says(SAID['database'])
        run = self.status('upgrade', 'check')
        self.assertEqual(2, run.returncode, run.stderr)
        said = ' '.join(run.stdout.replace('|', ' ').split())
        self.assertEqual(5, said.count('cell typo'), said)
        self.assertNotIn('s3cret', run.stdout + run.stderr)

    def test_host_that_is_part_of_a_password(self):
        self.map_typo(deployment.AT)
        run = self.status('upgrade', 'check')
        self.assertEqual(2, run.returncode, run.stderr)
        said = ' '.join(run.stdout.replace('|', ' ').split())
        self.assertIn("'***@127.0.0.1'", said)
        self.assertNotIn('s3cret', run.stdout + run.stderr)

    def test_no_url(self):
        self.map_typo('mysql+pymysql:nova:s3cret@db/nova')
        self.assert_each_says(SAID['database'])

    def test_transport(self):
        for transport in ('nonsense://nova:s3cret@host/',
                          'rabbit://nova:p@ss:s3cret@host:s3cret/',
                          'rabbit://nova:s3cret@[host/', 's3cret'):
            self.map_typo(transport=transport)
            self.assert_each_says(SAID['transport'])
            self.execute('api', 'DELETE FROM instance_mappings')
            self.execute('api', "DELETE FROM cell_mappings WHERE name = "
                         "'typo'")

    def test_api_database(self):
        self.write_conf(('api_database', 'mysql://n:p@ss:s3cret@host/db'),
                        ('database', self.url('cell0')))
        for argv in (['audit'], ['spec', 'show', SERVER], ['build', 'list']):
            _, errors = self.fail(*argv)
            self.assertEqual(
                ['The API database cannot be used: its connection is no URL '
                 'that SQLAlchemy can parse. Mend that, then run the command '
                 'again.'], errors)
        run = self.status('upgrade', 'check')
        self.assertEqual(2, run.returncode, run.stderr)
        self.assertNotIn('s3cret', run.stdout + run.stderr)
