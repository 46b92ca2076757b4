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

"""The order in which servers are listed, as databases see it.

Of a key that may be NULL too: Nova compares such values with < and >, which
finds no row. And of a text as it is written here, see _sorted_by().
"""

from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova.db.main import models as main_models
from nova.db import types

_Instance = main_models.Instance

#: Nova sorts by these unless it is told otherwise. No instance is without
#: them, whatever their columns allow.
_NEVER_NULL = ('created_at', 'id', 'uuid')


def nulls_are_last(dialect, direction):
    """Whether a database sorts NULL behind all values."""
    return (dialect.name == 'postgresql') == (direction == 'asc')


def is_of_instances(model):
    """Whether a model is that of instances."""
    return model is _Instance


def page(query, limit, order, marker=None):
    """Return a query of instances for a page of them.

    As paginate_query() of oslo_db/sqlalchemy/utils.py, but for NULL and texts.

    :param order: a list of (sort key, 'asc' or 'desc')
    :param marker: the last server of the page before
    """
    dialect = query.session.get_bind().dialect
    if marker is not None:
        query = query.filter(beyond(dialect, order, {
            key: getattr(marker, key) for key, _ in order}))
    query = query.order_by(*_clauses(dialect, order))
    return query if limit is None else query.limit(limit)


def beyond(dialect, order, values, or_there=False):
    """Return a criterion of instances: those behind a place in an order.

    :param order: a list of (sort key, 'asc' or 'desc')
    :param values: what the place has, key to value
    :param or_there: what is at the place counts too
    """
    behind = [
        sa.and_(*[_same(dialect, key, values[key])
                  for key, _ in order[:number]],
                _later(dialect, key, direction, values[key]))
        for number, (key, direction) in enumerate(order)]
    if or_there:
        behind.append(sa.and_(*[_same(dialect, key, values[key])
                                for key, _ in order]))
    return sa.or_(*behind)


def first(session, order, values):
    """Return the uuid of the first instance from a place on, or None.

    As _model_get_uuid_by_sort_filters() of nova/db/main/api.py, but for NULL.
    """
    dialect = session.get_bind().dialect
    return session.query(_Instance.uuid).filter(
        beyond(dialect, order, values, or_there=True)
    ).order_by(*_clauses(dialect, order)).limit(1).scalar()


def _clauses(dialect, order):
    return [getattr(_sorted_by(dialect, key), direction)()
            for key, direction in order]


def _sorted_by(dialect, key):
    """Return what instances are sorted by for a key, an expression.

    What a text is sorted as depends on the collation of its column, which
    was chosen with the database or by its server. As one that is named here
    it is the same in all databases, and known to who merges their lists.

    :raises: InvalidSortKey
    """
    try:
        column = getattr(_Instance, key)
    except AttributeError:
        raise db_exc.InvalidSortKey(key)
    if key == 'uuid':   # It is the same in all, and there is an index.
        return column
    if dialect.name == 'postgresql' and _is_text(column.type):
        return sa.collate(column, 'C')
    if _is_ranked(dialect, column):
        return sa.type_coerce(column, sa.Integer) + 0
    if dialect.name == 'mysql' and (
            _is_text(column.type) or
            isinstance(column.type, types.IPAddress)):
        return sa.collate(sa.func.convert(column.op('USING')(
            sa.literal_column('utf8mb4'))), 'utf8mb4_general_ci')
    return column


def _is_text(type_):
    # With SQLAlchemy 1.4 one that is another on MySQL has a type around it.
    return (isinstance(getattr(type_, 'impl', type_), sa.String) and
            not isinstance(type_, (sa.Enum, types.IPAddress)))


def _is_ranked(dialect, column):
    """Whether MySQL sorts by a number what it compares as a text."""
    return dialect.name == 'mysql' and isinstance(column.type, sa.Enum)


def _in_order(dialect, key, value):
    """Return what a value is compared as with _sorted_by()."""
    column = getattr(_Instance, key)
    if value is not None and _is_ranked(dialect, column):
        return column.type.enums.index(value) + 1
    return value


def _same(dialect, key, value):
    column, value = _sorted_by(dialect, key), _in_order(dialect, key, value)
    return column.is_(None) if value is None else column == value


def _later(dialect, key, direction, value):
    column, value = _sorted_by(dialect, key), _in_order(dialect, key, value)
    nulls_last = (key not in _NEVER_NULL and
                  nulls_are_last(dialect, direction))
    if value is None:
        return sa.false() if nulls_last else column.is_not(None)
    if isinstance(column.type, sa.Boolean):   # which no database compares
        column, value = sa.cast(column, sa.Integer), int(value)
    later = column > value if direction == 'asc' else column < value
    return sa.or_(later, column.is_(None)) if nulls_last else later
