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


"""A flow, repeated with a service killed, or without a database."""

import collections

from nova.tests.functional.api import client
from oslo_db import exception as db_exc

from tests.crash import ledger
from tests.crash import points

#: What came of a flow in which there was a trouble: which Point or Outage,
#: None if there was none; the state in which it left what it was done to; and
#: {when: [(kind, text)]}, what was wrong then.
Outcome = collections.namedtuple('Outcome', 'trouble state problems')

#: How often a flow is run until it comes by its trouble again.
TRIES = 4


class Diverged(Exception):
    """A repeated flow did not come by its trouble again."""


class Trial:
    """Tries a flow at its points, or at the outages that there can be.

    :param cloud: a cloud.Cloud
    :param flow: a class of flows.py
    :param eager: whether casts are done with before who sent them goes on
    :ivar servers: how many servers are shown after the flow
    :ivar points: the points.Point of the flow when nobody dies
    :ivar outages: the points.Outage that it can come by
    """

    def __init__(self, cloud, flow, eager=False):
        self._cloud = cloud
        self._flow = flow(cloud)
        self._eager = eager
        self.servers = None
        self._dead = []     # the Outcome and the uuids, to look at in the end

    def record(self):
        """Run the flow as it is meant to be, and note its points.

        What is looked up once and kept is looked up in a first run. Nothing
        may be wrong in the second.
        """
        for _ in range(2):
            outcome = self._run()
            self.servers = len(outcome.state[1])
            self.points = list(self._cloud.points.seen)
            self.outages = list(self._cloud.points.reached)
        return outcome

    def at(self, point):
        """Run the flow with the service killed at a point.

        :returns: an Outcome
        :raises: Diverged
        """
        return self._until(
            lambda died: died and died[:2] == point[:2], point=point)

    def during(self, outage):
        """Run the flow without a database for a while.

        :returns: an Outcome
        :raises: Diverged
        """
        return self._until(lambda came: came, outage=outage)

    def _until(self, is_it, **trouble):
        for _ in range(TRIES):
            outcome = self._run(**trouble)
            if is_it(outcome.trouble):
                return outcome
        raise Diverged('%s, not %s' % (outcome.trouble, trouble))

    def _run(self, point=None, outage=None):
        cloud = self._cloud
        before = cloud.uuids()
        server = self._flow.prepare()
        cloud.bus.eager = self._eager
        answer, done = None, False
        try:
            with cloud.points.flow(point, outage):
                self._flow.act(server)
                done = True
        except points.Killed:
            pass
        except client.OpenStackApiException as exc:
            answer = 'HTTP %d' % exc.response.status_code
        except db_exc.DBConnectionError as exc:
            # What a command of nova-manage ends with.
            answer = type(exc).__name__
        finally:
            cloud.bus.eager = False
            cloud.bus.before.clear()
        trouble = cloud.points.died or cloud.points.refused and outage or None
        if answer and not trouble:
            raise Diverged('%s when nothing was in the way' % answer)
        cloud.revive()
        self._flow.go_on()
        uuids = sorted(cloud.uuids() - before)
        outcome = Outcome(trouble, [answer, sorted(
            filter(None, map(cloud.state, uuids)), key=str)],
            collections.defaultdict(list))
        self._judge(outcome, uuids, server and server['id'], done)
        self._dead.append((outcome, uuids))
        return outcome

    def _judge(self, outcome, uuids, prepared, done):
        """Note what is wrong, and do to the servers what can be done.

        :param prepared: the uuid of the server that was there before
        :param done: whether all that was asked for was answered
        """
        cloud = self._cloud

        def note(when, found):
            outcome.problems[when] += found

        shown = self._shown(uuids).union(filter(None, [prepared]))
        found = cloud.mend()
        if any([cloud.reset_state(uuid) for uuid in uuids]):
            # Some things cannot be mended as long as they look busy.
            found = cloud.mend()
        note('mended', found)
        if not self._flow.DELETES:
            note('mended', self._missing(shown, self._shown(uuids), done))
        for uuid in uuids:
            note('mended', ledger.Ledger(cloud, uuid).problems())
        for uuid in uuids:
            if cloud.can_be_resized(uuid):
                cloud.start_guest(uuid)
                note('resized', cloud.try_resize(uuid))
                note('resized', ledger.Ledger(cloud, uuid).problems())
        for uuid in uuids:
            note('deleted', cloud.try_delete(uuid))
        note('deleted', cloud.mend())

    def _shown(self, uuids):
        return set(filter(self._cloud.state, uuids))

    def _missing(self, before, after, done):
        """Return what a user misses, a list of (ledger.LOST, text).

        A server that was shown, or one that was accepted.
        """
        found = [(ledger.LOST, 'was shown, and is not any more')
                 for _ in before - after]
        if done and self.servers is not None and not found:
            found += [(ledger.LOST, 'accepted, and not shown')
                      for _ in range(self.servers - len(after))]
        return found

    def end(self):
        """Archive what was deleted, and note what is left of it."""
        self._cloud.archive()
        for outcome, uuids in self._dead:
            for uuid in uuids:
                outcome.problems['archived'] += ledger.Ledger(
                    self._cloud, uuid).left()
