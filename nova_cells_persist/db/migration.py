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

"""The tables of the plugin: make, look at, compare and drop them.

A Schema is the tables in one database.
"""

import os

from alembic import autogenerate
from alembic.runtime import migration as alembic_migration
from oslo_config import cfg
from oslo_log import log as logging
import sqlalchemy as sa
import stevedore

from nova import context as nova_context
from nova.db.main import api as main_db_api

from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import cell_mapping
from nova_cells_persist.db import collations
from nova_cells_persist.db import database
from nova_cells_persist.db import migrators
from nova_cells_persist.db import models
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist import exception
from nova_cells_persist import releases
from nova_cells_persist import setup_error

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

NAMESPACE = 'nova_cells_persist.migrations'

#: Nova's first migration of a cell makes an empty shadow of every table that
#: it finds, so also of ours if they were there before Nova's.
SHADOWS = frozenset('shadow_' + name for name in models.TABLE_NAMES)

#: What no table of Nova has: what it is, what counts it, and the tables that
#: have to be there for that.
_ONLY_HERE = (
    ('builds in flight that Nova has no row of', db_build.count_unmirrored,
     {'build_request'}),
    ('servers with a revision that is pending', db_spec.count_pending,
     {'request_spec', 'instances'}),
)


def repository(kind: str) -> str:
    """Return the folder of the migration repository of that name.

    :param kind: 'api' or 'cell'
    :raises: UnknownMigrations if none is registered under that name
    """
    manager: stevedore.ExtensionManager = stevedore.ExtensionManager(NAMESPACE)
    if kind not in manager:
        raise exception.UnknownMigrations(
            name=kind, known=', '.join(sorted(manager.names())) or 'none')
    return os.path.dirname(os.path.abspath(manager[kind].plugin.__file__))


class Schema:
    """The tables of the plugin in one database.

    :param kind: 'api' or 'cell'
    :param name: of the database in words, as of database.name_of()
    :param engine: a SQLAlchemy engine
    """

    def __init__(self, kind, name, engine):
        self.kind = kind
        self.name = name
        self._engine = engine
        self._migrator = migrators.migrator(
            releases.nova_release(), repository(kind))

    @property
    def needed(self):
        """The version that this code needs."""
        return self._migrator.known()[-1]

    def version(self):
        """Return the version that the tables are at, None if none are."""
        return self._migrator.version(self._engine)

    def sync(self):
        """Make the tables, or bring them to the version that is needed.

        :returns: the version before
        :raises: SchemaAhead if a newer plugin has been there
        """
        before = self.version()
        self._refuse_ahead(before)
        self._migrator.upgrade(self._engine)
        _drop(self._engine, SHADOWS)
        return before

    def require_current(self):
        """Raise SchemaNotReady or SchemaAhead unless version() is needed."""
        found = self.version()
        self._refuse_ahead(found)
        if found != self.needed:
            raise setup_error.SchemaNotReady(
                database=self.name, found=found or 'none', needed=self.needed)

    def differences(self):
        """Return where the tables differ from what this code expects.

        :returns: a list of strings, empty if they agree
        """
        ours = {table.name for table in models.TABLES[self.kind]}

        def is_ours(obj, name, type_, reflected, compare_to):
            table = obj if type_ == 'table' else obj.table
            return table.name in ours

        with self._engine.connect() as connection:
            context = alembic_migration.MigrationContext.configure(
                connection, opts={'include_object': is_ours,
                                  'compare_type': True})
            found = autogenerate.compare_metadata(
                context, models.metadata_of(self.kind))
            return [_in_words(difference) for difference in found] + (
                collations.differences(connection, self.kind))

    def only_here(self):
        """Return what would be lost with the tables.

        :returns: {what it is: how many}, without what there is none of
        """
        there = set(sa.inspect(self._engine).get_table_names())
        with self._engine.connect() as connection:
            found = {what: count(connection)
                     for what, count, needed in _ONLY_HERE if needed <= there}
        return {what: number for what, number in found.items() if number}

    def drop(self):
        """Drop the tables, with all that is in them.

        :returns: the names of those that were there
        """
        return drop_tables(self._engine)

    def note_current(self):
        """Note that tables that were made without a script are current."""
        self._migrator.stamp(self._engine)

    def _refuse_ahead(self, found):
        known = self._migrator.known()
        if found is not None and found not in known:
            raise setup_error.SchemaAhead(
                database=self.name, found=found, needed=known[-1])


def drop_tables(engine):
    """Drop every table of the plugin.

    :returns: the names of those that were there
    """
    dropped = _drop(engine, models.TABLE_NAMES | SHADOWS)
    _drop_types(engine)
    return dropped


def _drop_types(engine):
    # PostgreSQL keeps the type of a column that was dropped.
    with engine.begin() as connection:
        for table in models.metadata.tables.values():
            for column in table.columns:
                if isinstance(column.type, sa.Enum):
                    column.type.drop(connection, checkfirst=True)


def _drop(engine, names):
    there = set(sa.inspect(engine).get_table_names())
    dropped = sorted(names & there)
    with engine.begin() as connection:
        for name in dropped:
            sa.Table(name, sa.MetaData()).drop(connection)
    return dropped


def _in_words(difference):
    # alembic groups the changes of one column in a list.
    if isinstance(difference, list):
        return '; '.join(_in_words(one) for one in difference)
    verb, what = difference[0].split('_', 1)
    if verb == 'modify':
        _, _, table, column, _, found, expected = difference
        return '%s.%s: %s is %s, not %s' % (
            table, column, what, found, expected)
    thing = difference[-1]
    table = getattr(thing, 'table', None)
    if table is None and what == 'column':
        table = difference[2]
    name = thing.name if table is None else '%s.%s' % (table, thing.name)
    return '%s %s is %s' % (
        what.replace('_', ' '), name,
        'missing' if verb == 'add' else 'not expected')


def api_schema():
    """Return the Schema of the API database."""
    return Schema(database.API, database.API_DATABASE, database.api_engine())


def cell_schema(context):
    """Return the Schema of the cell that the context is targeted at.

    In a process that serves one cell that of its own [database].
    """
    return Schema(database.CELL, database.name(context),
                  database.engine(context))


def mapped_schema(cell):
    """Return the Schema of the cell of a CellMapping.

    Without a context that is targeted at it: that would open a transport to
    its message queue too.
    """
    manager = main_db_api.create_context_manager(cell.database_connection)
    return Schema(database.CELL, database.name_of(cell),
                  manager.writer.get_engine())


def require_current():
    """Make sure that a service that starts here finds its tables.

    In a process that serves one cell those of that cell; at the API level
    those of the API database and of every cell that answers in time.

    :raises: SchemaNotReady or SchemaAhead, naming the database
    """
    context = nova_context.get_admin_context()
    if database.is_cell_level():
        cell_schema(context).require_current()
        return
    api_schema().require_current()
    mappings = cell_mapping.get_all(context)
    answers = nova_context.scatter_gather_cells(
        context, mappings, CONF.cells_persist.cell_timeout, _check_cell)
    for cell in mappings:
        answer = answers[cell.uuid]
        if isinstance(answer, setup_error.SetupError):
            raise answer
        if nova_context.is_cell_failure_sentinel(answer):
            LOG.warning('The tables of nova-cells-persist in the database of '
                        'cell %s could not be checked: it does not answer.',
                        cell.identity)


def _check_cell(context):
    try:
        cell_schema(context).require_current()
    except setup_error.SetupError as exc:
        return exc   # raised, it would be logged as a failure of the cell
