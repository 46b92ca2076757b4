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

"""Which packages are in the virtual environments of a cloud."""

import os

from tools import environments

BINDER = os.path.join(environments.ROOT, 'tools', 'onebox', 'bind_at_once')

SERVICES = ('keystone==30.0.0', 'openstack-placement==16.0.0',
            'glance==33.0.0', 'neutron==29.0.0')
TEMPEST = ('tempest==47.0.0',)
# The clients of MariaDB and memcached, the WSGI server, and what Nova's fake
# driver imports.
COMMON = ('PyMySQL', 'python-memcached', 'pymemcache', 'pyuwsgi', 'fixtures')


def services(cache):
    """Return the environment of every service but Nova."""
    return environments.made(
        cache, 'services', SERVICES + COMMON,
        environments.constraints('services'), (BINDER,))


def nova(cache, version, wheel):
    """Return the environment of Nova.

    :param version: such as '34.0.0'
    :param wheel: path of the plugin's wheel, or None for a stock Nova
    """
    return environments.nova(cache, version, wheel, COMMON)


def tempest(cache, wheel):
    """Return the environment of tempest with the plugin's tests."""
    pins = environments.constraints('tempest')
    environment = environments.made(cache, 'tempest', TEMPEST, pins)
    environments.install(environment, wheel + '[tempest]', pins)
    return environment
