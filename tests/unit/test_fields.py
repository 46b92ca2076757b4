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

from oslo_serialization import jsonutils
from oslotest import base

from nova_cells_persist.reconcile import fields


def an_object(**data):
    return {'nova_object.name': 'Any', 'nova_object.version': '1.0',
            'nova_object.data': data}


class FieldsTestCase(base.BaseTestCase):

    def flat(self, **data):
        return fields.flat(jsonutils.dumps(an_object(**data)))

    def test_flat(self):
        self.assertEqual(
            {'az': None,
             'flavor.extra_specs.hw:cpu_policy': 'dedicated',
             'flavor.vcpus': 4,
             'hints': {},
             'hosts': ['a', 'b'],
             'none': [],
             'pci_requests.requests.0.count': 2,
             'pci_requests.requests.0.spec.0.vendor_id': '8086'},
            self.flat(
                az=None, hints={}, hosts=['a', 'b'], none=[],
                flavor=an_object(
                    vcpus=4, extra_specs={'hw:cpu_policy': 'dedicated'}),
                pci_requests=an_object(requests=[an_object(
                    count=2, spec=[{'vendor_id': '8086'}])])))

    def test_sorted(self):
        self.assertEqual(['a', 'b'], list(self.flat(b=1, a=2)))

    def test_not_an_object(self):
        for text in ('', '{}', '[]', 'null', '{"nova_object.data":'):
            self.assertRaises(ValueError, fields.flat, text)

    def test_differences(self):
        before = self.flat(az='one', flavor=an_object(vcpus=1, ram=2))
        after = self.flat(az='one', flavor=an_object(vcpus=2, ram=2), new=1)
        changed = fields.differences(before, after)
        self.assertEqual(['flavor.vcpus', 'new'], changed)
        self.assertEqual(['flavor', 'new'], fields.top_level(changed))

    def test_shown(self):
        self.assertEqual(['a', None, '3', 'true', '["a"]'],
                         [fields.shown(value)
                          for value in ('a', None, 3, True, ['a'])])
