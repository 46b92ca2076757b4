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

import sqlalchemy as sa

from nova import objects
from nova.objects import request_spec as stock
from nova import test

from nova_cells_persist.db import models
from nova_cells_persist import fixture
from nova_cells_persist import plugin


class CellsPersistFixtureTest(test.TestCase):
    """As somebody else's test would use it."""

    NUMBER_OF_CELLS = 2

    def tables(self):
        """Return {database: names of the plugin's tables in it}."""
        from nova import context
        from nova.db.api import api as api_db_api
        from nova.db.main import api as main_db_api
        engines = {'api': api_db_api.get_engine()}
        for name, cell in self.cell_mappings.items():
            with context.target_cell(context.get_admin_context(),
                                     cell) as cctxt:
                engines[name] = main_db_api.get_engine(context=cctxt)
        return {name: models.TABLE_NAMES & set(
                    sa.inspect(engine).get_table_names())
                for name, engine in engines.items()}

    def test_on_and_off(self):
        stock_tables = dict.fromkeys(['api', 'cell0', 'cell1', 'cell2'],
                                     frozenset())
        self.assertEqual(stock_tables, self.tables())
        with fixture.CellsPersistFixture():
            self.assertTrue(plugin.is_loaded())
            self.assertIsNot(stock.RequestSpec, objects.RequestSpec)
            for name, tables in self.tables().items():
                self.assertIn('request_spec', tables)
                self.assertEqual(name == 'api', 'build_request' in tables)
        self.assertFalse(plugin.is_loaded())
        self.assertIs(stock.RequestSpec, objects.RequestSpec)
        self.assertEqual(stock_tables, self.tables())

    def test_leaves_on_what_was_on(self):
        plugin.load()
        self.addCleanup(plugin.unload)
        with fixture.CellsPersistFixture():
            pass
        self.assertTrue(plugin.is_loaded())
