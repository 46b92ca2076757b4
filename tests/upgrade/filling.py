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

"""A cloud of an old release, filled by what runs there."""

from tests.functional import cluster
from tests.functional import services


def fill(databases, prefix):
    """Run Nova with the plugin, and boot a server of each kind.

    :param databases: a CloudDatabases with all tables
    :param prefix: the folder of the environment of Python with Nova
    :returns: {what it is: uuid}
    """
    with cluster.Cluster(databases=databases, prefix=prefix) as cloud:
        return _servers(cloud)


def _servers(cloud):
    group = cloud.create_group('anti-affinity')
    made = {name: cloud.accept() for name in (
        'landed', 'resized', 'resizing', 'reverted', 'deleted')}
    made['grouped'] = cloud.accept(group)
    for server in made.values():
        cloud.wait_for(server, 'ACTIVE')
    for name in ('resized', 'resizing', 'reverted'):
        cloud.resize(made[name], 'large')
    for name in ('resized', 'resizing', 'reverted'):
        cloud.wait_for(made[name], 'VERIFY_RESIZE')
        cloud.wait_for_super_conductor(made[name])
    cloud.act(made['resized'], 'confirmResize')
    cloud.act(made['reverted'], 'revertResize')
    for name in ('resized', 'reverted'):
        cloud.wait_for(made[name], 'ACTIVE')
    cloud.delete(made['deleted'])
    made['buried'] = cloud.boot(
        status='ERROR', availability_zone='nova:no-such-host')['id']
    cloud.services.stop(services.SUPER)
    made['in flight'] = cloud.accept()
    return made
