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

"""The image that a rebuild asked for in vain is taken back."""

import fixtures
import testtools

from nova.compute import api as compute
from nova import exception as nova_exc
from nova.virt import fake

from nova_cells_persist.objects import primitive
from nova_cells_persist import releases

from tests.functional import restoring


class RebuildTest(restoring.RestoreTestCase):

    #: Of Nova's GlanceFixture; the first is what servers are booted from.
    IMAGES = ('155d900f-4e14-4e4c-a73d-069cbf4541e6',
              'a2459075-d96c-40d5-893e-577ff92e721c')

    def rebuild(self, server):
        self.api.post_server_action(
            server['id'], {'rebuild': {'imageRef': self.IMAGES[1]}})

    def assert_image(self, server, image):
        self._wait_for_assert(lambda: self.assertEqual(
            [image, image], [each[primitive.DATA]['id'] for each in
                             self.saved(server, 'image')]))

    def test_success(self):
        server = self.boot(host='host1')
        self.rebuild(server)
        self.settled(server, 'ACTIVE')
        self.assert_events(server, 'create', 'rebuild')
        self.assert_image(server, self.IMAGES[1])

    def test_no_valid_host(self):
        """Nova resets the image of the server, and not of its spec."""
        server = self.boot(host='host1')
        self.assert_image(server, self.IMAGES[0])
        with self.no_host():
            self.rebuild(server)
            server = self.settled(server, 'ERROR')
        self.assertEqual(self.IMAGES[0], server['image']['id'])
        self.assert_events(server, 'create', 'rebuild', 'restore')
        self.assert_image(server, self.IMAGES[0])

    def test_spawn_fails(self):
        """The server has the new image from then on."""
        server = self.boot(host='host1')
        with self.driver_fails('spawn'):
            self.rebuild(server)
            server = self.settled(server, 'ERROR')
        self.assertEqual(self.IMAGES[1], server['image']['id'])
        self.assert_events(server, 'create', 'rebuild')

    def test_begun_while_a_move_is_refused(self):
        """That read the server before, and the spec after it had begun."""
        server = self.boot(host='host1')
        over, instance = self.held(), self.instance(server)
        spawn = fake.FakeDriver.spawn

        def spawn_later(*args, **kwargs):
            over.wait(restoring.DEADLINE)
            return spawn(*args, **kwargs)

        with fixtures.MonkeyPatch('nova.virt.fake.FakeDriver.spawn',
                                  spawn_later):
            self.rebuild(server)
            self.assertRaises(
                nova_exc.UnexpectedTaskStateError, compute.API().live_migrate,
                instance._context, instance, False, False, None)
            over.set()
            self.settled(server, 'ACTIVE')
        self.assert_events(server, 'create', 'rebuild')
        self.assert_image(server, self.IMAGES[1])


class RebuildInVolumeTest(restoring.RestoreTestCase):
    """Nothing that Nova keeps tells which image such a server has."""

    microversion = 'latest'

    @testtools.skipIf(releases.nova_release() < 26,
                      'Nova 25 rebuilds no server in a volume')
    def test_no_valid_host(self):
        server = self.boot_in_volume({'imageRef': ''}, az='nova:host1')
        before = self.saved(server, 'image')
        with self.no_host():
            self.api.post_server_action(server['id'], {
                'rebuild': {'imageRef': RebuildTest.IMAGES[1]}})
            self.settled(server, 'ERROR')
        self.assert_events(server, 'create', 'rebuild', 'restore')
        self.assertEqual(before, self.saved(server, 'image'))
