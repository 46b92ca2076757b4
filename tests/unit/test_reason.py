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


from oslo_db import exception as db_exc
from oslotest import base
from sqlalchemy import exc as sa_exc

from nova_cells_persist.db import reason


class ReasonTest(base.BaseTestCase):

    def test_without_credentials(self):
        for text, expected in (
                ('no server', 'no server'),
                ("to 'mysql://u:s3cret@host/db'", "to '***@host/db'"),
                ('mysql+pymysql://u:s3@cret@host/db, x@y', '***@y'),
                ("mysql://u:s'3(cr\"et@host/db", 'mysql://***@host/db'),
                ("server on 's3(cret@host'", "server on '***@host'"),
                ('server on \'s"3\'s(cr@et@host\'', "server on '***@host'"),
                ('mysql://u:geh@s3 cret@host/db', '***@host/db'),
                ("server on 's3cret@host'", "server on '***@host'"),
                ('mysql//u:s3cret@host', '***@host')):
            found = reason.without_credentials(text)
            for part in ('cret', 's3', 'geh'):
                self.assertNotIn(part, found)
            self.assertIn(expected.rpartition('*')[2], found)

    def test_of(self):
        self.assertEqual("no connection to '***@host'", reason.of(
            RuntimeError("no connection to 's3cret@host'.\nMore of it.")))

    def test_is_of_filter(self):
        for args, expected in (
                ((1139, 'Got error ... from regexp'), True),
                ((3689, 'Unrecognized escape sequence'), True),
                (('user-defined function raised exception',), True),
                ((1205, 'Lock wait timeout exceeded'), False),
                ((1146, "Table 'x' doesn't exist"), False),
                (('no such table: x',), False), ((), False)):
            cause = Exception(*args)
            for exc in (cause, sa_exc.OperationalError('', {}, cause),
                        db_exc.DBError(
                            sa_exc.OperationalError('', {}, cause))):
                self.assertIs(expected, reason.is_of_filter(exc))
