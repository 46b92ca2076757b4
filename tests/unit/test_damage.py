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

"""What is damaged of a request spec, told in two ways."""

import warnings

import hypothesis
from oslo_serialization import jsonutils
import testtools

from nova import objects

from nova_cells_persist.objects import damage

from tests import hostile

UUID = '155d900f-4e14-4e4c-a73d-069cbf4541e6'


def a_spec():
    return jsonutils.dumps(objects.RequestSpec(
        flavor=objects.Flavor(
            id=1, name='small', flavorid='1', memory_mb=1, vcpus=1,
            root_gb=1, ephemeral_gb=0, swap=0, extra_specs={'a': 'b'}),
        image=objects.ImageMeta(
            id=UUID, properties=objects.ImageMetaProps(hw_cpu_cores=2)),
        pci_requests=objects.InstancePCIRequests(requests=[]),
        instance_group=None, availability_zone=None, num_instances=1,
        scheduler_hints={'colour': ['blue']}, project_id='mine',
        instance_uuid=UUID).obj_to_primitive())


class OneOfManyTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        objects.register_all()
        warnings.filterwarnings('ignore', category=FutureWarning)

    def test_no_damage(self):
        for _ in range(2):
            self.assertIsNone(damage.of_one_of_many(a_spec()))

    def test_same_verdict(self):
        @hypothesis.settings(max_examples=200, deadline=None, database=None)
        @hypothesis.given(hostile.texts(a_spec()))
        def told_alike(text):
            self.assertEqual(damage.of_spec(text) is None,
                             damage.of_one_of_many(text) is None, text)

        told_alike()
