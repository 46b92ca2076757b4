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

"""The plugin is removed, and stock Nova goes on with what there is."""

import fixtures

from tests.functional import cloud_databases
from tests.functional import cluster
from tests.functional import services
from tests.upgrade import residue
from tests.upgrade import rolling

#: The action of each move, the status that comes of it, and what ends it.
MOVES = {
    'cold migrate': ('migrate', 'VERIFY_RESIZE', 'revertResize'),
    'live migrate': ('os-migrateLive', 'ACTIVE', None),
    'shelve and unshelve': ('shelve', 'SHELVED_OFFLOADED', 'unshelve'),
    'cold migrate again': ('migrate', 'VERIFY_RESIZE', 'confirmResize')}

#: What stock Nova needs where the conductor of a cell has no API database.
WORKAROUNDS = {'disable_group_policy_check_upcall': 'True'}

LIVE = {'host': None, 'block_migration': 'auto'}


def play(verdicts):
    """Fill a cloud with the plugin, remove that, and see stock Nova work.

    :param verdicts: a Verdicts
    """
    verdicts.begin('removal', 'from all services')
    with cluster.Cluster() as cloud:
        flavors, deleted = _fill(cloud)
        _look(cloud, verdicts, list(flavors)[0])
        _remove(cloud, verdicts)
        # Restarted, Nova's fake driver knows no guest; one that is resized
        # is known where it comes to.
        for (name, move), server in zip(MOVES.items(), list(flavors)):
            with verdicts.check('stock Nova: resize and %s' % name):
                flavors[server] = _resize(cloud, server, flavors[server])
                _move(cloud, server, *move)
        with verdicts.check('stock Nova: archive') as wrong:
            last = cloud.boot()['id']
            cloud.delete(last)
            rolling.archive(cloud, plugin=False)
            wrong += sorted(residue.of(cloud.databases, [deleted, last]))
        with verdicts.check('no server is lost') as wrong:
            for server, flavor in flavors.items():
                cloud.wait_for(server, 'ACTIVE')
                wrong += residue.losses(cloud.databases, server, flavor)


def _fill(cloud):
    """Return living servers, {uuid: flavor}, and one that was deleted."""
    group = cloud.create_group('anti-affinity')
    flavors = dict.fromkeys(
        [cloud.boot()['id'], cloud.boot(group)['id']], 'small')
    for flavor, end in (('large', 'confirmResize'),
                        ('small', 'revertResize')):
        server = cloud.boot()['id']
        cloud.resize(server, 'large')
        cloud.wait_for(server, 'VERIFY_RESIZE')
        cloud.wait_for_super_conductor(server)
        cloud.act(server, end)
        cloud.wait_for(server, 'ACTIVE')
        flavors[server] = flavor
    deleted = cloud.boot()['id']
    cloud.delete(deleted)
    return flavors, deleted


def _look(cloud, verdicts, server):
    """See that nothing is called safe that is not."""
    with verdicts.check('upgrade check, when a request spec is lost'):
        cloud.databases.change(
            'api', 'DELETE FROM request_specs WHERE instance_uuid = :server',
            server=server)
        result = cloud.services.run('nova-cells-persist-status', 'upgrade',
                                    'check')
        assert result.status == 1, result
        assert '1 missing-spec' in ' '.join(result.output.split()), result
        rolling.listed(cloud, (0,), 'heal', 'missing-spec', '--yes',
                       '--older-than', '0s')
    with verdicts.check('upgrade check'):
        result = cloud.services.run('nova-cells-persist-status', 'upgrade',
                                    'check')
        assert result.status == 0, result


def _remove(cloud, verdicts):
    with fixtures.TempDir() as folder:
        bare = cloud_databases.copied(folder.path, False)
        with verdicts.check('all services are restarted without it'):
            cloud.services.workarounds = WORKAROUNDS
            for role in services.ROLES:
                cloud.services.switch(role, False)
        with verdicts.check('db drop') as wrong:
            result = cloud.services.run('nova-cells-persist', 'db', 'drop',
                                        '--yes', plugin=False)
            assert result.status == 0, result
            for name in cloud_databases.NAMES:
                wrong += cloud.databases.tables(name) ^ bare.tables(name)


def _resize(cloud, server, flavor):
    """Resize a server and return the name of its new flavor."""
    new = {'small': 'large', 'large': 'small'}[flavor]
    cloud.resize(server, new)
    cloud.wait_for(server, 'VERIFY_RESIZE')
    cloud.wait_for_super_conductor(server)
    cloud.act(server, 'confirmResize')
    cloud.wait_for(server, 'ACTIVE')
    return new


def _move(cloud, server, action, status, end):
    host = cloud.show(server)['OS-EXT-SRV-ATTR:host']
    cloud.act(server, action, **(LIVE if action == 'os-migrateLive' else {}))
    # A live migration is over with nothing to see but the host.
    cloud.wait_until(lambda: cloud.show(server)[
        'OS-EXT-SRV-ATTR:host'] != host, cloud.errors)
    cloud.wait_for(server, status)
    if end:
        cloud.act(server, end)
        cloud.wait_for(server, 'ACTIVE')
