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

"""The ground of the tests of operations that fail or are taken back."""

import threading

import fixtures

from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.objects import cells
from nova_cells_persist.objects import primitive

from tests.functional import base

#: Seconds within which what is waited for is there.
DEADLINE = 60


def no_valid_host(*args, **kwargs):
    raise nova_exc.NoValidHost(reason='of the test')


class RestoreTestCase(base.CloudTestCase):

    HOSTS = dict(base.CloudTestCase.HOSTS, host2='cell1')

    def saved(self, server, field, cell='cell1'):
        """Return what (Nova's row, the cell's newest revision) say."""
        rows = (self.rows('request_specs', server['id'])[-1],
                self.rows('request_spec', server['id'], cell)[-1])
        return tuple(primitive.data(row['spec'])[field] for row in rows)

    def assert_saved(self, server, field, value, cell='cell1'):
        self._wait_for_assert(lambda: self.assertEqual(
            (value, value), self.saved(server, field, cell)))

    def assert_flavor(self, server, flavor, cell='cell1'):
        def ids():
            return tuple(each[primitive.DATA]['flavorid']
                         for each in self.saved(server, 'flavor', cell))

        self._wait_for_assert(lambda: self.assertEqual(
            (self.flavors[flavor]['id'],) * 2, ids()))

    def assert_events(self, server, *events, cell='cell1'):
        self._wait_for_assert(lambda: self.assertEqual(
            list(enumerate(events, 1)), self.revisions(server['id'], cell)))

    def no_host(self):
        return fixtures.MonkeyPatch(
            'nova.scheduler.client.query.SchedulerQueryClient.'
            'select_destinations', no_valid_host)

    def driver_fails(self, method):
        def fail(*args, **kwargs):
            raise nova_exc.InstanceDeployFailure(reason='of the test')

        return fixtures.MonkeyPatch(
            'nova.virt.fake.FakeDriver.' + method, fail)

    def held(self):
        """Return an Event that is set at the end, whatever becomes of it."""
        event = threading.Event()
        self.addCleanup(event.set)
        return event

    def instance(self, server):
        """Return the Instance as it is now, as nova-api reads it."""
        return objects.Instance.get_by_uuid(
            cells.targeted(self.context, self.cell_mappings['cell1']),
            server['id'], expected_attrs=['flavor', 'system_metadata'])

    def limits_saved_too(self):
        """Have a resize change a field that no flavor decides."""
        save = objects.RequestSpec.save

        def change_more(spec):
            spec.limits = objects.SchedulerLimits(vcpu=7)
            save(spec)

        return fixtures.MonkeyPatch(
            'nova_cells_persist.objects.request_spec.RequestSpec.save',
            change_more)

    def resize(self, server, flavor=1):
        self.api.post_server_action(server['id'], {
            'resize': {'flavorRef': self.flavors[flavor]['id']}})

    def settled(self, server, status):
        return self._wait_for_server_parameter(
            server, {'status': status, 'OS-EXT-STS:task_state': None})
