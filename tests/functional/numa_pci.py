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

"""A cell whose servers have a NUMA topology and PCI devices.

On Nova's own libvirt fixtures, with the plugin on it.
"""

import collections
import contextlib
import copy
import threading

import fixtures
from oslo_config import cfg
from oslo_log import log as logging
from oslo_messaging.rpc import client as rpc_client
from oslo_serialization import jsonutils
from oslo_utils import importutils

from nova.compute import rpcapi
from nova.conductor import manager as conductor_manager
from nova import exception as nova_exc
from nova import objects
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.functional.libvirt import base as libvirt_base

from tests.functional import base

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

# When what is cast is done, and so what a super-conductor saves after its
# cast of a move.

#: Nova's own CastAsCallFixture: the caller waits and gets the errors. The
#: super-conductor saves last, and does not save a move that has failed.
AS_CALLS = 'as calls'
#: The caller waits and gets no errors: the super-conductor saves last.
SAVED_LAST = 'saved last'
#: As above, but a move begins when the super-conductor is through with it.
SAVED_FIRST = 'saved first'
#: As in a cloud: what is first is a matter of chance.
ASYNC = 'async'

#: Longer than a test may take; in seconds.
ONE_HOUR = 3600

#: Where a move fails: the function of Nova, and what it raises.
FAILURES = {
    'no valid host': (
        'nova.scheduler.client.query.SchedulerQueryClient.'
        'select_destinations', nova_exc.NoValidHost(reason='of the test')),
    'prep_resize': (   # on each host; a compute calls for the next one
        'nova.compute.resource_tracker.ResourceTracker.resize_claim',
        nova_exc.ComputeResourcesUnavailable(reason='of the test')),
    'resize_instance': (   # on the source
        'nova.virt.libvirt.driver.LibvirtDriver.migrate_disk_and_power_off',
        nova_exc.ResizeError(reason='of the test')),
    'finish_resize': (   # on the destination
        'nova.virt.libvirt.driver.LibvirtDriver.finish_migration',
        nova_exc.ResizeError(reason='of the test')),
    'save': (   # the super-conductor dies when it has cast the move
        'nova_cells_persist.objects.request_spec.RequestSpec.save',
        RuntimeError('of the test')),
    'spawn': (   # of an unshelve, a rebuild or an evacuation
        'nova.virt.libvirt.driver.LibvirtDriver.spawn',
        nova_exc.InstanceDeployFailure(reason='of the test')),
    'revert_resize': (   # on the destination; it still is the new server
        'nova.virt.libvirt.driver.LibvirtDriver.destroy',
        nova_exc.ResizeError(reason='of the test')),
    'finish_revert_resize': (   # on the source; it is the old server
        'nova.virt.libvirt.driver.LibvirtDriver.finish_revert_migration',
        nova_exc.ResizeError(reason='of the test')),
}

#: :ivar flavor: the flavorid
#: :ivar numa: None, or (shared CPUs, dedicated CPUs, MiB) of each cell
#: :ivar pci: {alias: number of devices}
Contract = collections.namedtuple('Contract', 'flavor numa pci')

_NUMA = {'hw:numa_nodes': '2', 'hw:cpu_policy': 'dedicated'}
_SHAPE = ((0, 1, 512), (0, 1, 512))


