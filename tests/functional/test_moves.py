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

"""Whatever is done to a server, its request spec says what it is.

Hypothesis draws sequences of what can be done, and of what can fail. After
each step the request spec in both databases is compared with the server.
"""

import contextlib
import logging
import os

import fixtures
import hypothesis
from hypothesis import stateful
from hypothesis import strategies
from oslo_config import cfg
from testtools import matchers

from nova import objects
from nova.tests.functional.api import client
from nova_cells_persist.objects import primitive
from tests.functional import numa_pci

CONF = cfg.CONF

#: How many sequences; the default takes about a minute. They are the same
#: each time: to look for more, ask for more.
EXAMPLES = int(os.environ.get('MOVES_EXAMPLES', 12))
STEPS = 8

FLAVORS = ('numa_pci', 'small', 'pci', 'numa', 'large', None)
MOVE_FAILURES = ('no valid host', 'prep_resize', 'resize_instance',
                 'finish_resize', 'save')
REVERT_FAILURES = ('revert_resize', 'finish_revert_resize')
BUILD_FAILURES = ('no valid host', 'spawn')


def failures(points):
    """Draw one of the points, or None, which is drawn first."""
    return strategies.sampled_from((None,) + points)


class Moves(stateful.RuleBasedStateMachine):
    """One server, and what its request spec has to say of it.

    Each rule can be drawn at any time: what a server becomes is also a
    matter of which hosts the scheduler likes.

    :ivar zone: the availability zone that was asked for last with success
    """

    def __init__(self, cloud):
        super().__init__()
        self.cloud = cloud
        self.zone = None
        self.server = cloud.boot('pci')

    @stateful.rule(flavor=strategies.sampled_from(FLAVORS),
                   failure=failures(MOVE_FAILURES),
                   saved_first=strategies.booleans(),
                   reverted=strategies.booleans(),
                   revert_failure=failures(REVERT_FAILURES))
    def resize(self, flavor, failure, saved_first, reverted, revert_failure):
        """Resize, or cold-migrate without a flavor."""
        self.make_ready()
        self.cloud.saved_first = saved_first
        self.act({'resize': {'flavorRef': flavor}} if flavor else
                 {'migrate': None}, failure)
        if reverted and self.server['status'] == 'VERIFY_RESIZE':
            self.act({'revertResize': None}, revert_failure)

    @stateful.rule(image=strategies.sampled_from((1, 0)),
                   failure=failures(BUILD_FAILURES))
    def rebuild(self, image, failure):
        self.make_ready(error_will_do=True)
        self.act({'rebuild': {'imageRef': self.cloud.images[image]}},
                 failure)

    @stateful.rule(zone=strategies.sampled_from(('zone0', 'zone1', None)),
                   failure=failures(BUILD_FAILURES))
    def shelve_and_unshelve(self, zone, failure):
        self.make_ready()
        self.act({'shelve': None})
        self.act({'unshelve': {'availability_zone': zone}}, failure)

    @stateful.rule(failure=failures(BUILD_FAILURES))
    def evacuate(self, failure):
        self.make_ready(error_will_do=True)
        with self.cloud.down(self.server['OS-EXT-SRV-ATTR:host']):
            self.act({'evacuate': {}}, failure)

    @stateful.rule(failure=failures(BUILD_FAILURES[:1]))
    def live_migrate(self, failure):
        self.make_ready()
        self.act({'os-migrateLive': {
            'host': None, 'block_migration': 'auto'}}, failure)

    def make_ready(self, error_will_do=False):
        """Bring the server to rest: what can be done next is all there is."""
        if self.server['status'] == 'VERIFY_RESIZE':
            self.act({'confirmResize': None})
        elif self.server['status'] == 'SHELVED_OFFLOADED':
            self.act({'unshelve': None})
        # As what has just been done may have failed too.
        if self.server['status'] == 'ERROR' and not error_will_do:
            self.cloud.look_at_resources()
            self.act({'os-resetState': {'state': 'active'}})

    def act(self, body, failure=None):
        """Post an action, wait until it is over and look at the spec."""
        action, = body
        failing = (self.cloud.failing(failure) if failure
                   else contextlib.nullcontext())
        is_accepted = False
        with failing as failed:
            try:
                self.cloud.api.post_server_action(self.server['id'], body)
                is_accepted = True
            except client.OpenStackApiException as exc:
                assert exc.response.status_code in (400, 409), exc
                self.cloud.refused.append((action, failure, str(exc)))
            self.server = self.cloud.at_rest(self.server)
        if is_accepted and (failed or not failure):
            self.cloud.happened.add((action, failure))
        if (is_accepted and body.get('unshelve')
                and self.server['status'] == 'ACTIVE'):
            self.zone = body['unshelve']['availability_zone']
        self.cloud.assert_true(self.server, self.zone)

    def teardown(self):
        self.cloud.look_at_resources()
        self.cloud.api.delete_server(self.server['id'])
        self.cloud.gone(self.server)
        self.cloud.look_at_resources()


