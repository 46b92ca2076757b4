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

"""The contract of a server is that of the flavor it has, with all of it."""

from tests.functional import numa_pci


class ResizeTest(numa_pci.NumaPciTestCase):

    def test_confirm(self):
        server = self.boot('small')
        self.assert_contract(server, 'small')
        server = self.confirm(self.move(server, 'numa_pci'))
        self.assert_contract(server, 'numa_pci')
        server = self.confirm(self.move(server, 'small'))
        self.assert_contract(server, 'small')

    def test_revert(self):
        server = self.boot('pci')
        server = self.move(server, 'numa_pci')
        self.assert_contract(server, 'numa_pci')
        server = self.revert(server)
        self.assertEqual('test_compute0', server['OS-EXT-SRV-ATTR:host'])
        self.assert_contract(server, 'pci')


class AsyncResizeTest(ResizeTest):

    CASTS = numa_pci.ASYNC


class SavedLastTest(numa_pci.NumaPciTestCase):
    """The super-conductor saves the spec when the move has failed."""

    CASTS = numa_pci.SAVED_LAST

    def test_no_valid_host(self):
        self._fail('no valid host', 'ACTIVE')

    def test_prep_resize(self):
        self._fail('prep_resize', 'ERROR')

    def test_resize_instance(self):
        self._fail('resize_instance', 'ERROR')

    def test_finish_resize(self):
        self._fail('finish_resize', 'ERROR')

    def _fail(self, point, status):
        resized, migrated = self.boot('pci'), self.boot('pci')
        with self.failing(point) as failed:
            resized = self.move(resized, 'numa_pci', status)
            migrated = self.move(migrated, status=status)
        self.assertNotEqual([], failed)
        self.assert_contract(migrated, 'pci')
        self.assert_contract(resized, 'pci')

    def test_alternate_host(self):
        server = self.boot('pci')
        with self.failing('prep_resize', times=1) as failed:
            server = self.move(server, 'numa_pci')
        self.assertEqual(1, len(failed))
        self.assert_contract(server, 'numa_pci')
        self.assert_contract(self.revert(server), 'pci')

    def test_conductor_dies_before_it_saves(self):
        """There is no revision of it: what it asks for is the server's."""
        server = self.boot('pci')
        with self.failing('save') as failed:
            server = self.move(server, 'numa_pci')
        self.assertEqual(1, len(failed))
        # Who ends the task looks when it can be seen that it has ended.
        self._wait_for_assert(
            lambda: self.assert_contract(server, 'numa_pci'))
        self.assert_contract(self.revert(server), 'pci')

    def test_finish_revert_resize(self):
        resized, migrated = self.boot('pci'), self.boot('pci')
        resized = self.move(resized, 'numa_pci')
        migrated = self.move(migrated)
        with self.failing('finish_revert_resize') as failed:
            resized = self.revert(resized, 'ERROR')
            migrated = self.revert(migrated, 'ERROR')
        self.assertEqual(2, len(failed))
        self.assert_contract(migrated, 'pci')
        self.assert_contract(resized, 'pci')

    def test_revert_resize(self):
        """It still is what it was resized to."""
        server = self.move(self.boot('pci'), 'numa_pci')
        with self.failing('revert_resize') as failed:
            server = self.revert(server, 'ERROR')
        self.assertEqual(1, len(failed))
        self.assertNotEqual('test_compute0', server['OS-EXT-SRV-ATTR:host'])
        self.assert_contract(server, 'numa_pci')


class SavedFirstTest(SavedLastTest):
    """The super-conductor saves the spec before the move fails."""

    CASTS = numa_pci.SAVED_FIRST
