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

"""What is taken back of a request spec, on its JSON alone."""

import collections
import datetime
import itertools

from oslotest import base

from nova import objects

from nova_cells_persist.objects import contract
from nova_cells_persist.objects import primitive

Row = collections.namedtuple('Row', 'revision event spec created_at')


def flavor(number, alias=None):
    return objects.Flavor(
        id=number, flavorid=str(number), name='flavor%d' % number,
        extra_specs={contract.ALIAS: alias} if alias else {})


def spec(flavor_id, aliases=(), **fields):
    requests = [{'nova_object.name': 'InstancePCIRequest',
                 primitive.DATA: {'alias_name': name, 'count': count}}
                for name, count in aliases]
    return primitive.dumps({
        'nova_object.name': 'RequestSpec', 'nova_object.version': '1.14',
        primitive.DATA: dict(
            fields, numa_topology='of %d' % flavor_id,
            flavor={'nova_object.name': 'Flavor',
                    primitive.DATA: {'id': flavor_id}},
            pci_requests={'nova_object.name': 'InstancePCIRequests',
                          primitive.DATA: {'requests': requests}})})


class ContractTestCase(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        objects.register_all()
        self.history = []

    def add(self, event, text, number=None):
        self.history.append(Row(
            number or len(self.history) + 1, event, text,
            datetime.datetime(2020, 1, 1)))


class RestoredTest(ContractTestCase):

    def setUp(self):
        super().setUp()
        self.instance = objects.Instance(image_ref='', system_metadata={})

    def restored(self, flavor, text=None, failed=None):
        return primitive.data(contract.restored(
            text or self.history[-1].spec, self.history, self.instance,
            flavor, failed))

    def test_nothing_to_do(self):
        self.add('create', spec(1, [('a', 2)]))
        self.assertEqual(primitive.data(self.history[0].spec),
                         self.restored(flavor(1, 'a:1,a:1')))

    def test_failed_resize(self):
        self.add('create', spec(1, zone='here'))
        self.add('resize', spec(2, [('a', 1)], zone='there'))
        self.assertEqual(primitive.data(self.history[0].spec),
                         self.restored(flavor(1)))

    def test_what_was_saved_since_stays(self):
        self.add('create', spec(1, zone='here', hint='old'))
        self.add('resize', spec(2, zone='there', hint='old'))
        self.add('save', spec(2, zone='there', hint='new'))
        self.assertEqual(primitive.data(spec(1, zone='here', hint='new')),
                         self.restored(flavor(1)))

    def test_what_the_resize_changed_and_was_saved_since_stays(self):
        self.add('create', spec(1, zone='here'))
        self.add('resize', spec(2, zone='there'))
        self.add('save', spec(2, zone='elsewhere'))
        self.assertEqual('elsewhere', self.restored(flavor(1))['zone'])

    def test_field_that_was_not_there(self):
        self.add('create', spec(1))
        self.add('resize', spec(2, zone='there'))
        self.assertNotIn('zone', self.restored(flavor(1)))

    def test_a_move_that_held(self):
        """It is not taken back although it is of another flavor."""
        self.add('create', spec(1, zone='here'))
        self.add('resize', spec(2, zone='there'))
        self.add('resize', spec(3, zone='there'))
        self.add('resize', spec(4, zone='there'))
        self.assertEqual(primitive.data(spec(3, zone='there')),
                         self.restored(flavor(3)))

    def test_failed_revert(self):
        """The server has what it was resized to, with all of it."""
        self.add('create', spec(1, zone='here'))
        self.add('resize', spec(2, zone='there'))
        self.add('revert', spec(1, zone='here'))
        self.assertEqual(primitive.data(self.history[1].spec),
                         self.restored(flavor(2)))

    def test_only_the_devices_are_wrong(self):
        self.add('create', spec(1, [('a', 1)]))
        self.add('resize', spec(2, [('b', 1)]))
        self.add('save', spec(1, [('b', 1)]))
        self.assertEqual(primitive.data(self.history[0].spec),
                         self.restored(flavor(1, 'a:1')))

    def test_over_a_gap(self):
        """What stands beside each other was not saved upon each other."""
        self.add('create', spec(1, zone='here'))
        self.add('resize', spec(2, zone='there'), number=7)
        self.assertEqual(primitive.data(spec(1, zone='there')),
                         self.restored(flavor(1)))

    def test_damaged_revision(self):
        """Nothing is taken from it, and nothing is taken back over it."""
        for text in ('{', '[]', spec(1).replace('"flavor"', '"colour"')):
            self.history = []
            self.add('create', spec(1, zone='here'))
            self.add('save', text)
            self.add('resize', spec(2, zone='there'))
            self.assertEqual(primitive.data(spec(1, zone='there')),
                             self.restored(flavor(1)))

    def test_failed_revision(self):
        self.add('create', spec(1, zone='here', hint='old'))
        self.add('unshelve', spec(1, zone='there', hint='old'))
        self.add('save', spec(1, zone='there', hint='new'))
        self.assertEqual(primitive.data(spec(1, zone='here', hint='new')),
                         self.restored(flavor(1), failed=2))

    def test_not_a_request_spec(self):
        self.add('create', spec(1))
        for text in ('{broken', '[]', 'null', '{}', spec(1).replace(
                '"flavor"', '"colour"')):
            self.assertRaises(ValueError, self.restored, flavor(1), text)


class FailedRebuildTest(ContractTestCase):

    def failed(self):
        row = contract.failed_rebuild(self.history, 'new')
        return row and row.revision

    def image(self, event, image_id):
        self.add(event, spec(1, image={primitive.DATA: {'id': image_id}}))

    def test_newest(self):
        self.assertIsNone(self.failed())
        self.image('create', 'old')
        self.assertIsNone(self.failed())
        self.image('rebuild', 'new')
        self.assertEqual(2, self.failed())
        self.add('save', '{broken')
        self.assertEqual(2, self.failed())
        self.image('rebuild', 'other')
        self.assertIsNone(self.failed())

    def test_it_had_that_image(self):
        self.image('create', 'new')
        self.image('rebuild', 'new')
        self.assertIsNone(self.failed())


class FailedUnshelveTest(ContractTestCase):

    def failed(self, *events, specs=itertools.count(), shelved_at=None):
        then = datetime.datetime(2020, 1, 1)
        history = [Row(number, event, str(spec), then + datetime.timedelta(
            minutes=number)) for number, (event, spec) in enumerate(
                zip(events, specs), 1)]
        metadata = {'shelved_at': shelved_at} if shelved_at else {}
        row = contract.failed_unshelve(
            history, objects.Instance(system_metadata=metadata))
        return row and row.revision

    def test_newest(self):
        self.assertIsNone(self.failed('create', 'save'))
        self.assertEqual(3, self.failed('create', 'unshelve', 'unshelve',
                                        'save'))
        self.assertIsNone(self.failed('create', 'unshelve', 'restore'))
        self.assertEqual(4, self.failed('create', 'unshelve', 'restore',
                                        'unshelve'))

    def test_that_changes_nothing(self):
        """Of two that asked for the same zone, the first has saved it."""
        self.assertEqual(2, self.failed(
            'create', 'unshelve', 'unshelve', specs=[1, 2, 2]))
        self.assertIsNone(self.failed(
            'create', 'unshelve', 'unshelve', 'restore', specs=[1, 2, 2, 1]))
        self.assertIsNone(self.failed('create', 'unshelve', specs=[1, 1]))

    def test_since_it_was_shelved(self):
        events = ('create', 'unshelve', 'save')
        for shelved_at in ('2020-01-01T00:02:00.123456',
                           '2020-01-01T00:02:03'):
            self.assertEqual(2, self.failed(*events, shelved_at=shelved_at))
        self.assertIsNone(self.failed(
            *events, shelved_at='2020-01-01T00:02:30'))
