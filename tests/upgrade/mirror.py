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

"""Builds that Nova has no row of, where a service has no plugin.

With mirror_build_requests off that is unsafe, as is shown here, and "upgrade
check" says so as soon as there is a row that tells it.
"""

from tests.functional import cluster
from tests.functional import services
from tests.upgrade import residue
from tests.upgrade import rolling

OFF = {'mirror_build_requests': 'False'}
SAID = '--all-nodes-have-plugin'


def play(verdicts):
    """Turn it off, and take the plugin from one service, then another.

    :param verdicts: a Verdicts
    """
    with cluster.Cluster() as cloud:
        _in_all(cloud, verdicts)
        _not_in_an_api(cloud, verdicts)
        _not_in_the_super_conductor(cloud, verdicts)


def _in_all(cloud, verdicts):
    verdicts.begin('mirror', 'off, the plugin in all services')
    cloud.services.switch(services.API, True, **OFF)
    rolling.step(cloud, verdicts, (), set())
    with verdicts.check('upgrade check wants to be told'):
        _check(cloud, 1, SAID)
    with verdicts.check('upgrade check, having been told'):
        _check(cloud, 0, '', SAID)


def _not_in_an_api(cloud, verdicts):
    verdicts.begin('mirror', 'off, a nova-api without the plugin')
    cloud.services.start(services.SECOND_API)
    cloud.services.stop(services.SUPER)
    with verdicts.check('it does not show a build') as wrong:
        server = cloud.accept()
        wrong += [api for api, shown in (
            ('nova_api', True), ('second_api', False))
            if cloud.is_shown(server, api) != shown]
    with verdicts.check('upgrade check'):
        other = cloud.accept(api='second_api')
        _check(cloud, 2, '1 accepted-without-plugin', SAID)
    with verdicts.check('all are built') as wrong:
        cloud.services.start(services.SUPER)
        for each in (server, other):
            cloud.wait_for(each, 'ACTIVE')
            wrong += residue.losses(cloud.databases, each, 'small')


def _not_in_the_super_conductor(cloud, verdicts):
    verdicts.begin('mirror', 'off, a super-conductor without the plugin')
    cloud.services.switch(services.SUPER, False)
    with verdicts.check('it drops a build') as wrong:
        server = cloud.accept()
        # It has Nova's row, so this one is built.
        cloud.wait_for(cloud.accept(api='second_api'), 'ACTIVE')
        cloud.wait_until(lambda: not cloud.is_shown(server), cloud.errors)
        wrong += [table for table in residue.of(cloud.databases, [server])
                  if table.endswith('.instances')]
    with verdicts.check('upgrade check'):
        _check(cloud, 2, '1 dropped-without-plugin', SAID)
    with verdicts.check('heal buries it'):
        rolling.listed(cloud, (0,), 'heal', 'stuck-build', '--yes',
                       '--older-than', '0s', '--server', server)
        cloud.wait_for(server, 'ERROR')
    with verdicts.check('upgrade check, of a build with a mirror'):
        cloud.services.switch(services.API, True)
        cloud.boot()   # with Nova's row, which that conductor removes
        _check(cloud, 2, '1 removed-without-plugin', SAID)


def _check(cloud, status, text, *arguments):
    result = cloud.services.run('nova-cells-persist-status', *arguments,
                                'upgrade', 'check', **OFF)
    # The table breaks its lines.
    said = ''.join(result.output.replace('|', ' ').split())
    assert result.status == status and text.replace(' ', '') in said, result
