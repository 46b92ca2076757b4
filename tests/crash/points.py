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


"""The points at which a service can die, and the death of one there."""

import collections
import contextlib
import threading

from oslo_db import exception as db_exc
import sqlalchemy as sa

#: ``service`` is what comes by, ``kind`` and ``what`` say what it is about to
#: do there. Points of one ``segment`` are alike: nothing was done between them
#: that would outlive the service. ``step`` counts them in the segment.
Point = collections.namedtuple('Point', 'service kind what segment step')

#: A database that nobody can reach while a service does a ``task``, which is
#: what it has been sent; ``visit`` counts these.
Outage = collections.namedtuple('Outage', 'service task visit database')

# What oslo.db says to SQLite, and what other databases are not told at all.
_NO_STATEMENT = ('BEGIN', 'SAVEPOINT', 'RELEASE', 'ROLLBACK', 'PRAGMA')


class Killed(BaseException):
    """What a service dies of: no ``except Exception`` catches it."""


class Points:
    """Notes what the services do, and has one die before it does a thing.

    What it is about to do is a point: to send a statement, to commit, to
    send a message or an answer, to change something in placement, to end. To
    die before a thing is also to die after what was done before it. From then
    on the service can do nothing more, whatever its ``finally`` may try: a
    dead process does not tidy up. Its open transactions are rolled back, as a
    database does when a connection is lost.

    Services run in one thread, each inside the one that waits for it; what
    other threads do is not looked at.

    :ivar seen: a list of Point, of the flow that runs or ran last
    :ivar died: the Point at which the service died, or None
    :ivar reached: a list of Outage, one for each database that was told
        something in each visit
    :ivar refused: how many statements an Outage has refused
    """

    def __init__(self):
        self._thread = threading.get_ident()
        self._visits = []       # of services: what an Outage says of each
        self._dying = None      # how deep in _visits is the one that dies
        self._running = False
        self._written = set()   # connections with a transaction that writes
        self._begin()

    def _begin(self, kill_at=None, outage=None):
        self.seen = []
        self.died = None
        self._kill_at = kill_at
        self._segment = self._step = 0
        self.reached = []
        self.refused = 0
        self._outage = outage
        self._visited = 0

    @contextlib.contextmanager
    def flow(self, kill_at=None, outage=None):
        """Look at what is done in a ``with`` statement.

        :param kill_at: the Point at which the service that is there dies, as
            it was seen when the flow ran before; None to kill nobody
        :param outage: the Outage that there is, or None
        """
        self._begin(kill_at, outage)
        self._running = True
        try:
            yield
        finally:
            self._running = False

    @contextlib.contextmanager
    def service(self, name, task=''):
        """Be a service, in a ``with`` statement.

        :param task: what it has been sent
        :raises: Killed if it died, whatever it made of that itself
        """
        self._visits.append((name, task, self._visited))
        self._visited += 1
        depth = len(self._visits)
        try:
            yield
            self.reach('end', name)
            self.done()
        finally:
            self._visits.pop()
            if self._dying == depth:
                self._dying = None

    @property
    def acting(self):
        """The name of the service that acts; None if none does."""
        return self._visits[-1][0] if self._visits else None

    def reach(self, kind, what):
        """Be about to do a thing.

        :raises: Killed if the service dies here, or is dead already
        """
        if not self._is_seen():
            return
        if self._dying is not None and len(self._visits) >= self._dying:
            raise Killed()
        if not self._running:
            return
        point = Point(self.acting, kind, what, self._segment, self._step)
        self._step += 1
        self.seen.append(point)
        # Not by its number: Nova reads a thing or not, as its caches are.
        if self._kill_at and point[3:] == self._kill_at[3:]:
            self.died = point
            self._dying = len(self._visits)
            raise Killed()

    def done(self):
        """Have done a thing that outlives the service."""
        if self._is_seen():
            self._segment += 1
            self._step = 0

    def _is_seen(self):
        return self._visits and threading.get_ident() == self._thread

    # Databases

    def watch(self, name, engine):
        """Look at what a database is told.

        :param name: what it is called in a Point
        """
        for event, listener in (
                ('before_cursor_execute', self._statement(name)),
                ('commit', self._commit(name)),
                ('rollback', self._written.discard)):
            sa.event.listen(engine, event, listener)

    def _statement(self, name):
        def listener(connection, cursor, statement, *args):
            verb = statement.split(None, 1)[0].upper()
            if verb in _NO_STATEMENT:
                return
            self._ask(name)
            self.reach('statement', '%s: %s' % (name, statement))
            if verb in ('INSERT', 'UPDATE', 'DELETE'):
                self._written.add(connection)
        return listener

    def _ask(self, database):
        if not self._running:
            return
        for visit in self._visits:
            asked = Outage(*visit, database)
            if asked not in self.reached:
                self.reached.append(asked)
            if self._outage and asked[2:] == self._outage[2:]:
                self.refused += 1
                raise db_exc.DBConnectionError()

    def _commit(self, name):
        def listener(connection):
            if connection in self._written:
                self.reach('commit', name)
                self._written.discard(connection)
                self.done()
        return listener


def distinct(points):
    """Return those of a list of Point of which no two are alike."""
    return [point for point in points if point.step == 0]
