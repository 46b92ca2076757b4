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

"""The plugin is switched on node by node, and off again, under load."""

import collections

from tools.onebox import cloud as clouds
from tools.onebox import configuration
from tools.onebox.drills import conductors
from tools.onebox.drills import stage as stages

SERVERS = 100
#: Builds that have no cell when the next phase begins.
CARRIED = 6
CONDUCTOR = 'super-conductor'
SECOND = 'nova-api-2'
APIS = ('nova-api', SECOND)

#: Which services have the plugin on, one phase after the other.
PHASES = (
    ('on one of two nova-api', ('nova-api',)),
    ('on that one and the conductors', (
        'nova-api', CONDUCTOR, *clouds.CONDUCTORS)),
    ('on all services', (*clouds.NOVA, SECOND)),
    ('on none', ()))


def play(stage):
    stage.afterwards(_restore, stage)
    clients = [stage.client_of(api) for api in APIS]
    carried = []
    for name, on in PHASES:
        stage.tell('The plugin is %s: %d servers, through both nova-api.' % (
            name, SERVERS))
        _switch(stage, on)
        with stages.Watch(clients) as watch:
            for uuid in carried:
                watch.add(uuid)
            _go_on(stage)
            uuids = carried + stage.burst(SERVERS, clients, watch.add)
            statuses = stage.settle(uuids)
        _verdict(stage, name, uuids, watch, statuses)
        stage.delete(uuids)
        carried = _carry(stage, clients) if name != PHASES[-1][0] else []
    # A conductor without the plugin lands a build and leaves its row.
    conductors.mend(stage)
    conductors.clean(stage, 'after "heal"')


def _switch(stage, on):
    """Restart the services whose configuration is to be another one.

    The super-conductor is stopped only, or left as it is. What one that is
    held had not taken from its queue is there for the next.
    """
    running = stage.cloud.processes.running()
    changed = [name for name in (*clouds.NOVA, SECOND)
               if name not in running or
               _is_on(stage, name) != (name in on)]
    for name in changed:
        stage.cloud.configure_nova(name, plugin=name in on)
    if CONDUCTOR in changed and stage.cloud.is_held(CONDUCTOR):
        stage.cloud.processes.kill(CONDUCTOR)
    stage.cloud.stop(*changed)
    stage.start(*[name for name in changed if name != CONDUCTOR])


def _go_on(stage):
    """Have builds taken up that wait for the super-conductor."""
    if stage.cloud.processes.find(CONDUCTOR) is None:
        stage.start(CONDUCTOR)
    stage.cloud.release(CONDUCTOR)


def _is_on(stage, name):
    with open(configuration.nova_path(stage.cloud.place, name)) as file:
        return 'config_source' in file.read()


def _carry(stage, clients):
    """Return the uuids of builds that have no cell, and stay without one."""
    stage.held(CONDUCTOR)
    return stage.burst(CARRIED, clients)


def _verdict(stage, phase, uuids, watch, statuses):
    found = collections.Counter(statuses.values())
    stage.check('%s: all %d servers are built' % (phase, len(uuids)),
                set(found) == {'ACTIVE'}, dict(found))
    stage.check('%s: every server is shown and listed by both nova-api all '
                'the time' % phase, not watch.wrong, watch.wrong[:5])
    stage.check('%s: servers were seen while they were built' % phase,
                watch.in_flight, '%d of %d answers' % (
                    watch.in_flight, watch.answers))


def _restore(stage):
    stage.cloud.stop(SECOND)
    every = clouds.NOVA
    wrong = [name for name in every
             if stage.cloud.processes.find(name) is None or
             _is_on(stage, name) != stage.cloud.plugin]
    stage.cloud.configure_nova(*every)
    stage.cloud.stop(*wrong)
    stage.start(*wrong)
