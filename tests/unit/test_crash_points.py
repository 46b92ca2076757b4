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
import sqlalchemy as sa

from tests.crash import __main__ as crash
from tests.crash import points

FIRST = points.Point(None, None, None, segment=0, step=0)


class PointsTestCase(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        self.engine = sa.create_engine('sqlite://')
        self.addCleanup(self.engine.dispose)
        with self.engine.begin() as connection:
            connection.execute(sa.text('CREATE TABLE t (n INTEGER)'))
        self.points = points.Points()
        self.points.watch('db', self.engine)

    def write(self, *numbers):
        with self.engine.begin() as connection:
            for number in numbers:
                connection.execute(sa.text('INSERT INTO t VALUES (:n)'),
                                   {'n': number})

    def read(self):
        with self.engine.connect() as connection:
            return connection.execute(
                sa.text('SELECT n FROM t ORDER BY n')).scalars().all()

    def forget(self):
        with self.engine.begin() as connection:
            connection.execute(sa.text('DELETE FROM t'))

    def work(self):
        """Two transactions with a read between them, and a tidy end."""
        try:
            self.write(1, 2)
            self.read()
            self.write(3)
        finally:
            self.write(4)

    def run_until(self, point):
        with self.points.flow(point), self.points.service('s'):
            self.work()

    def test_points(self):
        self.run_until(None)
        self.assertEqual(
            [('statement', 0), ('statement', 0), ('commit', 0),
             ('statement', 1), ('statement', 1), ('commit', 1),
             ('statement', 2), ('commit', 2), ('end', 3)],
            [(point.kind, point.segment) for point in self.points.seen])
        self.assertEqual(
            [self.points.seen[number] for number in (0, 3, 6, 8)],
            points.distinct(self.points.seen))
        self.assertIsNone(self.points.died)

    def test_what_is_left_of_a_service_that_dies(self):
        self.run_until(None)
        self.forget()
        left = []
        for point in self.points.seen:
            self.assertRaises(points.Killed, self.run_until, point)
            self.assertEqual(point, self.points.died)
            left.append(self.read())
            self.forget()
        self.assertEqual(
            [[], [], [], [1, 2], [1, 2], [1, 2], [1, 2, 3], [1, 2, 3],
             [1, 2, 3, 4]], left)

    def test_cannot_be_caught(self):
        def stubborn():
            with self.points.service('s'):
                try:
                    self.write(1)
                except points.Killed:
                    pass

        with self.points.flow(FIRST):
            self.assertRaises(points.Killed, stubborn)

    def test_who_waits_for_it_goes_on(self):
        with self.points.flow(FIRST._replace(step=1)), \
                self.points.service('outer'):
            self.points.reach('message', 'to inner')
            try:
                with self.points.service('inner'):
                    self.write(1)
            except points.Killed:
                self.write(2)
        self.assertEqual('inner', self.points.died.service)
        self.assertEqual([2], self.read())

    def test_nobody_dies_where_no_service_is(self):
        with self.points.flow(FIRST):
            self.work()
        self.assertEqual([], self.points.seen)

    def test_outage(self):
        """A service and whom it waits for are without the database."""
        def ask(done):
            with self.points.service('outer', 'a'):
                with self.points.service('inner', 'b'):
                    self.write(1)
                done()
            with self.points.service('outer', 'c'):
                self.write(2)

        with self.points.flow():
            ask(lambda: None)
        self.assertEqual(
            [('outer', 'a', 0, 'db'), ('inner', 'b', 1, 'db'),
             ('outer', 'c', 2, 'db')], self.points.reached)
        of_all, of_inner, _ = self.points.reached
        self.forget()
        with self.points.flow(outage=of_all):
            self.assertRaises(db_exc.DBConnectionError, ask, None)
        self.assertEqual(1, self.points.refused)
        self.assertEqual([], self.read())

        def caught():
            try:
                with self.points.service('inner', 'b'):
                    self.write(1)
            except db_exc.DBConnectionError:
                self.write(3)

        with self.points.flow(outage=of_inner), self.points.service('outer'):
            caught()
        self.assertEqual([3], self.read())


class WorkerTest(base.BaseTestCase):

    def error_of(self, *outcomes, **said):
        run = crash.Run('Boot', 'later', 'plugin', tries=2,
                        outcomes=list(outcomes), **said)
        run.check()
        return run.error

    def test_has_tried_all(self):
        self.assertEqual('', self.error_of({}, {}, {}))

    def test_has_skipped(self):
        self.assertEqual('0 outcomes of 2 tries', self.error_of())
        self.assertEqual('it broke', self.error_of(error='it broke'))


class CompareTest(base.BaseTestCase):
    """What an outage comes to, beside stock Nova."""

    LOST, OTHER = ('api', 'POST', 0, 'api'), ('api', 'POST', 0, 'cell1')

    def run_of(self, side, **states):
        return crash.Run('Boot', 'later', side, outcomes=[
            {'trouble': trouble, 'state': states[name], 'problems': {}}
            for name, trouble in (('usual', None), ('lost', self.LOST),
                                  ('other', self.OTHER)) if name in states])

    def worse(self, *states, **of_stock):
        run = self.run_of('plugin', **dict(zip(
            ('usual', 'lost', 'other'), states)))
        run.compare(self.run_of('stock', **of_stock))
        return [outcome['trouble'] for outcome in run.bad('worse')]

    def test_alike(self):
        self.assertEqual([], self.worse(
            'up', 'error', 'up', usual='up', lost='error'))

    def test_better(self):
        self.assertEqual([], self.worse(
            'up', 'up', 'up', usual='up', lost='error', other='error'))

    def test_worse(self):
        self.assertEqual([self.LOST, self.OTHER], self.worse(
            'up', 'gone', 'error', usual='up', lost='error'))

    def test_another_end_without_trouble(self):
        self.assertEqual([None], self.worse('down', usual='up'))
