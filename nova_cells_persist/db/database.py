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

"""Which database: the one rule, and nothing else.

A record of the plugin stands either in the API database or in a cell's. The
context decides:

1. it is targeted at a cell: that cell's database;
2. it is not, and this process knows the API database: that one;
3. it is not, and this process knows no API database, so it serves one cell:
   its own database.

Rule 3 is read from the configuration, never found out by trying: a factory
of oslo.db that was not configured silently connects to [database].

Nova's transaction contexts are looked up each time and never kept: Nova, and
its tests even more, exchange them.
"""

import functools

from oslo_config import cfg
from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova import context as nova_context
from nova.db.api import api as api_db_api
from nova.db.main import api as main_db_api

API = 'api'
CELL = 'cell'

#: What a database raises that fails. oslo.db leaves "no such table" of MySQL
#: as the driver has it, and that no connection was free as SQLAlchemy has it.
FAILURES = (db_exc.DBError, sa_exc.DBAPIError, sa_exc.TimeoutError)

#: What the API database is called, and that of a process that serves a cell.
API_DATABASE = 'API database'
OWN_DATABASE = 'database of this cell'


def is_cell_level() -> bool:
    """Whether this process serves one cell and cannot reach the API database.

    Such a process is the conductor of a cell. nova-compute reaches no
    database at all; what it asks for runs in its cell's conductor.
    """
    return not cfg.CONF.api_database.connection


def is_api(context: nova_context.RequestContext) -> bool:
    """Whether the context names the API database, not that of a cell."""
    return not (getattr(context, 'db_connection', None) or is_cell_level())


def name(context: nova_context.RequestContext) -> str:
    """Return the database that the context names, in words, for a log."""
    if is_api(context):
        return API_DATABASE
    if getattr(context, 'cell_uuid', None):
        return 'database of cell %s' % context.cell_uuid
    return OWN_DATABASE


def name_of(cell):
    """Return the database of a cell in words.

    :param cell: a CellMapping
    """
    return 'database of cell %s' % (cell.name or cell.uuid)


def reader(context):
    """Return a context manager that yields a session, to read."""
    return _facade(context).reader.using(context)


def writer(context):
    """Return a context manager that yields a session, to write.

    It joins the transaction in that database that the context is in, if any.
    """
    return _facade(context).writer.using(context)


def api_reader(context):
    """As reader(), of the API database whatever the context is targeted at.

    So do Nova's own objects that stand in the API database.
    """
    return api_db_api.context_manager.reader.using(context)


def api_writer(context):
    """As writer(), of the API database whatever the context is targeted at."""
    return api_db_api.context_manager.writer.using(context)


def lock_no_gaps(session):
    """Have a transaction that has not begun yet lock rows, and these alone.

    Where it finds no row, MySQL would else lock where that would be: in the
    tables of builds, which are as good as empty, every other boot. One that
    logs statements for its replicas writes nothing that way: there they wait.
    """
    bind = session.get_bind()
    if bind.dialect.name == 'mysql' and not _logs_statements(bind.engine):
        session.connection(
            execution_options={'isolation_level': 'READ COMMITTED'})


@functools.lru_cache(maxsize=8)   # One transaction a repair, and many repairs.
def _logs_statements(bind):
    with bind.connect() as connection:
        return connection.execute(sa.text(
            "SELECT @@log_bin AND @@binlog_format = 'STATEMENT'")).scalar()


def has_table(session, table):
    """Whether a table is in a database.

    It is not yet, or not any more, where the plugin is on first and off last:
    in the nova.conf of nova-manage.
    """
    return sa.inspect(session.connection()).has_table(table.name)


def engine(context):
    """Return the engine of the database that the context names."""
    if is_api(context):
        return api_engine()
    return main_db_api.get_engine(context=context)


def api_engine():
    """Return the engine of the API database."""
    return api_db_api.get_engine()


def _facade(context):
    if is_api(context):
        return api_db_api.context_manager
    return main_db_api.get_context_manager(context)