class NumaPciTestCase(base.PluggedMixin, libvirt_base.ServersTestBase):
    """Computes test_compute0, ... in cell1, which are all alike."""

    ADMIN_API = True
    microversion = 'latest'
    ADDITIONAL_FILTERS = ['NUMATopologyFilter', 'PciPassthroughFilter']

    CASTS = AS_CALLS
    #: Of SAVED_FIRST: whether the next move is one.
    saved_first = True
    #: One stays an alternate when a server is moved.
    COMPUTES = 3
    #: {alias: product_id}, two of each on every compute.
    DEVICES = {'a1': fakelibvirt.PCI_PROD_ID, 'a2': '1534'}
    #: {flavorid: (vCPUs, MiB, extra specs, the contract)}
    FLAVORS = {
        'small': (1, 512, {}, Contract('small', None, {})),
        'large': (2, 2048, {}, Contract('large', None, {})),
        'numa': (2, 1024, _NUMA, Contract('numa', _SHAPE, {})),
        'pci': (1, 1024, {'pci_passthrough:alias': 'a1:1'},
                Contract('pci', None, {'a1': 1})),
        'numa_pci': (2, 1024, dict(_NUMA, **{'pci_passthrough:alias': 'a2:1'}),
                     Contract('numa_pci', _SHAPE, {'a2': 1})),
    }

    def setUp(self):
        if self.CASTS != AS_CALLS:
            self.useFixture(fixtures.MonkeyPatch(
                'nova.tests.fixtures.CastAsCallFixture',
                lambda testcase: fixtures.Fixture()))
        self.flags(cpu_shared_set='0,1,4,5', cpu_dedicated_set='2,3,6,7',
                   group='compute')
        ids = {alias: {'vendor_id': fakelibvirt.PCI_VEND_ID,
                       'product_id': product_id}
               for alias, product_id in self.DEVICES.items()}
        devices = ('device_spec' if 'device_spec' in CONF.pci else
                   'passthrough_whitelist')
        self.flags(**{devices: [
            jsonutils.dumps(each) for each in ids.values()]}, group='pci')
        self.flags(
            alias=[jsonutils.dumps(dict(each, name=alias))
                   for alias, each in ids.items()], group='pci')
        super().setUp()
        if self.CASTS in (SAVED_LAST, SAVED_FIRST):
            self._wait_for_casts()
        if self.CASTS == SAVED_FIRST:
            self._hold_moves()
        self.useFixture(fixtures.MockPatch(
            'nova.virt.libvirt.driver.LibvirtDriver.'
            'migrate_disk_and_power_off', return_value='{}'))
        for number in range(self.COMPUTES):
            self.start_compute(
                'test_compute%d' % number, pci_info=self._devices(),
                host_info=fakelibvirt.HostInfo(
                    cpu_nodes=2, cpu_sockets=1, cpu_cores=2, cpu_threads=2))
        for name, (vcpu, ram, extra_specs, _) in self.FLAVORS.items():
            self._create_flavor(name, name, memory_mb=ram, vcpu=vcpu, disk=1,
                                ephemeral=0, extra_spec=extra_specs)

    def _devices(self):
        info = fakelibvirt.HostPCIDevicesInfo(num_pfs=0, num_vfs=0)
        for slot, product_id in enumerate(list(self.DEVICES.values()) * 2):
            info.add_device('PCI', bus=0x81, slot=slot, function=0,
                            iommu_group=40 + slot, numa_node=slot // 2,
                            prod_id=product_id)
        return info

    def _wait_for_casts(self):
        # Until it is over, on a machine that is busy with something else too:
        # who waits no longer sees a move that is half done.
        self.flags(rpc_response_timeout=ONE_HOUR)
        # Of this class and not of the one that it has it from: what undoes
        # Nova's CastAsCallFixture gives it one of its own, for all tests that
        # come later in this process.
        cast = rpc_client._CallContext.cast

        def cast_and_wait(client, context, method, **kwargs):
            if client.target.fanout:
                return cast(client, context, method, **kwargs)
            try:
                client.call(context, method, **kwargs)
            except Exception as exc:
                LOG.warning('%s() has failed after its cast: %r', method, exc)

        self.useFixture(fixtures.MonkeyPatch(
            'oslo_messaging.rpc.client._CallContext.cast', cast_and_wait))

    def _hold_moves(self):
        held = threading.local()
        cast = rpcapi.ComputeAPI.prep_resize
        migrate_server = conductor_manager.ComputeTaskManager.migrate_server

        def hold(*args, **kwargs):
            if self.saved_first:
                held.casts.append((args, kwargs))
            else:
                cast(*args, **kwargs)

        def migrate_server_first(manager, context, **kwargs):
            held.casts = casts = []
            try:
                migrate_server(manager, context, **kwargs)
            finally:   # what is cast is cast, whatever becomes of the save
                for args, kwargs in casts:
                    cast(*args, **kwargs)

        self.useFixture(fixtures.MonkeyPatch(
            'nova.compute.rpcapi.ComputeAPI.prep_resize', hold))
        self.useFixture(fixtures.MonkeyPatch(
            'nova.conductor.manager.ComputeTaskManager.migrate_server',
            migrate_server_first))

    # What a user does

    def boot(self, flavor, host='test_compute0'):
        """Boot a server and wait until it is ACTIVE."""
        return self._create_server(
            flavor_id=flavor, host=host, networks='none')

    def move(self, server, flavor=None, status='VERIFY_RESIZE'):
        """Resize, or cold-migrate without a flavor, until it is over."""
        if flavor:
            body = {'resize': {'flavorRef': flavor}}
        else:
            body = {'migrate': None}
        return self._act(server, body, 'conductor_migrate_server', status)

    def confirm(self, server):
        return self._act(server, {'confirmResize': None},
                         'compute_confirm_resize', 'ACTIVE')

    def revert(self, server, status='ACTIVE'):
        event = ('compute_revert_resize' if status == 'ERROR'
                 else 'compute_finish_revert_resize')
        return self._act(server, {'revertResize': None}, event, status)

    def _act(self, server, body, event, status):
        self.api.post_server_action(server['id'], body)
        self._wait_for_assert(lambda: self.assertTrue(
            self._has_ended(server, event)))
        return self._wait_for_server_parameter(
            server, {'status': status, 'OS-EXT-STS:task_state': None})

    def _has_ended(self, server, event):
        """Whether it has, in the last action on that server.

        On a reschedule Nova begins another of that name, one in the other,
        and one of them has no end.
        """
        last = self.api.get_instance_actions(server['id'])[0]
        events = self.api.get_instance_action_details(
            server['id'], last['request_id'])['events']
        return any(each['result'] for each in events
                   if each['event'] == event)

    @contextlib.contextmanager
    def failing(self, point, times=None):
        """Have moves fail at one of FAILURES.

        Yields a list that is not empty when the point was reached.

        :param times: how many times; always if None
        """
        target, error = FAILURES[point]
        cls, _, method = target.rpartition('.')
        stock = getattr(importutils.import_class(cls), method)
        failed = []

        def fail(*args, **kwargs):
            if len(failed) == times:
                return stock(*args, **kwargs)
            failed.append(args)
            # A copy: the traceback of one that is raised again grows.
            raise copy.copy(error)

        with fixtures.MonkeyPatch(target, fail):
            yield failed

    # What its contract is

    def contract_of(self, row):
        """Return the Contract in a row of request_spec or request_specs."""
        spec = jsonutils.loads(row['spec'])['nova_object.data']
        numa, pci = spec['numa_topology'], spec['pci_requests']
        if numa is not None:
            cells = [cell['nova_object.data']
                     for cell in numa['nova_object.data']['cells']]
            numa = tuple((len(cell['cpuset']), len(cell['pcpuset']),
                          cell['memory']) for cell in cells)
        pci = [request['nova_object.data']
               for request in pci['nova_object.data']['requests']]
        return Contract(
            self.flavor_of(row), numa,
            {request['alias_name']: request['count'] for request in pci})

    def assert_contract(self, server, flavor):
        """Both databases say that it has that flavor, with all of it."""
        expected = dict.fromkeys(('API database', 'cell'),
                                 self.FLAVORS[flavor][-1])

        def both():
            said = self.contracts(server['id'])
            self.assertEqual(expected, said, said != expected and
                             self.more_of(server['id']) or '')

        if self.CASTS == ASYNC:
            self._wait_for_assert(both)
        else:   # all is over: what is wrong now stays wrong
            both()

    def contracts(self, server_id):
        """Return {database: the Contract that its newest row says}."""
        nova, = self.rows('request_specs', server_id)
        newest = self.rows('request_spec', server_id, 'cell1')[-1]
        return {'API database': self.contract_of(nova),
                'cell': self.contract_of(newest)}

    def more_of(self, server_id):
        """Say what helps to find out why a contract is wrong."""
        again = self.contracts(server_id)
        with self.targeted('cell1') as cctxt:
            instance = objects.Instance.get_by_uuid(
                cctxt, server_id, expected_attrs=['flavor'])
        return 'Read again: %s. In cell1: %s; revisions %s' % (
            again, (instance.flavor.flavorid, instance.vm_state,
                    instance.task_state),
            [(row['revision'], row['event'], row['pending'],
              str(row['created_at']), self.flavor_of(row))
             for row in self.rows('request_spec', server_id, 'cell1')])
