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

"""A service starts with the tables it needs; Nova's own tools start always."""

import os

from nova_cells_persist.db import migrators
from nova_cells_persist.db import models
from nova_cells_persist import releases
from tests.functional import process
from tests.functional import test_enabling

SYNC = 'Run "nova-cells-persist db sync", then start the service again.'

#: Somebody has changed Nova.
WITHOUT_RESIZE = '''
import wrapt


def change(module):
    del module.API.resize


wrapt.register_post_import_hook(change, 'nova.compute.api')
'''


class TablesTestCase(test_enabling.EnablingTestCase):

    def setUp(self):
        super().setUp()
        self.bare, self.ready, self.steps = process.new_cloud()
        self.deployment.options['placement'] = process.DEAD_PLACEMENT

    def start_all(self):
        """Start what needs the tables: conductor, and nova-api in any form."""
        programs = ['nova-conductor', process.WSGI]
        if os.path.exists(process.scripts('nova-api')):
            programs.append('nova-api')
        return [self.deployment.start(program) for program in programs]

    def note(self, database, version):
        """Note a version of the tables, None for none."""
        if releases.nova_release() >= migrators.FIRST_WITH_ALEMBIC:
            table, column = models.ALEMBIC_VERSION_TABLE, 'version_num'
        else:
            table, column = models.MIGRATE_VERSION_TABLE, 'version'
            version = version or 0
        if version is None:
            self.deployment.execute(database, 'DELETE FROM %s' % table)
        else:
            self.deployment.execute(
                database, 'UPDATE %s SET %s = ?' % (table, column), version)

    def cell_uuid(self, name):
        return self.deployment.query(
            'api', 'SELECT uuid FROM cell_mappings WHERE name = ?', name)

    def test_a_new_cloud_is_set_up_with_the_plugin_on(self):
        for command, result in self.steps:
            self.assertEqual(0, result.status, (command, result))
            self.assertNotIn('Traceback', result.output + result.errors)

    def test_services_refuse_without_tables(self):
        self.deployment.copy_databases(self.bare)
        for service in self.start_all():
            self.assertRefused(
                service.wait(), 'in the API database are at version none',
                SYNC)

    def test_conductor_of_a_cell_refuses_without_tables(self):
        self.deployment.copy_databases(self.bare)
        del self.deployment.options['api_database']
        self.assertRefused(
            self.deployment.run('nova-conductor'),
            'in the database of this cell are at version none', SYNC)

    def test_tools_run_without_tables(self):
        self.deployment.copy_databases(self.bare)
        del self.deployment.options['placement']   # nova-status asks it
        manage = self.deployment.start('nova-manage', 'cell_v2', 'list_cells')
        status = self.deployment.start('nova-status', 'upgrade', 'check')
        result = manage.wait()
        self.assertSucceeded(result)
        self.assertIn('cell1', result.output)
        self.assertIn(test_enabling.ON, manage.log())
        result = status.wait()
        self.assertIn('Check: Cells v2', result.output)
        self.assertNotIn('Error:', result.output)

    def test_services_start(self):
        self.deployment.copy_databases(self.ready)
        conductor, wsgi, *server = self.start_all()
        for service in [conductor, wsgi] + server:
            service.wait_for_log(test_enabling.ON)
        conductor.wait_for_log('Starting conductor node')
        for one in server:
            one.wait_for_log('osapi_compute listening on')
        result = wsgi.wait()
        self.assertSucceeded(result)
        self.assertEqual('200 OK\n', result.output)

    def test_conductor_of_a_cell_starts(self):
        self.deployment.copy_databases(self.ready)
        del self.deployment.options['api_database']
        conductor = self.deployment.start('nova-conductor')
        conductor.wait_for_log('Starting conductor node')

    def test_services_refuse_outdated_tables_of_a_cell(self):
        self.deployment.copy_databases(self.ready)
        self.note('cell1', None)
        for service in self.start_all():
            self.assertRefused(
                service.wait(), 'in the database of cell %s are at version '
                'none' % self.cell_uuid('cell1'), SYNC)

    def test_services_refuse_tables_that_are_ahead(self):
        self.deployment.copy_databases(self.ready)
        self.note('api', '999')
        for service in self.start_all():
            self.assertRefused(
                service.wait(), 'in the API database are at version 999',
                'A newer nova-cells-persist has been here')

    def test_a_cell_that_is_down_keeps_no_service_from_starting(self):
        self.deployment.copy_databases(self.ready)
        os.unlink(self.deployment.database('cell1'))
        os.mkdir(self.deployment.database('cell1'))
        self.deployment.options['database'] = {
            'connection': self.deployment.url('cell0')}
        conductor = self.deployment.start('nova-conductor')
        self.assertIn(self.cell_uuid('cell1'),
                      conductor.wait_for_log('could not be checked'))
        conductor.wait_for_log('Starting conductor node')

    def test_changed_nova(self):
        # Seen when the module is imported, long after the parse.
        self.deployment.copy_databases(self.ready)
        self.deployment.customize(WITHOUT_RESIZE)
        self.deployment.put('twice.py', test_enabling.TWICE)
        self.assertRefused(self.deployment.run(process.WSGI),
                           'nova.compute.api has no API.resize',
                           'Run an unmodified Nova')
        result = self.deployment.run('twice.py')
        lines = result.output.splitlines()
        self.assertEqual(2, len(lines), result)
        for line in lines:
            self.assertIn('ended: nova-cells-persist', line)
            self.assertIn('API.resize', line)
