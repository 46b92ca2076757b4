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

"""All ways of having the plugin in some services and not in others.

They are gone through in an order in which one role at a time is switched on
or off, from none to none, and each role so more than once.
"""

import json

import fixtures

from tests.functional import cloud_databases
from tests.functional import cluster
from tests.functional import services
from tests.upgrade import residue

ARCHIVE = ('db', 'archive_deleted_rows', '--all-cells', '--until-complete',
           '--purge')

#: What services that have the plugin and services that do not may leave to
#: each other; these that have it leave nothing.
LEFT = {'landed-build', 'misplaced-copy', 'missing-copy', 'stale-copy',
        'pending-revision', 'conflicting-revision'}
WRITERS = {services.API, services.SUPER, services.CONDUCTOR}


def combinations():
    """Return the roles that have the plugin, a list of tuples.

    Each differs from the one before in one role: a Gray code.
    """
    return [tuple(role for place, role in enumerate(services.ROLES)
                  if (number ^ number >> 1) >> place & 1)
            for number in range(2 ** len(services.ROLES))] + [()]


def in_words(roles):
    """Return what a combination is called."""
    return ', '.join(roles) or 'none'


def play(verdicts):
    """Go through all combinations.

    :param verdicts: a Verdicts
    """
    with fixtures.TempDir() as folder, cluster.Cluster(
            (), cloud_databases.copied(folder.path, True)) as cloud:
        before, carried, deleted = (), [], []
        for on in combinations():
            verdicts.begin('rolling', in_words(on))
            for role in {*before} ^ {*on}:
                cloud.services.switch(role, role in on)
            carried, gone = step(cloud, verdicts, carried,
                                 LEFT if WRITERS - {*on} else set())
            deleted += gone
            before = on
        with verdicts.check('archived, nothing is left of %d servers' % len(
                deleted)) as wrong:
            archive(cloud)
            wrong += sorted(residue.of(cloud.databases, deleted))


def step(cloud, verdicts, carried, may_be_left):
    """Boot, resize and delete under one combination, and see what is left.

    :param carried: uuids of small servers from the combination before
    :param may_be_left: codes of what heal may find about others, a set
    :returns: the same, for the next; the uuids of the servers that it has
        deleted
    """
    living, gone, left, carry = {}, [], [], []
    with verdicts.check('boot, resize, confirm, revert, delete'):
        living, gone = _story(cloud, carried)
    with verdicts.check('no server is lost') as wrong:
        for server, flavor in living.items():
            wrong += residue.losses(cloud.databases, server, flavor)
    with verdicts.check('a deleted server is no build') as wrong:
        wrong += [server for server in gone if cloud.rows(
            'api', 'build_requests', server)]
    with verdicts.check('heal') as wrong:
        found = heal(cloud)
        left = sorted({finding['Code'] for finding in found})
        wrong += [finding for finding in found if finding['Code'] not in (
            LEFT if finding['Server'] in carried else may_be_left)]
    with verdicts.check('then all is well: %s' % (
            ', '.join(left) or 'nothing was left')) as wrong:
        wrong += listed(cloud, (0, 1), 'audit', '--older-than', '0s')
        for server, flavor in living.items():
            wrong += residue.losses(cloud.databases, server, flavor)
    with verdicts.check('boot for the next one'):
        for server in living:
            cloud.delete(server)
            gone.append(server)
        carry = [cloud.boot()['id']]
    return carry, gone


def heal(cloud):
    """Mend what is wrong, and return it, a list of dicts.

    Of what has landed within this minute, what is named.
    """
    command = 'heal', '--yes', '--older-than', '0s'
    found = listed(cloud, (0,), *command)
    for finding in listed(cloud, (0, 1), 'audit', 'landed-build',
                          '--older-than', '0s'):
        found += listed(cloud, (0,), *command, '--server', finding['Server'])
    return found


def _story(cloud, carried):
    """Return the servers that live, {uuid: flavor}, and those deleted."""
    confirmed, reverted, deleted = booted = [
        cloud.accept() for _ in range(3)]
    for server in booted:
        cloud.wait_for(server, 'ACTIVE')
    moved = [confirmed, reverted, *carried]
    for server in moved:
        cloud.resize(server, 'large')
    for server in moved:
        cloud.wait_for(server, 'VERIFY_RESIZE')
        cloud.wait_for_super_conductor(server)
        cloud.act(server, 'revertResize' if server == reverted else
                  'confirmResize')
    for server in moved:
        cloud.wait_for(server, 'ACTIVE')
    gone = [deleted, *carried]
    for server in gone:
        cloud.delete(server)
    return {confirmed: 'large', reverted: 'small'}, gone


def archive(cloud, plugin=True):
    """Archive what was deleted, in all databases."""
    result = cloud.services.run('nova-manage', *ARCHIVE, plugin=plugin)
    # It says so with 1 that there was something.
    assert result.status in (0, 1), result
    assert 'Traceback' not in result.errors, result.errors


def listed(cloud, statuses, *command, **options):
    """Return what a command of the plugin lists, a list of dicts."""
    result = cloud.services.run('nova-cells-persist', *command, '-f', 'json',
                                **options)
    assert result.status in statuses, result
    return json.loads(result.output or '[]')
