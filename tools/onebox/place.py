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

"""Where a cloud is: its folder, its ports, its password."""

import dataclasses
import json
import os
import secrets

from tools.onebox import errors

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

HOST = '127.0.0.1'

# Of what each service listens on, in the order of their ports.
LISTENERS = (
    'mariadb-control', 'mariadb-api', 'mariadb-cell1', 'mariadb-cell2',
    'epmd', 'rabbitmq', 'rabbitmq-nodes', 'memcached', 'keystone',
    'placement', 'glance', 'neutron', 'nova-api',
    # Started by a drill.
    'nova-api-2')

CELLS = {'cell1': ('c1h1', 'c1h2'), 'cell2': ('c2h1', 'c2h2')}

# Which MariaDB has a database. Those of a cell have a server of their own, and
# so has Nova's API level, so that one can be stopped without the others.
DATABASES = {
    'keystone': 'control', 'placement': 'control', 'glance': 'control',
    'neutron': 'control', 'nova_api': 'api', 'nova_cell0': 'api',
    'nova_cell1': 'cell1', 'nova_cell2': 'cell2'}

VHOSTS = ('nova_api', 'nova_cell1', 'nova_cell2', 'neutron')


@dataclasses.dataclass(frozen=True)
class Place:
    """What is known of a cloud before it is up.

    :param folder: an absolute path; all of the cloud's files are below it
    :param first_port: the services listen on this one and those after it
    :param password: of every account in the cloud
    :param nova: the version of Nova
    :param stock: whether the plugin is left out
    """

    folder: str
    first_port: int
    password: str = dataclasses.field(repr=False)
    nova: str
    stock: bool

    def path(self, *names):
        """Return a path in the folder."""
        return os.path.join(self.folder, *names)

    def made(self, *names):
        """Return the path of a folder in the folder, which is there then."""
        path = self.path(*names)
        os.makedirs(path, exist_ok=True)
        return path

    def log(self, service):
        return self.path('log', service + '.log')

    def port(self, listener):
        return self.first_port + LISTENERS.index(listener)

    def url(self, listener, suffix=''):
        return 'http://%s:%d%s' % (HOST, self.port(listener), suffix)

    def database(self, name):
        """Return the URL of a database for SQLAlchemy."""
        return 'mysql+pymysql://cloud:%s@%s:%d/%s?charset=utf8' % (
            self.password, HOST, self.port('mariadb-' + DATABASES[name]),
            name)

    def messages(self, vhost):
        """Return the transport URL of a virtual host of RabbitMQ."""
        return 'rabbit://cloud:%s@%s:%d/%s' % (
            self.password, HOST, self.port('rabbitmq'), vhost)

    def save(self):
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        descriptor = os.open(self.path('cloud.json'),
                             os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, 'w') as file:
            json.dump(dataclasses.asdict(self), file, indent=1)


def new(folder, first_port, nova, stock):
    return Place(folder, first_port, secrets.token_hex(8), nova, stock)


def known(folder):
    """Return the place of a cloud that was brought up.

    :raises: NoCloud
    """
    try:
        with open(os.path.join(folder, 'cloud.json')) as file:
            return Place(**json.load(file))
    except FileNotFoundError:
        raise errors.NoCloud(folder) from None
