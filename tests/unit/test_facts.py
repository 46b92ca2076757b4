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

import fixtures
from oslo_serialization import jsonutils
from oslotest import base

from nova import objects

from nova_cells_persist.reconcile import facts
from nova_cells_persist.reconcile import fields


class FactsTestCase(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        objects.register_all()
        self.spec = objects.RequestSpec(
            image=objects.ImageMeta(id='i'), availability_zone=None,
            instance_group=None, flavor=self.flavor(),
            pci_requests=self.requests('gpu', None))

    def flavor(self, **changes):
        return objects.Flavor(**dict(dict(
            id=1, flavorid='f', name='one', vcpus=1, memory_mb=2, root_gb=3,
            ephemeral_gb=0, swap=0, extra_specs={'a': 'b'}), **changes))

    def requests(self, *aliases):
        return objects.InstancePCIRequests(requests=[
            objects.InstancePCIRequest(alias_name=alias, count=2, spec=[])
            for alias in aliases])

    def differing(self, group=None, data=None, **server):
        instance = objects.Instance(**dict(dict(
            flavor=self.flavor(), image_ref='i', host=None,
            availability_zone='z',
            pci_requests=self.requests('gpu')), **server))
        claimed = facts.of_spec(
            jsonutils.dumps(self.spec.obj_to_primitive()))
        return fields.differences(
            claimed, facts.of_instance(instance, group, claimed, data or {}))

    def test_alike(self):
        self.assertEqual([], self.differing())

    def test_each(self):
        self.assertEqual(['pci_requests.gpu', 'pci_requests.nic'],
                         self.differing(pci_requests=self.requests('nic')))
        self.assertEqual(['pci_requests.gpu'],
                         self.differing(pci_requests=None))
        self.assertEqual(['image.id'], self.differing(image_ref='other'))
        self.assertEqual([], self.differing(image_ref='other',
                                            data={'is_bfv': True}))
        self.assertEqual(['instance_group.uuid'], self.differing(
            group=objects.InstanceGroup(uuid='g')))
        self.assertEqual([], self.differing(group=facts.UNKNOWN))
        self.assertEqual(
            ['flavor.extra_specs.a', 'flavor.extra_specs.c', 'flavor.vcpus'],
            self.differing(flavor=self.flavor(
                vcpus=2, extra_specs={'c': 'd'})))

    def test_zone_counts_if_one_was_asked_for(self):
        for function, stand_in in (
                ('objects.contract.zone',
                 lambda context, instance: instance.availability_zone),
                ('db.database.is_cell_level', lambda: False)):
            self.useFixture(fixtures.MonkeyPatch(
                'nova_cells_persist.' + function, stand_in))
        self.assertEqual([], self.differing(host='h'))
        self.spec.availability_zone = 'z'
        self.assertEqual([], self.differing(host='h'))
        self.assertEqual(['availability_zone'], self.differing(
            host='h', availability_zone='other'))
        # As Nova leaves it of one that was offloaded.
        self.assertEqual([], self.differing(availability_zone='other'))

    def test_from_a_volume(self):
        self.spec.image = objects.ImageMeta()
        self.assertEqual([], self.differing(image_ref=''))
        self.spec.image = None
        self.assertEqual([], self.differing(image_ref=None))
