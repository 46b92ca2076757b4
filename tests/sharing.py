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

"""What Nova makes anew for each test, and need not."""

import functools

import fixtures
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy import engine
from sqlalchemy import util

from nova.api.openstack.compute import routes

#: More statements than Nova, placement and the plugin have.
_STATEMENTS = util.LRUCache(5000)


class _OfAllOfSQLite:
    """The ``_compiled_cache`` of an engine: one for all SQLite databases.

    Each test has databases of its own, and with a new engine each statement
    would be compiled again.
    """

    def __get__(self, owner, kind=None):
        return self if owner is None else vars(owner)['_compiled_cache']

    def __set__(self, owner, cache):
        if cache is not None and owner.dialect.name == 'sqlite':
            cache = _STATEMENTS
        vars(owner)['_compiled_cache'] = cache


def share_statements():
    """Compile each statement once in a process, not once in a database."""
    engine.Engine._compiled_cache = _OfAllOfSQLite()
    # A compiled statement is found by its dialect, among others; each engine
    # makes one for itself.
    dialect = pysqlite.SQLiteDialect_pysqlite
    dialect.__eq__ = lambda self, other: type(self) is type(other)
    dialect.__hash__ = lambda self: hash(type(self))


class SharedRoutes(fixtures.Fixture):
    """Have nova-api make its controllers once for both of its endpoints.

    They serve the same: /v2.1, and /v2 behind a filter.
    """

    def _setUp(self):
        @functools.cache
        def router():
            return routes.APIRouterV21()

        self.useFixture(fixtures.MonkeyPatch(
            'nova.api.openstack.compute.routes.APIRouterV21.factory',
            lambda *args, **config: router()))
