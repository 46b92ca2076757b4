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

"""Builds in flight as the instances that they are about to be.

A filter of servers means what Nova's own query makes of it, in each release.
So that query is run on the builds: in front of it stand common table
expressions that have the names and the columns of the tables of a cell, and
the rows of builds. A name that a WITH defines hides a table of that name, and
the API database has none.
"""

import contextlib
import functools

import sqlalchemy as sa
from sqlalchemy import orm

from nova import context as nova_context
from nova.db.api import api as api_db_api
from nova.db.main import models as main_models
from nova.db import types

from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import database
from nova_cells_persist.db import models

_BUILDS = models.build_request
_ITEMS = models.build_request_item
_INSTANCES = main_models.Instance.__table__
_TAGS = main_models.Tag.__table__
_METADATA = main_models.InstanceMetadata.__table__

#: Nova's query for one server, which it asks for a marker, joins these.
_WITHOUT_ROWS = (
    main_models.InstanceSystemMetadata.__table__,
    main_models.InstanceInfoCache.__table__,
    main_models.SecurityGroup.__table__,
    main_models.SecurityGroupInstanceAssociation.__table__,
    main_models.SecurityGroupIngressRule.__table__,
)

#: What is the same for all instances that have just been created.
_NEW = {
    'deleted': sa.literal_column('0'),
    'cleaned': sa.literal_column('0'),
    'hidden': sa.false(),
    'disable_terminate': sa.false(),
    'shutdown_terminate': sa.false(),
}

#: What has the same name in both tables.
_SAME = ('id', 'created_at', 'updated_at',
         'project_id') + models.INSTANCE_COLUMNS

_IS_NARROW = 'nova_cells_persist_is_narrow'


@contextlib.contextmanager
def query(context, criterion=None, columns=None):
    """Yield a context on which Nova's queries of instances find builds.

    As nova.db.main.api has them: those of builds whose servers have no cell.

    :param context: who asks; his own is left as it is
    :param criterion: what these instances have to meet, as of db.order
    :param columns: the names of those that are read, None for all. Instances
        are mappings of these alone then
    """
    own = nova_context.RequestContext.from_dict(context.to_dict())
    # Nova runs there what it would run in the cell that is targeted.
    own.db_connection = api_db_api.context_manager
    with database.api_reader(own) as session:
        if criterion is not None:
            sa.event.listen(session, 'do_orm_execute', functools.partial(
                _add_criterion, criterion))
        if columns is not None:
            sa.event.listen(session, 'do_orm_execute', functools.partial(
                _read_only, columns))
        connection = session.connection()
        sa.event.listen(connection, 'before_cursor_execute', _add_tables,
                        retval=True)
        try:
            yield own
        finally:
            sa.event.remove(connection, 'before_cursor_execute', _add_tables)


def _add_criterion(criterion, state):
    state.statement = state.statement.options(
        orm.with_loader_criteria(main_models.Instance, criterion))


def _read_only(columns, state):
    # What Nova asks for here are instances, and it reads them as mappings.
    # Of a page of a thousand most of the time would go into the making.
    if not state.is_orm_statement or state.execution_options.get(_IS_NARROW):
        return None
    statement = state.statement.with_only_columns(
        *[getattr(main_models.Instance, name) for name in columns])
    return state.session.execute(
        statement, execution_options={_IS_NARROW: True}).mappings()


def _add_tables(connection, cursor, statement, parameters, context, many):
    return _tables(connection.dialect) + statement, parameters


@functools.lru_cache
def _tables(dialect):
    """Return a WITH that defines the tables of a cell, as text."""
    tables = [
        _table(dialect, _INSTANCES, sa.and_(
            db_build.is_build(),
            db_build.has_no_cell(_BUILDS.c.instance_uuid)), dict(
            _NEW, uuid=_BUILDS.c.instance_uuid, **{
                name: _BUILDS.c[name] for name in _SAME})),
        _table(dialect, _TAGS, _items('tag'), {
            'resource_id': _ITEMS.c.instance_uuid, 'tag': _ITEMS.c.name}),
        _table(dialect, _METADATA, _items('metadata'), {
            'instance_uuid': _ITEMS.c.instance_uuid, 'id': _ITEMS.c.id,
            'key': _ITEMS.c.name, 'value': _ITEMS.c.value,
            'deleted': sa.literal_column('0')}),
    ]
    for table in _WITHOUT_ROWS:
        tables.append(_table(dialect, table, sa.false(), {}))
    return 'WITH %s ' % ', '.join(tables)


def _table(dialect, table, condition, columns):
    """Return the definition of one table, as text.

    :param columns: {name: what it is}; NULL is what the others are
    """
    select = sa.select(*[
        _typed(dialect, column, columns.get(column.name, sa.null()))
        for column in table.columns]).where(condition)
    text = select.compile(dialect=dialect,
                          compile_kwargs={'literal_binds': True})
    return '%s AS (%s)' % (table.name, text)


def _typed(dialect, column, value):
    """Return a value as the type of a column."""
    if dialect.name == 'postgresql' and (
            isinstance(value, sa.sql.elements.Null) or
            isinstance(column.type, types.IPAddress)):
        # There an address is no string, and a NULL of no type is one.
        value = sa.cast(value, column.type)
    return value.label(column.name)


def _items(kind):
    return _ITEMS.c.kind == kind
