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

"""A conductor dies with builds in its hands, and nothing is lost for good."""

import collections
import threading

from tools.onebox.drills import stage as stages

SERVERS = 24
#: The conductor is killed when so many servers have been accepted.
KILLED_AT = 10
#: How often a burst is tried, until one has lost a build.
BURSTS = 5
#: Seconds without a change after which no super-conductor builds any more.
QUIET = 20


def super_conductor(stage):
    """Kill the super-conductor: builds have no cell yet."""
    stage.missing('super-conductor')
    for _ in range(BURSTS):
        uuids = _burst(stage, 'super-conductor')
        _shown(stage, uuids, 'without a super-conductor')
        stage.tell('Starting it again.')
        stage.start('super-conductor')
        stuck = _wait(stage, uuids, QUIET)
        _mended(stage, uuids)
        if stuck:
            break
    stage.check('a build was lost, so that there was something to mend',
                stuck, '%d of %d' % (len(stuck), SERVERS))


def cell_conductor(stage):
    """Kill the conductor of a cell: builds land in it, computes need it."""
    stage.missing('conductor-cell1')
    uuids = _burst(stage, 'conductor-cell1', availability_zone='nova:c1h1')
    _shown(stage, uuids, "without the cell's conductor")
    stage.tell('Starting it again.')
    stage.start('conductor-cell1')
    # A compute that has asked the conductor which died waits for its answer.
    _wait(stage, uuids, stages.LONG)
    _mended(stage, uuids)
    uuid = stage.booted(availability_zone='nova:c1h1')
    stage.check('the cell takes servers again',
                stage.status(uuid) == 'ACTIVE')


def _burst(stage, victim, **more):
    """Boot servers, and kill a service in the middle; return the uuids."""
    stage.tell('Booting %d servers; %s is killed after %d.' % (
        SERVERS, victim, KILLED_AT))
    accepted = []
    enough = threading.Event()

    def note(uuid):
        accepted.append(uuid)
        if len(accepted) == KILLED_AT:
            enough.set()

    def kill():
        enough.wait()
        stage.cloud.processes.kill(victim)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        return stage.burst(SERVERS, accepted=note, **more)
    finally:
        enough.set()
        killer.join()


def _shown(stage, uuids, when):
    answers = collections.Counter(
        stage.client.show(uuid)[0] for uuid in uuids)
    stage.check('every server is shown %s' % when,
                set(answers) == {200}, dict(answers))
    status, servers = stage.client.list()
    stage.check('every server is listed %s' % when,
                status == 200 and set(uuids) <= set(servers),
                'HTTP %d, %d of %d' % (
                    status, len(set(uuids) & set(servers)), len(uuids)))


def _wait(stage, uuids, seconds):
    """Return which servers nothing builds any more, a list of uuids."""
    statuses = stage.settle(uuids, seconds)
    stage.tell('They are %s.' % count(statuses))
    return [uuid for uuid, status in statuses.items()
            if status == stages.IN_FLIGHT]


def _mended(stage, uuids):
    mend(stage)
    statuses = {uuid: stage.status(uuid) for uuid in uuids}
    stage.check('no server is lost, and none is stuck', set(
        statuses.values()) <= {'ACTIVE', 'ERROR'}, count(statuses))
    clean(stage, 'after "heal"')
    stage.delete(uuids)
    clean(stage, 'after the servers were deleted')


def mend(stage):
    """Have "heal" mend what "audit" finds."""
    found = stage.audit()
    if found:
        stage.tell('"audit" finds %s; "heal" mends it.' % _codes(found))
        stage.heal()
    else:
        stage.tell('"audit" finds nothing.')


def clean(stage, when):
    """Check that "audit" finds nothing."""
    found = stage.audit()
    stage.check('"audit" finds nothing %s' % when, not found,
                _codes(found) if found else '')


def _codes(findings):
    """Return how many findings there are of each code, a dict."""
    return dict(collections.Counter(
        finding['Code'] for finding in findings))


def count(statuses):
    """Return how many servers are in each status, of a dict by uuid."""
    return dict(collections.Counter(statuses.values()))
