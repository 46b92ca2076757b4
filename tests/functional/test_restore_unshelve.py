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

"""The zone that an unshelve asked for in vain is taken back."""

import contextlib
from unittest import mock

import ddt
import fixtures
from oslo_db import exception as db_exc

from nova.compute import api as compute
from nova import exception as nova_exc
from nova import objects
from nova.tests.functional.api import client

from nova_cells_persist.objects import contract
from nova_cells_persist.objects import operation
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import reload
from nova_cells_persist.objects import restore

from tests.functional import base
from tests.functional import restoring


@ddt.ddt
class UnshelveTest(restoring.RestoreTestCase):

    microversion = 'latest'

    def setUp(self):
        super().setUp()
        for number in (1, 2):
            aggregate = self.api.post_aggregate({'aggregate': {
                'name': 'zone%d' % number,
                'availability_zone': 'zone%d' % number}})
            self.api.add_host_to_aggregate(
                aggregate['id'], 'host%d' % number)
        server = self.boot(host='host1')
        self.server = self._shelve_server(
            server, expected_state='SHELVED_OFFLOADED')

    def unshelve(self, zone, **arguments):
        self.api.post_server_action(self.server['id'], {
            'unshelve': dict(arguments, availability_zone=zone)})

    def test_success(self):
        self.unshelve('zone2')
        self.settled(self.server, 'ACTIVE')
        self.assert_events(self.server, 'create', 'unshelve')
        self.assert_saved(self.server, 'availability_zone', 'zone2')

    def test_no_valid_host(self):
        with self.no_host():
            self.unshelve('zone2')
            self.assert_events(self.server, 'create', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', None)
        self.settled(self.server, 'SHELVED_OFFLOADED')

    def test_no_valid_host_although_it_is_named(self):
        with self.no_host():
            self.unshelve('zone2', host='host2')
            self.assert_events(self.server, 'create', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', None)

    def test_spawn_fails(self):
        with self.driver_fails('spawn'):
            self.unshelve('zone2')
            self.assert_events(self.server, 'create', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', None)

    def test_fails_twice(self):
        """What succeeded in between stays."""
        self.unshelve('zone2')
        server = self.settled(self.server, 'ACTIVE')
        self._shelve_server(server, expected_state='SHELVED_OFFLOADED')
        with self.no_host():
            self.unshelve('zone1')
            self.assert_events(self.server, 'create', 'unshelve', 'unshelve',
                               'restore')
            self.settled(self.server, 'SHELVED_OFFLOADED')
            self.unshelve('zone1')
            self.assert_events(self.server, 'create', 'unshelve', 'unshelve',
                               'restore', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', 'zone2')

    def test_saved_by_a_node_without_the_plugin(self):
        """An unshelve from before is not taken for the one that failed."""
        self.unshelve('zone2')
        server = self.settled(self.server, 'ACTIVE')
        self._shelve_server(server, expected_state='SHELVED_OFFLOADED')
        self.execute(
            "UPDATE request_spec SET created_at = '2020-01-01 00:00:00'",
            cell='cell1')
        unnamed = fixtures.MonkeyPatch(
            'nova_cells_persist.objects.operation.during',
            lambda *args: contextlib.nullcontext(
                operation.Operation('save')))
        with unnamed, self.no_host():
            self.api.post_server_action(
                self.server['id'], {'unshelve': None})
            self._wait_for_assert(lambda: self.assertIn(
                'No valid host found for unshelve instance',
                self.stdlog.logger.output))
        self.settled(self.server, 'SHELVED_OFFLOADED')
        self.assert_saved(self.server, 'availability_zone', 'zone2')

    def unshelve_later(self):
        """Unshelve as one that is not about to begin any more."""
        with fixtures.MonkeyPatch('nova_cells_persist.objects.restore.SAVED',
                                  -contract.CLOCKS):
            self.api.post_server_action(self.server['id'], {'unshelve': None})
            self.settled(self.server, 'ACTIVE')

    def test_api_dies_when_it_has_saved(self):
        instance = self.instance(self.server)
        with fixtures.MonkeyPatch('nova.objects.Instance.save', mock.Mock(
                side_effect=SystemExit)):
            self.assertRaises(SystemExit, compute.API().unshelve,
                              instance._context, instance, new_az='zone2')
        self.assert_saved(self.server, 'availability_zone', 'zone2')
        reload.reload(self.context, self.server['id'],
                      self.instance(self.server))
        # That may be about to begin.
        self.assert_events(self.server, 'create', 'unshelve')
        self.unshelve_later()
        self.assert_events(self.server, 'create', 'unshelve', 'restore',
                           'unshelve')
        self.assert_saved(self.server, 'availability_zone', None)

    def test_not_taken_back_by_who_saw_it_fail(self):
        with fixtures.MonkeyPatch('nova_cells_persist.objects.restore.look',
                                  mock.Mock(side_effect=db_exc.DBError())):
            with self.no_host():
                self.unshelve('zone2')
                self._wait_for_assert(lambda: self.assertIn(
                    'and is left to be healed', self.stdlog.logger.output))
                self.settled(self.server, 'SHELVED_OFFLOADED')
        self.assert_saved(self.server, 'availability_zone', 'zone2')
        self.unshelve_later()
        self.assert_saved(self.server, 'availability_zone', None)

    def test_cell_dies_before_it_is_saved_there(self):
        instance = self.instance(self.server)
        save = objects.RequestSpec.save

        def save_without_cell(spec):
            instance._context.db_connection = base.DeadDatabase()
            save(spec)
            raise db_exc.DBConnectionError()

        with fixtures.MonkeyPatch(
                'nova_cells_persist.objects.request_spec.RequestSpec.save',
                save_without_cell):
            self.assertRaises(
                db_exc.DBConnectionError, compute.API().unshelve,
                instance._context, instance, new_az='zone2')
        row, = self.rows('request_specs', self.server['id'])
        self.assertIsNone(primitive.data(row['spec'])['availability_zone'])
        self.assertEqual([(1, 'create')],
                         self.revisions(self.server['id'], 'cell1'))

    def test_refused(self):
        """Another request was faster: 409, and nothing of this one stays."""
        def faster(*args, **kwargs):
            raise nova_exc.UnexpectedTaskStateError(
                instance_uuid=self.server['id'], expected={'task_state': None},
                actual={'task_state': 'unshelving'})

        with fixtures.MonkeyPatch(
                'nova.compute.api.API._record_action_start', faster):
            self.assertRaises(client.OpenStackApiException,
                              self.unshelve, 'zone2')
        self.assert_events(self.server, 'create', 'unshelve', 'restore')
        self.assert_saved(self.server, 'availability_zone', None)

    def test_refused_when_the_same_was_accepted(self):
        """What the other one has saved as well stays."""
        instance = self.instance(self.server)

        def faster(*args, **kwargs):
            saving.cleanUp()
            self.unshelve('zone1')
            return instance.save(*args, **kwargs)

        saving = fixtures.MonkeyPatch(
            'nova.objects.Instance.save', mock.Mock(side_effect=faster))
        saving.setUp()
        self.assertRaises(
            nova_exc.UnexpectedTaskStateError, compute.API().unshelve,
            instance._context, instance, new_az='zone1')
        self.assert_saved(self.server, 'availability_zone', 'zone1')
        self.settled(self.server, 'ACTIVE')
        self.assert_saved(self.server, 'availability_zone', 'zone1')

    @ddt.data('zone1', 'zone2')
    def test_fails_after_another_one_was_refused(self, zone):
        """That has taken back its own revision only."""
        over, instance = self.held(), self.instance(self.server)

        def fail_later(*args, **kwargs):
            over.wait(restoring.DEADLINE)
            raise nova_exc.NoValidHost(reason='of the test')

        with fixtures.MonkeyPatch(
                'nova.scheduler.client.query.SchedulerQueryClient.'
                'select_destinations', fail_later):
            self.unshelve('zone1')
            self.assertRaises(
                nova_exc.UnexpectedTaskStateError, compute.API().unshelve,
                instance._context, instance, new_az=zone)
            self.assert_saved(self.server, 'availability_zone', 'zone1')
            over.set()
            self.settled(self.server, 'SHELVED_OFFLOADED')
            self.assert_saved(self.server, 'availability_zone', None)

    def test_begun_again_before_the_failure_is_looked_at(self):
        """What the second one has saved stays."""
        over, failed, looked = self.held(), self.held(), self.held()
        look = restore.restore

        def look_later(context, instance_uuid, which=None):
            if which == restore.of_unshelve:
                failed.set()
                over.wait(restoring.DEADLINE)
            look(context, instance_uuid, which)
            looked.set()

        with fixtures.MonkeyPatch(
                'nova_cells_persist.objects.restore.restore', look_later):
            with self.no_host():
                self.unshelve('zone1')
                self.assertTrue(failed.wait(restoring.DEADLINE))
            self.unshelve('zone2')
            over.set()
            self.settled(self.server, 'ACTIVE')
            self.assertTrue(looked.wait(restoring.DEADLINE))
        self.assert_saved(self.server, 'availability_zone', 'zone2')
