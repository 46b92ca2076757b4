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

"""A cell whose processes cannot reach the API database.

A move that fails on the first host is brought to the next one by the conductor
of the cell, and a compute asks it for the server group. On stock Nova both end
with CantStartEngineError; STOCK=1 in the environment shows it.
"""

import os

from oslo_serialization import jsonutils
from oslotest import base

from nova_cells_persist.objects import primitive
from tests.functional import cluster
from tests.functional import services

UPCALL = 'CantStartEngineError'

#: A compute says it when it has done with a resize that failed everywhere.
THROUGH = 'Exception during message handling: RuntimeError: prep_resize'


class UpcallTestCase(base.BaseTestCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = cluster.Cluster(
            plugin=() if 'STOCK' in os.environ else services.ROLES)
        cls.cluster.setUp()
        cls.addClassCleanup(cls.cluster.cleanUp)

    def setUp(self):
        super().setUp()
        self.upcalls = set(self.cluster.said(UPCALL))
        self.through = set(self.cluster.said(THROUGH))
        self.addCleanup(self.assertNoUpcalls)

    def assertNoUpcalls(self):
        said = [line[:300] for line in self.cluster.said(UPCALL)
                if line not in self.upcalls]
        self.assertEqual([], said[:3])

    # What is persisted

    def flavor(self, row):
        """Return the name of the flavor in a row of a request spec."""
        spec = jsonutils.loads(row['spec'])['nova_object.data']
        return spec['flavor']['nova_object.data']['name']

    def persisted(self, server):
        """Return Nova's own row."""
        row, = self.cluster.rows('api', 'request_specs', server['id'])
        return row

    def revisions(self, server):
        """Return the rows of the cell, the oldest first."""
        return self.cluster.rows('cell1', 'request_spec', server['id'])

    # What is done

    def move(self, server, flavor=None):
        """Begin a resize, or a cold migration if there is no flavor."""
        if flavor is None:
            self.cluster.act(server['id'], 'migrate')
        else:
            self.cluster.act(server['id'], 'resize',
                             flavorRef=self.cluster.flavors[flavor])

    def confirm(self, server):
        self.cluster.act(server['id'], 'confirmResize')
        self.cluster.wait_for(server['id'], 'ACTIVE')

    def reschedule(self, server, flavor=None):
        """Make a move that fails on its first host and gets over it."""
        self.cluster.fail_prep_resize(1)
        self.move(server, flavor)
        moved = self.cluster.wait_for(server['id'], 'VERIFY_RESIZE')
        self.assertEqual(
            {*cluster.HOSTS},
            {server['OS-EXT-SRV-ATTR:host'], *self.cluster.failed(),
             moved['OS-EXT-SRV-ATTR:host']})

    def fail_resize(self, server):
        """Make a resize that fails on every host."""
        self.cluster.fail_prep_resize(len(cluster.HOSTS) - 1)
        self.move(server, 'large')
        # As on stock. Then the last compute has to be through with it.
        left = self.cluster.wait_for(server['id'], 'ERROR')
        self.cluster.wait_until(
            lambda: [line for line in self.cluster.said(THROUGH)
                     if line not in self.through], self.cluster.errors)
        host = server['OS-EXT-SRV-ATTR:host']
        self.assertEqual(host, left['OS-EXT-SRV-ATTR:host'])
        self.assertEqual({*cluster.HOSTS},
                         {host, *self.cluster.failed()})
        self.assertEqual('small', left['flavor']['original_name'])
        self.cluster.act(server['id'], 'os-resetState', state='active')

    def assertPromotedByNextMove(self, server, flavor):
        """Assert that a move brings the newest revision to Nova's row."""
        newest = self.revisions(server)[-1]
        self.assertEqual(flavor, self.flavor(newest))
        self.move(server)
        self.assertEqual(flavor, self.flavor(self.persisted(server)))
        self.assertEqual([], [
            row['revision'] for row in self.revisions(server)
            if row['pending']])
        self.cluster.wait_for(server['id'], 'VERIFY_RESIZE')
        self.cluster.wait_for_super_conductor(server['id'])
        self.confirm(server)
        self.assertSame(server, flavor)

    def assertSame(self, server, flavor):
        """Assert that the cell's newest revision is what Nova's row is."""
        row, newest = self.persisted(server), self.revisions(server)[-1]
        self.assertFalse(newest['pending'])
        self.assertEqual(flavor, self.flavor(row))
        self.assertEqual(primitive.digest(row['spec']),
                         primitive.digest(newest['spec']))


class RescheduleTestCase(UpcallTestCase):

    def test_resize(self):
        self._test_rescheduled(self.cluster.boot(), 'large')

    def test_migrate(self):
        self._test_rescheduled(self.cluster.boot())

    def test_resize_in_group(self):
        group = self.cluster.create_group('anti-affinity')
        self._test_rescheduled(self.cluster.boot(group), 'large')

    def test_migrate_in_group(self):
        group = self.cluster.create_group('anti-affinity')
        self._test_rescheduled(self.cluster.boot(group))

    def test_resize_in_deleted_group(self):
        group = self.cluster.create_group('anti-affinity')
        server = self.cluster.boot(group)
        self.cluster.request('DELETE', '/os-server-groups/' + group)
        self._test_rescheduled(server, 'large')

    def _test_rescheduled(self, server, flavor=None):
        self.reschedule(server, flavor)
        self.cluster.wait_for_super_conductor(server['id'])
        if not self.revisions(server)[-1]['pending']:
            self.assertSame(server, flavor or 'small')
        self.confirm(server)
        self.assertPromotedByNextMove(server, flavor or 'small')

    def test_resize_is_saved_late(self):
        server = self.cluster.boot()
        with self.cluster.late_super_conductor():
            self.reschedule(server, 'large')
            newest = self.revisions(server)[-1]
            self.assertTrue(newest['pending'])
            self.assertEqual('large', self.flavor(newest))
            self.assertEqual('small', self.flavor(self.persisted(server)))
        self.cluster.wait_for_super_conductor(server['id'])
        self.assertSame(server, 'large')
        self.confirm(server)
        self.assertPromotedByNextMove(server, 'large')

    def test_resize_fails(self):
        server = self.cluster.boot()
        self.fail_resize(server)
        self.cluster.wait_for_super_conductor(server['id'])
        self.assertPromotedByNextMove(server, 'small')

    def test_resize_fails_and_is_saved_late(self):
        server = self.cluster.boot()
        with self.cluster.late_super_conductor():
            self.fail_resize(server)
            newest = self.revisions(server)[-1]
            self.assertTrue(newest['pending'])
            self.assertEqual('small', self.flavor(newest))
        self.cluster.wait_for_super_conductor(server['id'])
        self.assertSame(server, 'small')
        self.assertPromotedByNextMove(server, 'small')

    def test_policy_is_checked_late(self):
        # With a host that is forced on it the scheduler checks nothing.
        group = self.cluster.create_group('anti-affinity')
        first = self.cluster.boot(group)
        refused = self.cluster.boot(
            group, 'ERROR', availability_zone='nova:' +
            first['OS-EXT-SRV-ATTR:host'])
        said = [line for line in self.cluster.said('policy was violated')
                if refused['id'] in line]
        self.assertNotEqual([], said)
