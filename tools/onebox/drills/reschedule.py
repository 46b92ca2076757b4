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

"""A resize that a compute refuses is scheduled again by its cell alone."""

import configparser

from tools.onebox import configuration

CELL, SOURCE, OTHER, REFUSES = 'cell1', 'c1h1', 'c1h2', 'c1h3'

#: As after an upgrade in which a host was forgotten: it takes a server, but
#: cannot ask the one where that is now to send it.
OUTDATED = {'upgrade_levels': {'compute': '4.0'}}


def play(stage):
    _conductor_is_of_the_cell(stage)
    _add_host(stage)
    uuid = _boot(stage)
    before = stage.client.show(uuid)[1]
    stage.tell('Resizing it. %s is the emptiest host, and refuses.' % REFUSES)
    stage.client.act(uuid, resize={'flavorRef': '2'})
    server = stage.wait_for(uuid, 'VERIFY_RESIZE')
    _moved(stage, 'resize', server)
    if server['status'] == 'ERROR':
        return
    stage.tell('Reverting it, then migrating it.')
    stage.client.act(uuid, revertResize=None)
    reverted = stage.wait_for(uuid, 'ACTIVE')
    stage.check('a revert puts back host and flavor',
                (reverted['OS-EXT-SRV-ATTR:host'], reverted['flavor']) ==
                (SOURCE, before['flavor']), reverted['status'])
    _same_as_server(stage, uuid)
    stage.client.act(uuid, migrate=None)
    server = stage.wait_for(uuid, 'VERIFY_RESIZE')
    _moved(stage, 'migrate', server)
    if server['status'] != 'ERROR':
        stage.client.act(uuid, confirmResize=None)
        stage.wait_for(uuid, 'ACTIVE')
        _same_as_server(stage, uuid)


def _conductor_is_of_the_cell(stage):
    parser = configparser.RawConfigParser(strict=False)
    parser.read(configuration.nova_path(
        stage.cloud.place, 'conductor-' + CELL))
    stage.check('the conductor of %s has no [api_database]' % CELL,
                not parser.has_section('api_database'))


def _add_host(stage):
    name = 'compute-' + REFUSES
    stage.tell('A third host in %s, of which no resize begins.' % CELL)
    configuration.nova_of_compute(
        stage.cloud.place, CELL, REFUSES, stage.cloud.plugin, OUTDATED)
    stage.afterwards(_remove_host, stage)
    stage.cloud.start(name)
    stage.cloud.wait_for_nova(name)
    stage.cloud.map_hosts()


def _remove_host(stage):
    stage.cloud.stop('compute-' + REFUSES)
    compute = stage.connection.compute
    for service in compute.services(host=REFUSES):
        compute.delete_service(service)


def _boot(stage):
    """Return the uuid of a server in a group, on the first host.

    The hosts that could take it are given servers, so that the scheduler
    prefers the one that refuses.
    """
    for host in (SOURCE, OTHER):
        stage.booted(host=host, flavorRef='2')
    group = stage.connection.compute.create_server_group(
        name='drill', policy='anti-affinity')
    stage.afterwards(stage.connection.compute.delete_server_group, group)
    uuid = stage.booted(host=SOURCE, hints={'group': group.id})
    stage.tell('Server %s is on %s, in a group with anti-affinity.' % (
        uuid, SOURCE))
    return uuid


def _moved(stage, what, server):
    prepared = _prepared(stage, server['id'])
    stage.check('the %s was prepared for by %s, then by %s' % (
        what, REFUSES, OTHER), prepared == {REFUSES, OTHER}, prepared)
    stage.check(
        'the %s is scheduled again, to %s' % (what, OTHER),
        (server['status'], server['OS-EXT-SRV-ATTR:host']) ==
        ('VERIFY_RESIZE', OTHER),
        '%s on %s %s' % (server['status'], server['OS-EXT-SRV-ATTR:host'],
                         server.get('fault', {}).get('message', '')))


def _prepared(stage, uuid):
    """Return which hosts prepared for the last move of a server, a set."""
    path = '/servers/%s/os-instance-actions' % uuid
    newest, *_ = [
        action for action in stage.client.call('GET', path)[1][
            'instanceActions'] if action['action'] in ('resize', 'migrate')]
    action = stage.client.call(
        'GET', '%s/%s' % (path, newest['request_id']))[1]['instanceAction']
    return {event['host'] for event in action['events']
            if event['event'] == 'compute_prep_resize'}


def _same_as_server(stage, uuid):
    if stage.cloud.plugin:
        differences = stage.differences(uuid)
        stage.check('the request spec describes the server', not differences,
                    differences)
