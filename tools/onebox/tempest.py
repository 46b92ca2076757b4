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

"""Tempest on a cloud: its workspace, its runs, what each test came to."""

import contextlib
import dataclasses
import os
import subprocess
import time

from tools import environments
from tools.onebox import bootstrap
from tools.onebox import configuration
from tools.onebox import errors
from tools.onebox import packages
from tools.onebox import place as places
from tools.onebox import processes
from tools.onebox import services
from tools import run_tests

# What no cloud of fake computes can do, whatever Nova it runs.
CANNOT_PASS = ('test_get_hypervisor_uptime',
               'test_get_console_output_with_unlimited_size',
               'test_live_migration_with_trunk')
COMPUTE = r'^tempest\.api\.compute'
# They take any other host as the destination, and no server moves to another
# cell while it runs or while it is shelved.
OTHER_HOST = (r'^tempest\.api\.compute\.admin\.(test_live_migration|'
              r'test_servers_on_multinodes\.UnshelveToHost)')
OURS = r'^nova_cells_persist_tempest_plugin'

# So that each test is seen as soon as it has ended.
UNBUFFERED = dict(os.environ, PYTHONUNBUFFERED='1')


@dataclasses.dataclass(frozen=True)
class Part:
    """Some of the tests, run in one go.

    :param one_cell: whether only the first cell takes servers meanwhile
    """

    name: str
    regex: str
    excluded: tuple = ()
    one_cell: bool = False


PARTS = (
    Part('compute', COMPUTE, CANNOT_PASS + (OTHER_HOST,)),
    Part('compute, in one cell', OTHER_HOST, CANNOT_PASS, one_cell=True),
    Part('cells-persist', OURS))


class Tempest:
    """Tempest with the plugin's tests, and a cloud to run it on.

    :param cloud: a Cloud that is up
    :param cache: the folder of the virtual environments
    """

    def __init__(self, cloud, cache):
        self._cloud = cloud
        self._place = cloud.place
        self._cache = cache
        self._environment = None

    def prepare(self):
        """Install tempest and write its configuration."""
        self._environment = packages.tempest(
            self._cache,
            environments.wheel(self._place.path('tempest-wheel')))
        if not os.path.exists(self._place.path('tempest')):
            environments.run([
                self._environment.program('tempest'), 'init', '--name',
                'cloud', '--workspace-path', self._place.path('workspaces'),
                self._place.path('tempest')])
        configuration.write(
            self._place.path('tempest', 'etc', 'tempest.conf'),
            settings(self._place, bootstrap.connect(self._place)))

    def run(self, part, seen):
        """Run some tests.

        :param part: a Part
        :param seen: called with the id and the verdict of each test
        :returns: a tools.run_tests.Run
        :raises: NoTest
        """
        command = [self._environment.program('tempest'), 'run', '--subunit',
                   '--concurrency', '2', '--workspace', 'cloud',
                   '--workspace-path', self._place.path('workspaces'),
                   '--regex', part.regex]
        if part.excluded:
            command += ['--exclude-regex', '|'.join(part.excluded)]
        began = time.monotonic()
        log = self._place.log('tempest')
        with self._only_first_cell() if part.one_cell else (
                contextlib.nullcontext()), open(log, 'ab') as said:
            with subprocess.Popen(
                    command, cwd=self._place.path('tempest'),
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=said, env=UNBUFFERED) as tempest:
                # Its exit status is 0 whatever becomes of the tests.
                verdicts, reasons = run_tests.read(tempest.stdout, seen)
        if not verdicts:
            raise errors.NoTest(part.regex, log, processes.last_lines(log))
        return run_tests.Run(verdicts, reasons=reasons,
                             seconds=time.monotonic() - began)

    @contextlib.contextmanager
    def _only_first_cell(self):
        compute = bootstrap.connect(self._place).compute
        _, *others = places.CELLS.values()
        away = [service for service in compute.services(binary='nova-compute')
                for hosts in others if service.host in hosts]
        for service in away:
            compute.disable_service(service)
        try:
            yield
        finally:
            for service in away:
                compute.enable_service(service)


def settings(place, connection):
    """Return tempest.conf of a cloud, a dict of sections."""
    image, other = [connection.image.find_image(name).id
                    for name in bootstrap.IMAGES]
    public = connection.network.find_network('public').id
    cloud = '%s --folder %s ' % (
        os.path.join(places.ROOT, 'tools', 'cloud'), place.folder)
    features = dict.fromkeys((
        'resize', 'cold_migration', 'live_migration',
        'block_migration_for_live_migration', 'live_migrate_back_and_forth',
        'console_output', 'config_drive', 'rescue', 'suspend', 'pause',
        'shelve', 'interface_attach'), True)
    features['scheduler_enabled_filters'] = configuration.FILTERS
    features.update(dict.fromkeys((
        'vnc_console', 'spice_console', 'serial_console', 'snapshot',
        'personality', 'attach_encrypted_volume', 'swap_volume',
        'volume_backed_live_migration', 'cert_management'), False))
    return {
        'DEFAULT': {'log_dir': place.path('log'), 'debug': True,
                    'log_file': 'tempest-tests.log'},
        'oslo_concurrency': {'lock_path': place.path('tempest', 'lock')},
        'auth': {'use_dynamic_credentials': True, 'admin_username': 'admin',
                 'admin_password': place.password,
                 'admin_project_name': 'admin',
                 'admin_domain_name': 'Default',
                 'create_isolated_networks': True},
        'identity': {'uri_v3': place.url('keystone', '/v3'),
                     'auth_version': 'v3', 'region': configuration.REGION},
        'service_available': {
            'nova': True, 'glance': True, 'neutron': True, 'cinder': False,
            'swift': False, 'horizon': False},
        'image': {'http_image': 'http://%s/none' % places.HOST},
        'compute': {'image_ref': image, 'image_ref_alt': other,
                    'flavor_ref': '1', 'flavor_ref_alt': '2',
                    'min_compute_nodes': 2,
                    # tempest may know more than an older Nova does.
                    'max_microversion': services.microversion(place),
                    'build_timeout': 120, 'build_interval': 1,
                    'fixed_network_name': 'private'},
        'compute-feature-enabled': features,
        'network': {'public_network_id': public,
                    'floating_network_name': 'public',
                    'project_network_cidr': '10.100.0.0/16'},
        'validation': {'run_validation': False},
        'cells_persist': {
            'enabled': not place.stock,
            'cells': ';'.join('%s:%s' % (cell, ','.join(hosts))
                              for cell, hosts in places.CELLS.items()),
            'hold_command': cloud + 'hold super-conductor',
            'release_command': cloud + 'release super-conductor',
            'refused_extra_specs': 'pci_passthrough:alias=%s:1'
            % configuration.ABSENT_DEVICE}}
