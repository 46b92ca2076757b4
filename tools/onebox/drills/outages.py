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

"""A database goes away and comes back."""

import collections
import itertools

from tools.onebox.drills import conductors
from tools.onebox.drills import stage as stages
from tools.onebox import place as places
from tools.onebox import services

#: How many requests have to fail before the database is started again, and
#: how many servers are to be built after that.
FAILURES = 20
CYCLES = 12
#: Seconds after which nobody waits for the answer to a message of Nova.
TIMEOUT = 70


class Load(stages.Background):
    """Users who boot a server, look at it until it is built, and delete it.

    They go on through whatever the API answers, and keep every fourth server.
    """

    def __init__(self, stage):
        super().__init__(self._use, [stage] * stages.USERS)
        self._numbers = itertools.count()
        #: Statuses of HTTP, with how often each was seen.
        self.answers = collections.Counter()
        #: Servers that were accepted; of these those whose deletion was asked
        #: for, and those of which it was accepted.
        self.accepted = set()
        self.unwanted = set()
        self.deleted = set()
        #: Servers that were there and were answered with 404.
        self.lost = set()
        #: How many were built.
        self.cycles = 0

    @property
    def failures(self):
        return sum(count for status, count in self.answers.items()
                   if status >= 500 or not status)

    def _use(self, stage):
        while not self._stop.is_set():
            status, uuid = stage.boot()
            self.answers[status] += 1
            if uuid is None:
                self._stop.wait(0.1)
                continue
            self.accepted.add(uuid)
            self._look(stage, uuid)
            if next(self._numbers) % 4 == 0:
                continue
            self.unwanted.add(uuid)
            status, _ = stage.client.call('DELETE', '/servers/' + uuid)
            self.answers[status] += 1
            if status == 204:
                self.deleted.add(uuid)

    def _look(self, stage, uuid):
        """Show a server until it is built, or for a while."""
        for _ in range(100):
            status, server = stage.client.show(uuid)
            self.answers[status] += 1
            if status == 404:
                self.lost.add(uuid)
            if server.get('status', stages.IN_FLIGHT) != stages.IN_FLIGHT:
                self.cycles += server['status'] == 'ACTIVE'
                return
            if self._stop.wait(0.1):
                return


def api_database(stage):
    """Stop the API database while servers are booted, shown and deleted."""
    stage.missing('mariadb-api')
    wait = stage.cloud.wait
    stage.tell('%d users boot, show and delete servers.' % stages.USERS)
    with Load(stage) as load:
        wait('servers to be built', lambda: load.cycles >= CYCLES)
        stage.tell('Stopping the MariaDB of the API, until %d requests have '
                   'failed.' % FAILURES)
        stage.cloud.stop('mariadb-api')
        failed = load.failures
        wait('requests to fail', lambda: load.failures >= failed + FAILURES)
        stage.tell('Starting it again.')
        stage.start('mariadb-api')
        built = load.cycles
        wait('servers to be built again',
             lambda: load.cycles >= built + CYCLES, stages.LONG)
    stage.tell('The answers were %s.' % dict(sorted(load.answers.items())))
    stage.check('no server that was accepted is answered with 404',
                not load.lost, load.lost)
    stage.settle(load.accepted - load.deleted, TIMEOUT)
    conductors.mend(stage)
    statuses = {uuid: stage.status(uuid)
                for uuid in load.accepted - load.deleted}
    # A deletion that was answered with 500 may have been done all the same.
    wrong = {uuid: status for uuid, status in statuses.items()
             if status not in ('ACTIVE', 'ERROR') and
             (status != 'HTTP 404' or uuid not in load.unwanted)}
    stage.check('no server is lost, and none is stuck', not wrong,
                wrong or conductors.count(statuses))
    stage.delete(load.accepted)
    conductors.clean(stage, 'in the end')


def cell_database(stage):
    """Stop a cell's database while its servers are listed and shown."""
    stage.missing('mariadb-cell2')
    version = services.microversion(stage.cloud.place)
    ours, theirs = [
        [stage.booted(host=host, availability_zone='nova') for host in hosts]
        for hosts in places.CELLS.values()]
    stage.held('super-conductor')
    builds = stage.burst(2)
    before = _shown(stage, ours + theirs + builds, version)
    stage.tell('Two servers in each cell, two builds in flight. Stopping the '
               'MariaDB of cell2.')
    stage.cloud.stop('mariadb-cell2')
    _while_down(stage, before, ours, theirs, builds, version)
    stage.tell('Starting it again.')
    stage.cloud.release('super-conductor')
    stage.start('mariadb-cell2')
    stage.settle(builds)
    stage.check('every server is shown as before', all(
        stage.cloud.wait('server %s to be shown as before' % uuid,
                         lambda: _shown(stage, [uuid], version)[uuid] ==
                         before[uuid]) for uuid in ours + theirs))
    statuses = [stage.status(uuid) for uuid in builds]
    stage.check('the builds in flight were built',
                set(statuses) == {'ACTIVE'}, statuses)
    stage.delete(ours + theirs + builds)
    conductors.clean(stage, 'in the end')


#: What nova-api tells of a server whose cell does not answer, if the request
#: spec has it.
MINIMAL = ('id', 'tenant_id', 'created', 'flavor', 'image',
           'OS-EXT-AZ:availability_zone')


def _shown(stage, uuids, version):
    return {uuid: stage.client.show(uuid, version=version)[1]
            for uuid in uuids}


def _different(before, after):
    """Return what differs between two dicts, a dict of pairs."""
    return {key: (before.get(key), after.get(key))
            for key in sorted({*before, *after})
            if before.get(key) != after.get(key)}


def _while_down(stage, before, ours, theirs, builds, version):
    answers = {uuid: stage.client.show(uuid, version=version)
               for uuid in before}
    stage.check('every server is shown',
                {status for status, _ in answers.values()} == {200},
                [status for status, _ in answers.values()])
    for uuid in ours + builds:
        different = _different(before[uuid], answers[uuid][1])
        if uuid in builds:
            # Nova says "now" of what was not updated since it was created.
            different.pop('updated', None)
        stage.check('%s is shown as before' % before[uuid]['name'],
                    not different, different)
    for uuid in theirs:
        server = answers[uuid][1]
        different = _different(
            *[{key: shown.get(key) for key in MINIMAL}
              for shown in (before[uuid], server)])
        stage.check('%s is UNKNOWN, with what its request spec has' %
                    before[uuid]['name'],
                    server.get('status') == 'UNKNOWN' and not different,
                    different)
    status, servers = stage.client.list(version=version)
    stage.check('every server is listed',
                status == 200 and set(before) <= set(servers),
                'HTTP %d, %d of %d' % (status, len(
                    set(before) & set(servers)), len(before)))
    status, servers = stage.client.list(version='2.1')
    stage.check('a client of old lists those of the cells that answer',
                status == 200 and set(ours + builds) <= set(servers),
                'HTTP %d' % status)
