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

"""The configuration files of the services.

Each is a dict of sections, each a dict of options, and is written below
``etc``.
"""

import configparser
import json
import os
import shutil

from tools.onebox import place as places

REGION = 'RegionOne'

# The three lines of nova.conf that switch the plugin on.
PLUGIN = {'DEFAULT': {'config_source': 'cells_persist'},
          'cells_persist': {'driver': 'nova_cells_persist'}}


# A device that flavors may ask for and that no host has. The scheduler does
# not know: PciPassthroughFilter is not on. A host has to refuse the server.
ABSENT_DEVICE = 'absent'

# Nova's own, and two more, which have hints of their own.
FILTERS = ','.join((
    'ComputeFilter', 'ComputeCapabilitiesFilter', 'ImagePropertiesFilter',
    'ServerGroupAntiAffinityFilter', 'ServerGroupAffinityFilter',
    'SameHostFilter', 'DifferentHostFilter'))


def write(path, *parts):
    """Write an INI file made of dicts of sections; later ones add to it."""
    parser = configparser.RawConfigParser(default_section=None)
    parser.optionxform = str
    for part in parts:
        for section, options in part.items():
            if not parser.has_section(section):
                parser.add_section(section)
            for option, value in options.items():
                parser.set(section, option, str(value))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', opener=_private) as file:
        parser.write(file)


def write_json(path, content):
    with open(path, 'w', opener=_private) as file:
        json.dump(content, file, indent=1)


def _private(path, flags):
    return os.open(path, flags, 0o600)


def _credentials(place, user):
    return {'auth_type': 'password',
            'auth_url': place.url('keystone', '/v3'),
            'username': user, 'password': place.password,
            'project_name': 'service', 'user_domain_id': 'default',
            'project_domain_id': 'default'}


def _client(place, user='nova'):
    return dict(_credentials(place, user), region_name=REGION)


def _cache(place):
    return {'enabled': True, 'backend': 'dogpile.cache.pymemcache',
            'memcache_servers': _memcached(place)}


def _memcached(place):
    return '%s:%d' % (places.HOST, place.port('memcached'))


def _token(place, user):
    return {'keystone_authtoken': dict(
        _credentials(place, user), memcached_servers=_memcached(place),
        www_authenticate_uri=place.url('keystone'),
        service_token_roles_required=True, service_token_roles='service')}


def _database(place, name):
    return {'connection': place.database(name)}


def keystone(place):
    write(place.path('etc', 'keystone', 'keystone.conf'), {
        'database': _database(place, 'keystone'),
        'token': {'provider': 'fernet', 'expiration': 86400},
        'fernet_tokens': {'key_repository': place.made('data', 'fernet')},
        'fernet_receipts': {'key_repository': place.path('data', 'fernet')},
        'credential': {'key_repository': place.made('data', 'credential')},
        # A hash that is slow on purpose would be what most time is spent in.
        'identity': {'password_hash_rounds': 4},
        'cache': _cache(place),
        'oslo_policy': {'enforce_scope': False}})


def placement(place):
    write(place.path('etc', 'placement', 'placement.conf'), {
        'placement_database': _database(place, 'placement'),
        'api': {'auth_strategy': 'keystone'}}, _token(place, 'placement'))


def glance(place, environment):
    folder = place.path('etc', 'glance')
    write(os.path.join(folder, 'glance-api.conf'), {
        'DEFAULT': {'enabled_backends': 'file:file',
                    'enforce_secure_rbac': False},
        'database': _database(place, 'glance'),
        'glance_store': {'default_backend': 'file'},
        'file': {'filesystem_store_datadir': place.made('data', 'images')},
        'os_glance_staging_store': {
            'filesystem_store_datadir': place.made('data', 'staging')},
        'os_glance_tasks_store': {
            'filesystem_store_datadir': place.made('data', 'tasks')},
        'oslo_concurrency': {'lock_path': place.made('data', 'lock')},
        'paste_deploy': {
            'flavor': 'keystone',
            'config_file': os.path.join(folder, 'glance-api-paste.ini')},
    }, _token(place, 'glance'))
    shutil.copy(environment.path('etc/glance/glance-api-paste.ini'), folder)


