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

"""Copies of rows are rows of other servers, on each database of the bench."""

import datetime

import sqlalchemy as sa
import testscenarios
import testtools

from tests.perf import filling
from tests import servers

load_tests = testscenarios.load_tests_apply_scenarios

METADATA = sa.MetaData()
SPECS = sa.Table(
    'request_specs', METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('created_at', sa.DateTime),
    sa.Column('instance_uuid', sa.String(36), unique=True),
    sa.Column('spec', sa.Text))
BUILDS = sa.Table(
    'build_requests', METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('instance_uuid', sa.String(36)))
OURS = sa.Table(
    'build_request', METADATA,
    sa.Column('id', sa.Integer, primary_key=True),
    sa.Column('mirror_id', sa.Integer),
    sa.Column('instance_uuid', sa.String(36)))
# It is of no server.
OTHER = sa.Table(
    'flavors', METADATA, sa.Column('id', sa.Integer, primary_key=True))
NOW = datetime.datetime(2026, 1, 1, 12)


class FillingTest(testtools.TestCase):

    scenarios = [
        ('sqlite', {'url': lambda: 'sqlite://'}),
        ('mariadb', {
            'url': lambda: servers.shared('mariadb').create('filling')})]

    def setUp(self):
        super().setUp()
        self.engine = sa.create_engine(self.url())
        self.addCleanup(self.engine.dispose)
        METADATA.create_all(self.engine)
        with self.engine.begin() as connection:
            for number, uuid in enumerate(('one', 'two'), 1):
                connection.execute(SPECS.insert().values(
                    id=number, created_at=NOW, instance_uuid=uuid,
                    spec='%s, %d of project' % (uuid, number)))
                connection.execute(BUILDS.insert().values(
                    id=number, instance_uuid=uuid))
                connection.execute(OURS.insert().values(
                    mirror_id=number, instance_uuid=uuid))

    def rows(self, *columns):
        with self.engine.connect() as connection:
            return {tuple(row) for row in connection.execute(
                sa.select(*columns))}

    def test_copy_and_forget(self):
        before = self.rows(SPECS)
        uuids = filling.copy_servers(
            self.engine, ['two'], 3, project='other')
        self.assertEqual(
            {(uuid, '%s, 2 of other' % uuid, NOW - datetime.timedelta(0, age))
             for age, uuid in enumerate(uuids)},
            self.rows(SPECS.c.instance_uuid, SPECS.c.spec, SPECS.c.created_at)
            - {row[2:] + row[1:2] for row in before})
        builds = self.rows(BUILDS.c.id, BUILDS.c.instance_uuid)
        self.assertEqual({'one', 'two', *uuids}, {row[1] for row in builds})
        self.assertEqual(
            builds, self.rows(OURS.c.mirror_id, OURS.c.instance_uuid))
        filling.forget(self.engine, uuids)
        self.assertEqual(before, self.rows(SPECS))
        self.assertEqual({('one',), ('two',)},
                         self.rows(OURS.c.instance_uuid))

    def test_copies_of_two_in_turn(self):
        uuids = filling.copy_servers(self.engine, ['two', 'one'], 3)
        rows = self.rows(SPECS.c.instance_uuid, SPECS.c.spec,
                         SPECS.c.created_at)
        self.assertEqual(
            {(uuid, '%s, %d of project' % (uuid, number),
              NOW - datetime.timedelta(0, age))
             for age, (uuid, number) in enumerate(zip(uuids, (2, 1, 2)))},
            {row for row in rows if row[0] in uuids})
        self.assertEqual(5, len(rows))

    def test_fill(self):
        filling.forget(self.engine, ['two'])
        filling.fill(self.engine, 'request_specs', 1000)
        uuids = self.rows(SPECS.c.instance_uuid)
        self.assertEqual(1000, len(uuids))
        self.assertEqual({('one, 1 of project',)}, self.rows(SPECS.c.spec))
        self.assertEqual({36}, {len(uuid) for uuid, in uuids
                                if uuid != 'one'})
