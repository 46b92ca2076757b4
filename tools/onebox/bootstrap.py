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

"""What a cloud needs once: tables, cells, users, catalog, flavors, networks.

Everything here may be done again: it makes what is not there.
"""

import concurrent.futures
import os

import openstack

from tools import environments
from tools.onebox import configuration
from tools.onebox import place as places

# Nova's commands run without eventlet, in Nova 27 too.
NATIVE = {'OS_NOVA_DISABLE_EVENTLET_PATCHING': 'true'}

USERS = ('nova', 'placement', 'glance', 'neutron')

FLAVORS = {'m1.tiny': 64, 'm1.small': 128}
IMAGES = ('cirros', 'cirros-alt')


def connect(place):
    """Return openstacksdk's connection of the cloud's administrator."""
    return openstack.connect(
        auth_url=place.url('keystone', '/v3'), username='admin',
        password=place.password, project_name='admin',
        user_domain_id='default', project_domain_id='default',
        region_name=configuration.REGION, load_yaml_config=False,
        load_envvars=False)


def fill_databases(place, services, nova):
    """Make the tables of every database, and the cells.

    :param services: environment of everything but Nova
    :param nova: environment of Nova
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [
                pool.submit(_keystone, place, services),
                pool.submit(_placement, place, services),
                pool.submit(_glance, place, services),
                pool.submit(_neutron, place, services),
                pool.submit(_nova, place, nova)]:
            done.result()


def _runner(place, environment, name, path, env=None):
    """Return a function that runs a command with a configuration file."""
    def run(*arguments):
        environments.run(
            [environment.program(name), '--config-file', path, *arguments],
            env=env, log=place.log('bootstrap-' + name))
    return run


def _keystone(place, environment):
    manage = _runner(place, environment, 'keystone-manage',
                     place.path('etc', 'keystone', 'keystone.conf'))
    url = place.url('keystone', '/v3/')
    manage('db_sync')
    for what in ('fernet_setup', 'credential_setup'):
        manage(what, '--keystone-user', str(os.geteuid()),
               '--keystone-group', str(os.getegid()))
    manage('bootstrap', '--bootstrap-password', place.password,
           '--bootstrap-region-id', configuration.REGION,
           '--bootstrap-public-url', url, '--bootstrap-internal-url', url,
           '--bootstrap-admin-url', url)


def _placement(place, environment):
    _runner(place, environment, 'placement-manage',
            place.path('etc', 'placement', 'placement.conf'))('db', 'sync')


def _glance(place, environment):
    _runner(place, environment, 'glance-manage',
            place.path('etc', 'glance', 'glance-api.conf'))('db_sync')


def _neutron(place, environment):
    _runner(place, environment, 'neutron-db-manage',
            place.path('etc', 'neutron', 'neutron.conf'))('upgrade', 'head')


def _nova(place, environment):
    manage = nova_manage(place, environment)
    manage('api_db', 'sync')
    manage('cell_v2', 'map_cell0', '--database_connection',
           place.database('nova_cell0'))
    manage('db', 'sync', '--local_cell')
    for cell in places.CELLS:
        manage('cell_v2', 'create_cell', '--name', cell,
               '--database_connection', place.database('nova_' + cell),
               '--transport-url', place.messages('nova_' + cell))
        nova_manage(place, environment, 'conductor-' + cell)(
            'db', 'sync', '--local_cell')
    if not place.stock:
        plugin(place, environment)('db', 'sync')


def nova_manage(place, environment, service='super-conductor'):
    """Return a function that runs nova-manage."""
    return _runner(place, environment, 'nova-manage',
                   configuration.nova_path(place, service), NATIVE)


def plugin(place, environment):
    """Return a function that runs the command line of the plugin."""
    return _runner(place, environment, 'nova-cells-persist',
                   configuration.nova_path(place, 'super-conductor'), NATIVE)


def fill_catalog(place):
    """Make the accounts of the services and the endpoints, in keystone."""
    cloud = connect(place).identity
    project = cloud.find_project('service') or cloud.create_project(
        name='service', domain_id='default')
    role = cloud.find_role('service') or cloud.create_role(name='service')
    admin = cloud.find_role('admin')
    for name in USERS:
        user = cloud.find_user(name) or cloud.create_user(
            name=name, password=place.password, domain_id='default',
            default_project_id=project.id)
        for each in (admin, role):
            cloud.assign_project_role_to_user(project, user, each)
    for name, kind, url in (
            ('placement', 'placement', place.url('placement')),
            ('glance', 'image', place.url('glance')),
            ('nova', 'compute', place.url('nova-api', '/v2.1')),
            ('neutron', 'network', place.url('neutron'))):
        service = cloud.find_service(name) or cloud.create_service(
            name=name, type=kind)
        if not list(cloud.endpoints(service_id=service.id)):
            for interface in ('public', 'internal', 'admin'):
                cloud.create_endpoint(
                    service_id=service.id, interface=interface, url=url,
                    region_id=configuration.REGION)


def fill_resources(place):
    """Make the flavors, images and networks that a test boots with."""
    cloud = connect(place)
    for number, (name, memory) in enumerate(FLAVORS.items(), start=1):
        cloud.compute.find_flavor(name) or cloud.compute.create_flavor(
            id=str(number), name=name, vcpus=1, ram=memory, disk=1)
    for name in IMAGES:
        # Nothing ever boots from it.
        cloud.image.find_image(name) or cloud.image.create_image(
            name, data=os.urandom(4096), disk_format='raw',
            container_format='bare', visibility='public', use_import=False)
    _network(cloud.network, 'private', {
        'cidr': '10.1.0.0/20', 'enable_dhcp': True}, is_shared=True)
    _network(cloud.network, 'public', {
        'cidr': '172.24.4.0/24', 'gateway_ip': '172.24.4.1',
        'enable_dhcp': False}, is_router_external=True,
        provider_network_type='flat', provider_physical_network='public')


def _network(cloud, name, subnet, **options):
    if cloud.find_network(name) is None:
        network = cloud.create_network(name=name, **options)
        cloud.create_subnet(network_id=network.id, name=name, ip_version=4,
                            **subnet)
