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


"""A message bus without threads: who sends a call runs who answers it."""

import collections
import contextlib
import queue

import fixtures
import oslo_messaging
from oslo_messaging._drivers import impl_fake
from oslo_messaging.rpc import server as rpc_server

from tests.crash import points

_Cast = collections.namedtuple('_Cast', 'server ctxt message cell')


class Incoming(impl_fake.FakeIncomingMessage):
    """A message that a service has got, whose answer is a point as well."""

    def __init__(self, ctxt, message, answers, where):
        super().__init__(ctxt, message, answers, None)
        self._where = where

    def reply(self, reply=None, failure=None):
        if self._reply_q is not None:
            self._where.reach('reply', self.message['method'])
            super().reply(reply, failure)
            self._where.done()


class Bus(fixtures.Fixture):
    """Has the services of a test run in one thread, one at a time.

    A call is answered before it returns, or ends in a MessagingTimeout if
    who should answer dies. A cast waits until deliver(), or is done with
    before the sender goes on: these are the two ends of what may happen.

    :ivar eager: whether casts are done with at once
    :ivar before: {method: function to call once, before it is sent}
    :param where: Points
    :param level: called with the name of a cell, or None for the API level,
        returns a context manager to be a process there
    :param cell_of: called with the name of a host, returns that of its cell
    """

    def __init__(self, where, level, cell_of):
        super().__init__()
        self.eager = False
        self.before = {}
        self._where = where
        self._level = level
        self._cell_of = cell_of
        self._servers = {}
        self._waiting = collections.deque()
        self._cell = None
        self._held = False

    def _setUp(self):
        for owner, name, replacement in (
                (rpc_server.RPCServer, 'start', self._start),
                (rpc_server.RPCServer, 'stop', self._stop),
                (rpc_server.RPCServer, 'wait', lambda server: None),
                (impl_fake.FakeDriver, '_send', self._send)):
            self.useFixture(fixtures.MockPatchObject(
                owner, name, _method(replacement)))

    def _start(self, server, *args, **kwargs):
        target = server._target
        self._servers.setdefault(target.topic, {})[target.server] = server

    def _stop(self, server):
        servers = self._servers[server._target.topic]
        if servers.get(server._target.server) is server:
            del servers[server._target.server]

    @contextlib.contextmanager
    def held(self):
        """Deliver no cast while in a ``with`` statement."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def deliver(self):
        """Let the services have the casts that wait, and those they cast."""
        while (self._waiting and not self._held and
               self._where.acting is None):
            cast = self._waiting.popleft()
            self._run(cast.server, cast.ctxt, cast.message, cast.cell)

    def _send(self, driver, target, ctxt, message, wait_for_reply=None,
              timeout=None, transport_options=None):
        driver._check_serialize(message)
        self.before.pop(message.get('method'), lambda: None)()
        servers = self._servers.get(target.topic, {})
        if target.fanout:
            to = list(servers)
        elif target.server is not None:
            to = [name for name in (target.server,) if name in servers]
        else:
            to = list(servers)[:1]
        self._where.reach('message', '%s to %s' % (
            message.get('method'), target.topic))
        self._where.done()
        answers = queue.Queue() if wait_for_reply else None
        for name in to:
            cell = self._goes_to(target.topic, name)
            if wait_for_reply or self.eager and not self._held:
                self._run(servers[name], ctxt, message, cell, answers)
            else:
                self._waiting.append(
                    _Cast(servers[name], ctxt, message, cell))
        if wait_for_reply:
            return _answer(answers, target)

    def _goes_to(self, topic, host):
        """Return the cell of a service; None if it is at the API level."""
        if topic.startswith('compute'):
            return self._cell_of(host)
        # A compute has no other conductor than that of its cell.
        return self._cell if topic == 'conductor' else None

    def _run(self, server, ctxt, message, cell, answers=None):
        name = server._target.topic
        # As it comes from a real bus: the sender's database is not in it.
        ctxt = dict(ctxt, db_connection=None, mq_connection=None)
        before, self._cell = self._cell, cell
        try:
            with self._where.service(
                    '%s %s' % (name, cell) if cell else name,
                    message['method']), self._level(cell):
                server._process_incoming([Incoming(
                    ctxt, message, answers, self._where)])
        except points.Killed:
            pass    # with what it had to say
        finally:
            self._cell = before


def _method(function):
    """Return a function that is bound to an object when it is looked up."""
    return lambda *args, **kwargs: function(*args, **kwargs)


def _answer(answers, target):
    try:
        reply, failure = answers.get_nowait()
    except queue.Empty:
        raise oslo_messaging.MessagingTimeout(
            'No reply on topic %s' % target.topic)
    if failure:
        raise failure
    return reply