def neutron(place, environment):
    folder = place.path('etc', 'neutron')
    unlimited = {'quota_' + what: -1 for what in (
        'network', 'subnet', 'port', 'security_group', 'security_group_rule')}
    write(os.path.join(folder, 'neutron.conf'), {
        'DEFAULT': {
            'state_path': place.made('data', 'neutron'),
            'core_plugin': 'ml2', 'service_plugins': 'router',
            'api_paste_config': os.path.join(folder, 'api-paste.ini'),
            'transport_url': place.messages('neutron'),
            # There are no agents that would wait for any of these.
            'notify_nova_on_port_status_changes': False,
            'notify_nova_on_port_data_changes': False,
            'dhcp_agent_notification': False},
        'database': _database(place, 'neutron'),
        'oslo_concurrency': {'lock_path': place.made('data', 'lock')},
        'oslo_messaging_notifications': {'driver': 'noop'},
        'nova': _client(place), 'placement': _client(place, 'placement'),
        'ml2': {'type_drivers': 'local,flat', 'tenant_network_types': 'local',
                'mechanism_drivers': 'bind_at_once',
                'extension_drivers': 'port_security'},
        'ml2_type_flat': {'flat_networks': 'public'},
        'quotas': unlimited}, _token(place, 'neutron'))
    shutil.copy(environment.path('etc/neutron/api-paste.ini'), folder)


def _nova(place, host, vhost):
    """Return what every Nova service has."""
    lock = place.made('data', 'nova', host, 'lock')
    return {
        'DEFAULT': {
            'host': host, 'my_ip': places.HOST,
            'state_path': os.path.dirname(lock),
            'transport_url': place.messages(vhost),
            'allow_resize_to_same_host': False},
        'oslo_concurrency': {'lock_path': lock},
        'oslo_messaging_notifications': {'driver': 'noop'},
        'glance': {'api_servers': place.url('glance')},
        'cache': _cache(place),
        'service_user': dict(_credentials(place, 'nova'),
                             send_service_user_token=True),
        'placement': _client(place), 'neutron': _client(place),
        'cinder': {'catalog_info': 'volumev3::publicURL'},
        # Computes cannot tell the schedulers, which are at the API level.
        'filter_scheduler': {'track_instance_changes': False}}


def _plugin(plugin):
    return PLUGIN if plugin else {}


def nova_path(place, service):
    """Return the path of the nova.conf of a Nova service."""
    return place.path('etc', service, 'nova.conf')


def nova_of_api_level(place, service, environment, plugin):
    """Write nova.conf of nova-api, the super-conductor or the scheduler.

    Its ``[database]`` is that of cell0.

    :param plugin: whether the plugin is on
    """
    path = nova_path(place, service)
    write(path, _nova(place, service, 'nova_api'), {
        'DEFAULT': {'enabled_apis': 'osapi_compute'},
        'api_database': _database(place, 'nova_api'),
        'database': _database(place, 'nova_cell0'),
        'api': {'auth_strategy': 'keystone'},
        'conductor': {'workers': 1}, 'scheduler': {'workers': 1},
        'pci': {'alias': json.dumps({
            'name': ABSENT_DEVICE, 'vendor_id': '8086', 'product_id': 'ffff',
            'device_type': 'type-PCI'})},
        'filter_scheduler': {
            # What failed in a drill is not to keep servers from a host after.
            'build_failure_weight_multiplier': 0,
            'available_filters': 'nova.scheduler.filters.all_filters',
            'enabled_filters': FILTERS},
    }, _token(place, 'nova'), _plugin(plugin))
    shutil.copy(environment.path('etc/nova/api-paste.ini'),
                os.path.dirname(path))


def nova_of_conductor(place, cell, plugin):
    """Write nova.conf of a cell's conductor: no ``[api_database]`` there."""
    service = 'conductor-' + cell
    write(nova_path(place, service), _nova(place, service, 'nova_' + cell), {
        'database': _database(place, 'nova_' + cell),
        'conductor': {'workers': 1}}, _plugin(plugin))


def nova_of_compute(place, cell, host, plugin, more=None):
    """Write nova.conf of a compute host: no database at all.

    :param more: further sections, a dict
    """
    write(nova_path(place, 'compute-' + host),
          _nova(place, host, 'nova_' + cell), {
        'DEFAULT': {
            # FakeDriver itself cannot be started again on Nova 34: "No local
            # node identity found".
            'compute_driver': 'fake.FakeDriverWithoutFakeNodes',
            'reserved_host_memory_mb': 0,
            'initial_cpu_allocation_ratio': 1.0,
            'initial_ram_allocation_ratio': 1.0,
            'initial_disk_allocation_ratio': 1.0,
            'vif_plugging_is_fatal': False, 'vif_plugging_timeout': 0},
        'compute': {'live_migration_wait_for_vif_plug': False},
        'vnc': {'enabled': False},
        'workarounds': {'disable_group_policy_check_upcall': True},
    }, _plugin(plugin), more or {})
