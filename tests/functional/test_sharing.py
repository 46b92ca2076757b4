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

import fixtures
from oslotest import base as test_base
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import base as sqlite

from tests.functional import base

TABLE = sa.Table('of_this_test', sa.MetaData(),
                 sa.Column('id', sa.Integer, primary_key=True))


class SharedStatementsTest(test_base.BaseTestCase):
    """Of tests.sharing; that of base has been called."""

    def compiled(self, *engines):
        """Read a row in each database; return how often SQL was made of it."""
        made, visit = [], sqlite.SQLiteCompiler.visit_select

        def visited(compiler, select, *args, **kwargs):
            made.append(select)
            return visit(compiler, select, *args, **kwargs)

        with fixtures.MonkeyPatch(
                'sqlalchemy.dialects.sqlite.base.SQLiteCompiler.visit_select',
                visited):
            for number, engine in enumerate(engines):
                self.addCleanup(engine.dispose)
                with engine.begin() as connection:
                    TABLE.create(connection)
                    connection.execute(TABLE.insert(), {'id': number})
                    self.assertEqual(number, connection.execute(
                        sa.select(TABLE.c.id).where(
                            TABLE.c.id == number)).scalar())
        return len(made)

    def test_once_for_all_databases(self):
        self.assertEqual(1, self.compiled(
            *(sa.create_engine('sqlite://') for _ in range(3))))

    def test_not_in_a_database_that_keeps_none(self):
        self.assertEqual(2, self.compiled(
            *(sa.create_engine('sqlite://', query_cache_size=0)
              for _ in range(2))))


class SharedRoutesTest(base.CloudTestCase):

    def test_both_endpoints_serve(self):
        self.api.microversion = None
        newer = self.api.api_get('/flavors').body
        self.api.base_url = self.api.base_url.replace('/v2.1', '/v2')
        older = self.api.api_get('/flavors').body
        self.assertEqual([flavor['id'] for flavor in newer['flavors']],
                         [flavor['id'] for flavor in older['flavors']])
        self.assertNotEqual(newer, older)