class MovesTest(numa_pci.NumaPciTestCase):

    # Of Nova: how many times OS_TEST_TIMEOUT a test may take.
    TIMEOUT_SCALING_FACTOR = 1 + EXAMPLES // 4

    CASTS = numa_pci.SAVED_FIRST
    images = ('155d900f-4e14-4e4c-a73d-069cbf4541e6',
              'a2459075-d96c-40d5-893e-577ff92e721c')

    def setUp(self):
        # Nova says more in a minute than the result of a test can hold.
        logging.disable(logging.INFO)
        self.addCleanup(logging.disable, logging.NOTSET)
        super().setUp()
        # {(an action, the point at which it failed or None)}
        self.happened = set()
        # [(an action, as above, what Nova said)]
        self.refused = []
        if 'response_validation' in CONF.api:
            # As in a deployment; Nova's schema does not know a server that
            # is rebuilt from ERROR.
            self.flags(response_validation='warn', group='api')
        for number, hosts in enumerate(((0, 1), (2,))):
            aggregate = self.api.post_aggregate({'aggregate': {
                'name': 'zone%d' % number,
                'availability_zone': 'zone%d' % number}})
            for host in hosts:
                self.api.add_host_to_aggregate(
                    aggregate['id'], 'test_compute%d' % host)

    def test_moves(self):
        stateful.run_state_machine_as_test(
            lambda: Moves(self),
            settings=hypothesis.settings(
                max_examples=EXAMPLES, stateful_step_count=STEPS,
                phases=(hypothesis.Phase.generate,), derandomize=True,
                report_multiple_bugs=False, database=None, deadline=None,
                suppress_health_check=list(hypothesis.HealthCheck)))

    def test_all_that_is_drawn_can_happen(self):
        # What is drawn comes to what the state of the server and the weights
        # of the hosts allow: that no point is out of reach is seen here.
        with self.a_server() as moves:
            for failure in MOVE_FAILURES + (None,):
                moves.resize(
                    flavor='numa_pci' if failure else 'numa', failure=failure,
                    saved_first=failure != 'save', reverted=False,
                    revert_failure=None)
            moves.make_ready()
        # On a server whose revert has failed the next one fails too, early:
        # its devices are those of two hosts.
        for failure in REVERT_FAILURES + (None,):
            with self.a_server() as moves:
                moves.resize(flavor=None, failure=None, reverted=True,
                             saved_first=True, revert_failure=failure)
        with self.a_server() as moves:
            for failure in BUILD_FAILURES + (None,):
                moves.rebuild(image=1, failure=failure)
            for failure in BUILD_FAILURES + (None,):
                moves.shelve_and_unshelve(zone='zone0', failure=failure)
            for failure in BUILD_FAILURES + (None,):
                moves.evacuate(failure=failure)
        self.assertEqual(set(), {
            (action, failure) for action, points in {
                'resize': MOVE_FAILURES, 'migrate': (), 'confirmResize': (),
                'revertResize': REVERT_FAILURES, 'rebuild': BUILD_FAILURES,
                'shelve': (), 'unshelve': BUILD_FAILURES,
                'evacuate': BUILD_FAILURES, 'os-resetState': ()}.items()
            for failure in points + (None,)} - self.happened, self.refused)

    @contextlib.contextmanager
    def a_server(self):
        moves = Moves(self)
        yield moves
        moves.teardown()

    def test_finds_a_failure_that_is_not_taken_back(self):
        moves = self.moves_with_nothing_restored()
        self.assertRaises(
            matchers.MismatchError, moves.resize, flavor='numa_pci',
            failure='resize_instance', saved_first=True, reverted=False,
            revert_failure=None)

    def test_finds_a_revert_that_is_not_complete(self):
        moves = self.moves_with_nothing_restored()
        self.assertRaises(
            matchers.MismatchError, moves.resize, flavor='numa_pci',
            failure=None, saved_first=True, reverted=True,
            revert_failure=None)

    def moves_with_nothing_restored(self):
        for name in ('restore', 'settle'):
            self.useFixture(fixtures.MonkeyPatch(
                'nova_cells_persist.objects.restore.' + name,
                lambda *args, **kwargs: None))
        self.useFixture(fixtures.MonkeyPatch(
            'nova_cells_persist.objects.restore.completion',
            lambda *args: lambda text: text))
        return Moves(self)

    @contextlib.contextmanager
    def down(self, host):
        """Have a compute be down, as an evacuation wants it."""
        service, = self.api.get_services(host=host, binary='nova-compute')
        self.api.put_service(service['id'], {'forced_down': True})
        try:
            yield
        finally:
            self.restart_compute_service(host)
            self.api.put_service(service['id'], {'forced_down': False})

    def at_rest(self, server):
        def is_at_rest():
            found = self.api.get_server(server['id'])
            self.assertIsNone(found['OS-EXT-STS:task_state'])
            return found

        return self._wait_for_assert(is_at_rest)

    def gone(self, server):
        self._wait_until_deleted(server)

    def look_at_resources(self):
        """Have each compute write its books anew, as it does each minute.

        What failed moves have claimed and freed is not in them before that:
        a server can then not be deleted, and another one finds no device.
        """
        self._run_periodics()

    def assert_true(self, server, zone):
        with self.targeted('cell1') as cctxt:
            instance = objects.Instance.get_by_uuid(
                cctxt, server['id'], expected_attrs=['flavor'])
        self.assert_contract(server, instance.flavor.flavorid)
        for row in (self.rows('request_specs', server['id'])[0],
                    self.rows('request_spec', server['id'], 'cell1')[-1]):
            data = primitive.data(row['spec'])
            self.assertEqual(zone, data['availability_zone'])
            if instance.vm_state != 'shelved_offloaded':
                # Nova notes there the image of a shelved server.
                self.assertEqual(instance.image_ref,
                                 data['image'][primitive.DATA]['id'])
