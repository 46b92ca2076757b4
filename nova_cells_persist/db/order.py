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
finds no row.
"""

import sqlalchemy as sa

from nova.db.main import models as main_models

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


def meets_null(dialect, order, values):
    """Whether NULL is at a place in an order of instances, or behind it.

    :param order: a list of (sort key, 'asc' or 'desc')
    :param values: what the place has, key to value
    """
    return any(
        values[key] is None or
        key not in _NEVER_NULL and nulls_are_last(dialect, direction)
        for key, direction in order)


def beyond(dialect, order, values, or_there=False):
    """Return a criterion of instances: those behind a place in an order.

    As paginate_query() of oslo_db/sqlalchemy/utils.py makes it, but for NULL.

    :param order: a list of (sort key, 'asc' or 'desc')
    :param values: what the place has, key to value
    :param or_there: what is at the place counts too
    """
    behind = [
        sa.and_(*[_same(key, values[key]) for key, _ in order[:number]],
                _later(dialect, key, direction, values[key]))
        for number, (key, direction) in enumerate(order)]
    if or_there:
        behind.append(sa.and_(*[_same(key, values[key])
                                for key, _ in order]))
    return sa.or_(*behind)


def first(session, order, values):
    """Return the uuid of the first instance from a place on, or None.

    As _model_get_uuid_by_sort_filters() of nova/db/main/api.py, but for NULL.
    """
    return session.query(_Instance.uuid).filter(
        beyond(session.get_bind().dialect, order, values, or_there=True)
    ).order_by(*[getattr(getattr(_Instance, key), direction)()
                 for key, direction in order]).limit(1).scalar()


def _same(key, value):
    column = getattr(_Instance, key)
    return column.is_(None) if value is None else column == value


def _later(dialect, key, direction, value):
    column = getattr(_Instance, key)
    nulls_last = nulls_are_last(dialect, direction)
    if value is None:
        return sa.false() if nulls_last else column.is_not(None)
    if isinstance(column.type, sa.Boolean):   # which no database compares
        column, value = sa.cast(column, sa.Integer), int(value)
    later = column > value if direction == 'asc' else column < value
    return sa.or_(later, column.is_(None)) if nulls_last else later
