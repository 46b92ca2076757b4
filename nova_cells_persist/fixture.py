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

"""Fixtures for tests that run Nova with the plugin on it."""

import fixtures
import wrapt

from nova_cells_persist import plugin


class CellsPersistFixture(fixtures.Fixture):
    """Put the plugin on for one test.

    Used after Nova's own database fixtures, and before any service starts:
    it makes the tables of the plugin in the API database and in the database
    of every cell that is mapped by then, and drops them when the test is
    over. A plugin that was on before stays on.
    """

    def _setUp(self):
        if not plugin.is_loaded():
            plugin.load()
            self.addCleanup(plugin.unload)
        from nova import context
        from nova_cells_persist.db import cell_mapping
        from nova_cells_persist.db import database

        self._make(database.API, database.api_engine())
        admin = context.get_admin_context()
        for cell in cell_mapping.get_all(admin):
            with context.target_cell(admin, cell) as cctxt:
                self._make(database.CELL, database.engine(cctxt))

    def _make(self, kind, engine):
        make_tables(kind, engine)
        self.addCleanup(drop_tables, engine)


def make_tables(kind, engine):
    """Make the tables as a migration would, in a fraction of the time.

    :param kind: 'api' or 'cell'
    """
    from nova_cells_persist.db import migration
    from nova_cells_persist.db import models
    schema = migration.Schema(kind, 'test database', engine)
    models.metadata_of(kind).create_all(engine)
    schema.note_current()


def drop_tables(engine):
    """Drop whatever tables of the plugin there are."""
    from nova_cells_persist.db import migration
    migration.drop_tables(engine)


def plug_into_nova_tests():
    """Put the plugin on Nova's own tests, for the rest of the process.

    Every database that Nova's fixtures make gets our tables too. They keep
    the schema that Nova's migrations have made once, and make each further
    database from that; ours are in it.
    """
    plugin.load()
    wrapt.wrap_function_wrapper('nova.db.migration', 'db_sync', _sync_ours)


def _sync_ours(wrapped, instance, args, kwargs):
    result = wrapped(*args, **kwargs)
    _make_ours(*args, **kwargs)
    return result


def _make_ours(version=None, database='main', context=None):
    from nova.db import migration as nova_migration
    from nova_cells_persist.db import database as db
    make_tables(db.API if database == 'api' else db.CELL,
                nova_migration._get_engine(database, context=context))
