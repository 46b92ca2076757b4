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

"""Nova's archive_deleted_rows and purge, with our tables in every database."""

import contextlib
import io

import sqlalchemy as sa

from nova.cmd import manage

from nova_cells_persist.db import models
from nova_cells_persist import fixture
from tests.functional import base


class ArchiveTestCase(base.CloudTestCase):

    def manage(self, verb, **kwargs):
        """Run a verb of ``nova-manage db`` on every cell.

        :returns: (exit status, output)
        """
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = getattr(manage.DbCommands(), verb)(
                all_cells=True, verbose=True, **kwargs)
        return status, output.getvalue()

    def archive(self, **kwargs):
        status, output = self.manage('archive_deleted_rows',
                                     until_complete=True, **kwargs)
        self.assertEqual(1, status, output)
        return output

    def contents(self, server_id):
        """Return all rows of a server in our tables and in Nova's specs."""
        found = {'api': [self.rows(table, server_id) for table in (
            'request_spec', 'build_request', 'request_specs',
            'build_requests', 'instance_mappings')]}
        for cell in self.cell_mappings:
            found[cell] = self.rows('request_spec', server_id, cell)
        return found

    def shadows(self, server_id, cell):
        with self.engine(cell).connect() as connection:
            return connection.execute(
                sa.text('SELECT count(*) FROM shadow_instances '
                        'WHERE uuid = :uuid'), {'uuid': server_id}).scalar()

    def test_without_tables(self):
        """The last nova.conf to lose the plugin is that of nova-manage."""
        server = self.boot(host='host1')
        self._delete_server(server)
        for engine in self.engines().values():
            fixture.drop_tables(engine)
        self.archive()
        self.assertEqual(1, self.shadows(server['id'], 'cell1'))
        for table in ('instance_mappings', 'request_specs'):
            self.assertEqual([], self.rows(table, server['id']))

    def test_instances_mapped_without_tables(self):
        for _ in range(2):
            self.boot(host='host1')
        for engine in self.engines().values():
            fixture.drop_tables(engine)
        for _ in range(2):   # the second one deletes the mark of the first
            self.map_one_instance()

    def test_server_in_two_cells(self):
        """Of which one is deleted: the other one can be rebuilt as it was."""
        server_id = self.boot(host='host1')['id']
        kept = self.contents(server_id)
        self.put_in_two_cells(server_id)
        self.execute('UPDATE instances SET deleted = id, deleted_at = '
                     'created_at WHERE uuid = :uuid', 'cell2', uuid=server_id)
        self.archive()
        self.assertEqual([], self.rows('instance_mappings', server_id))
        self.assertEqual(kept['cell1'], self.contents(server_id)['cell1'])

    def test_servers_in_cells(self):
        living = [self.boot(host=host)['id'] for host in self.HOSTS]
        dead = {}
        for host, cell in self.HOSTS.items():
            server = self.boot(host=host)
            self._delete_server(server)
            dead[server['id']] = cell
        before = [self.contents(server_id) for server_id in living]
        for server_id, cell in dead.items():
            # What the archiving is to remove.
            left = self.everything(server_id)
            self.assertIn((cell, 'request_spec'), left)
            self.assertIn(('api', 'request_specs'), left)

        everything = [self.contents(server_id) for server_id in dead]
        status, output = self.manage('archive_deleted_rows',
                                     before='2000-01-01')
        self.assertEqual(0, status, output)
        self.assertEqual(everything, [self.contents(server_id)
                                      for server_id in dead])

        output = self.archive()

        for name in models.TABLE_NAMES:
            self.assertNotIn('.%s ' % name, output)
        self.assertEqual(before, [self.contents(server_id)
                                  for server_id in living])
        for server_id, cell in zip(living, self.HOSTS.values()):
            self.assertIn((cell, 'request_spec'), self.everything(server_id))
        for server_id, cell in dead.items():
            self.assertEqual({}, self.everything(server_id))
            self.assertEqual(1, self.shadows(server_id, cell))

        status, output = self.manage('purge', purge_all=True)
        self.assertEqual(0, status, output)
        for server_id, cell in dead.items():
            self.assertEqual(0, self.shadows(server_id, cell))
        self.assertEqual(before, [self.contents(server_id)
                                  for server_id in living])

    def test_server_in_cell0(self):
        server = self._build_server(networks='none', az='nova:nowhere')
        server = self.api.post_server({'server': server})
        server = self.wait_until_buried(server)
        self.assertIn(('cell0', 'request_spec'),
                      self.everything(server['id']))
        kept = self.contents(server['id'])
        # Of one that is deleted there is a row to archive.
        other = self.boot(host='host1')
        self._delete_server(other)
        self.archive()
        self.assertEqual(kept, self.contents(server['id']))

        self._delete_server(server)
        self.archive()
        self.assertEqual({}, self.everything(server['id']))
        self.assertEqual(1, self.shadows(server['id'], 'cell0'))

    def test_build_in_flight(self):
        gone = self.boot(host='host1')
        self._delete_server(gone)
        with self.held_builds() as let_go:
            server = self.accept()
            before = self.contents(server['id'])
            self.assertEqual({('api', 'build_request'): 1,
                              ('api', 'build_requests'): 1,
                              ('api', 'request_spec'): 1,
                              ('api', 'request_specs'): 1,
                              ('api', 'instance_mappings'): 1},
                             self.everything(server['id']))
            self.assertIn('running purge', self.archive(purge=True))
            self.assertEqual({}, self.everything(gone['id']))
            self.assertEqual(0, self.shadows(gone['id'], 'cell1'))
            self.assertEqual(before, self.contents(server['id']))
            let_go()
        self._wait_for_state_change(server, 'ACTIVE')
