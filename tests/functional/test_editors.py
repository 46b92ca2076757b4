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

"""Nova's own editors of a request spec see its newest revision."""

from nova.api.openstack.compute.schemas import servers as schema
from nova.cmd import manage
from nova import objects
from nova.tests.functional.api import client

from tests.functional import restoring


class EditorsTest(restoring.RestoreTestCase):
    """What edits a request spec has the cell's news first, and is named."""

    microversion = 'latest'

    def save_pending(self, server):
        with self.cell_level('cell1') as context:
            spec = self.spec(server['id'], context)
            spec.scheduler_hints = {'colour': ['blue']}
            spec.save()

    def test_pin(self):
        if 'update_v2104' not in vars(schema):
            self.skipTest('this Nova cannot pin a server')
        server = self.boot(host='host1')
        self.save_pending(server)
        self.api.put_server(server['id'], {
            'server': {'pinned_availability_zone': 'nova'}})
        self.assert_events(server, 'create', 'save', 'pin')
        self.assert_saved(server, 'availability_zone', 'nova')
        self.assert_saved(server, 'scheduler_hints', {'colour': ['blue']})
        self.api.put_server(server['id'], {
            'server': {'pinned_availability_zone': None}})
        self.assert_saved(server, 'availability_zone', None)

    def test_pin_that_is_refused(self):
        """The answer is Nova's, and nothing is done before it."""
        server = self.boot(host='host1')
        self.save_pending(server)
        for body in (None, [], 'x', {'server': []},
                     {'server': {'pinned_availability_zone': 1}}):
            exc = self.assertRaises(
                client.OpenStackApiException, self.api.api_put,
                '/servers/' + server['id'], body)
            self.assertEqual(400, exc.response.status_code, body)
        self.api.microversion = '2.90'
        exc = self.assertRaises(
            client.OpenStackApiException, self.api.put_server, server['id'],
            {'server': {'pinned_availability_zone': 'nova'}})
        self.assertEqual(400, exc.response.status_code)
        self.assert_events(server, 'create', 'save')
        self.assertTrue(
            self.rows('request_spec', server['id'], 'cell1')[-1]['pending'])

    def test_rename(self):
        server = self.boot(host='host1')
        self.save_pending(server)
        self.api.put_server(server['id'], {'server': {'name': 'new'}})
        self.assert_events(server, 'create', 'save')
        self.assertTrue(
            self.rows('request_spec', server['id'], 'cell1')[-1]['pending'])

    def test_image_property(self):
        server = self.boot(host='host1')
        self._stop_server(server)
        self.save_pending(server)
        status = manage.ImagePropertyCommands().set(
            server['id'], image_properties=['hw_machine_type=q35'])
        self.assertEqual(0, status)
        self.assert_saved(server, 'scheduler_hints', {'colour': ['blue']})
        self.assertFalse(
            self.rows('request_spec', server['id'], 'cell1')[-1]['pending'])
        with self.targeted('cell1') as cctxt:
            instance = objects.Instance.get_by_uuid(
                cctxt, server['id'], expected_attrs=['system_metadata'])
        self.assertEqual('q35', instance.system_metadata[
            'image_hw_machine_type'])
        if len(self.revisions(server['id'], 'cell1')) > 2:
            self.assert_events(server, 'create', 'save', 'image_property')
