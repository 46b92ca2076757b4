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

"""What is wrong with a server, told from rows alone."""

import datetime
import types
import warnings

import ddt
from oslo_serialization import jsonutils
import testtools

from nova import objects

from nova_cells_persist.objects import primitive
from nova_cells_persist.reconcile import case
from nova_cells_persist.reconcile import findings

UUID = 'a-server'


def an_object(name, version, **fields):
    return {primitive.NAME: name, 'nova_object.namespace': 'nova',
            primitive.VERSION: version, primitive.DATA: fields}


SPEC = an_object(
    'RequestSpec', '1.0',
    flavor=an_object('Flavor', '1.2', id=1, extra_specs={}),
    image=an_object('ImageMeta', '1.8', id='i'), pci_requests=None,
    instance_group=None, availability_zone=None, scheduler_hints={})


def spec(**fields):
    return jsonutils.dumps(dict(SPEC, **{primitive.DATA: dict(
        SPEC[primitive.DATA], **fields)}))


def row(**values):
    return types.SimpleNamespace(**dict({'recent': False}, **values))


def instance(**values):
    return row(**dict(dict(
        deleted=0, hidden=False, vm_state='active', task_state=None,
        host='h', was_launched=True, instance_type_id=1, image_ref='i',
        availability_zone='z', revision=1, pending=False, base_digest=None,
        spec=spec()), **values))


@ddt.ddt
class FindingsTestCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        # What is damaged, hydrating it says.
        objects.register_all()
        warnings.filterwarnings('ignore', category=FutureWarning)

    def case(self, cell=1, text=spec(), instances=None, **others):
        found = case.Case(UUID)
        if cell is not False:
            found.add('mapping', None, row(cell_id=cell, spec=text))
        for number, each in (instances or {}).items():
            found.add('instance', number, each)
        for name, value in others.items():
            setattr(found, name, value)
        return found

    def codes(self, *args, **kwargs):
        return [finding.code for finding in
                findings.find(self.case(*args, **kwargs))]

    def of(self, text=spec(), **values):
        """Return the codes of a server in its cell."""
        return self.codes(text=text, instances={1: instance(**values)})

    def test_healthy(self):
        self.assertEqual([], self.of())

    def test_recent(self):
        for recent in (True, 1):
            self.assertEqual([], self.codes(instances={
                2: instance(recent=recent)}))

    @ddt.data(
        dict(task_state='rebuilding'), dict(vm_state='building', host='h'),
        dict(was_launched=False))
    def test_not_at_rest(self, values):
        self.assertEqual([], self.of(instance_type_id=2, **values))

    @ddt.data(
        (dict(instance_type_id=2), 'flavor'),
        (dict(image_ref='other'), 'image'),
        (dict(text=spec(availability_zone='y')), 'az'),
        (dict(text=spec(flavor={primitive.DATA: {
            'id': 1, 'extra_specs': {'pci_passthrough:alias': 'gpu:2'}}})),
         'pci'))
    @ddt.unpack
    def test_differs(self, values, field):
        values = dict(values, spec=values.get('text', spec()))
        text = values.pop('text', spec())
        found, = findings.find(self.case(
            text=text, instances={1: instance(**values)}))
        self.assertEqual('other than the server in: ' + field,
                         found.evidence)

    @ddt.data(
        dict(text=spec(availability_zone='y'), availability_zone=None),
        dict(image_ref=''),
        dict(text=spec(flavor={primitive.DATA: {
            'id': 1, 'extra_specs': {'pci_passthrough:alias': 'gpu:x'}}})))
    def test_cannot_be_told(self, values):
        text = values.get('text', spec())
        self.assertEqual([], self.of(**dict(values, spec=text)))

    @ddt.data(
        (dict(text=None), ['missing-spec']),
        (dict(text=None, was_launched=False, host=None), []),
        (dict(text='{'), ['unreadable-spec']),
        (dict(text='{}'), ['unreadable-spec']),
        (dict(text=spec(image=3)), ['unreadable-spec']),
        (dict(text=spec(flavor=None)), ['unreadable-spec']),
        (dict(revision=None, spec=None), ['missing-copy']),
        (dict(spec='{'), ['unreadable-copy']),
        (dict(spec=spec(num_instances=2)), ['stale-copy']),
        (dict(spec=spec() + ' '), []),
        (dict(pending=True), ['pending-revision']),
        (dict(pending=True, spec=spec(num_instances=2),
              base_digest=primitive.digest(spec())), ['pending-revision']),
        (dict(pending=True, spec=spec(num_instances=2), base_digest='x'),
         ['conflicting-revision']),
        (dict(vm_state='building', host=None, was_launched=False),
         ['stuck-instance']))
    @ddt.unpack
    def test_contract(self, values, expected):
        self.assertEqual(expected, self.of(**values))

    @ddt.data(
        # Mapped to no cell, or not mapped.
        (None, {}, {}, ['deleted-build']),
        (False, {}, {'nova_spec': '{}'}, ['orphaned-spec']),
        (False, {}, {'waiting': True}, ['orphaned-spec']),
        (False, {}, {'strays': {1}}, ['orphaned-copy']),
        (False, {}, {}, []),
        (None, {1: {}}, {}, ['unmapped-instance']),
        (None, {1: {'deleted': 5}}, {}, []),
        (None, {1: {}, 2: {}}, {}, ['two-cells']),
        # In another cell, or in several.
        (1, {}, {}, ['orphaned-mapping']),
        (1, {2: {}}, {}, ['unmapped-instance']),
        (1, {2: {}, 3: {}}, {}, ['two-cells']),
        (1, {1: {}, 2: {}}, {}, ['two-cells']),
        (1, {1: {}, 2: {'hidden': True}}, {}, []),
        (1, {1: {'deleted': 5}, 2: {'hidden': True}}, {}, ['two-cells']),
        (1, {1: {'deleted': 5}}, {}, []),
        # Revisions elsewhere.
        (1, {1: {}}, {'strays': {2}}, ['misplaced-copy']),
        (1, {1: {}}, {'waiting': True}, ['misplaced-copy']),
        (1, {1: {'deleted': 5}}, {'strays': {2}}, ['orphaned-copy']),
        (1, {}, {'strays': {1}}, ['orphaned-mapping']))
    @ddt.unpack
    def test_place(self, cell, instances, others, expected):
        self.assertEqual(expected, self.codes(cell, instances={
            number: instance(**values)
            for number, values in instances.items()}, **others))

    @ddt.data(
        (None, {}, {'mirror'}, ['stuck-build']),
        (None, {}, {'build'}, ['stuck-build']),
        (None, {}, {'dead'}, ['deleted-build']),
        (False, {}, {'dead'}, ['orphaned-spec']),
        (False, {}, {'build'}, ['stuck-build']),
        (None, {1: {}}, {'build'}, ['stuck-build']),
        (1, {1: {}}, {'build'}, ['landed-build']),
        (1, {1: {}}, {'dead'}, ['landed-build']),
        (1, {1: {}}, {'mirror'}, ['landed-build']))
    @ddt.unpack
    def test_build(self, cell, instances, builds, expected):
        accepted = datetime.datetime(2026, 1, 1)
        others = {}
        if 'mirror' in builds:
            others['mirror'] = row(created_at=accepted)
        if builds - {'mirror'}:
            others['build'] = row(created_at=accepted,
                                  is_build='build' in builds)
        self.assertEqual(expected, self.codes(cell, instances={
            number: instance(**values)
            for number, values in instances.items()}, **others))

    def test_two_cells_of_which_one_never_ran(self):
        never = instance(host=None, was_launched=False, vm_state='building')
        found, = findings.find(self.case(
            instances={1: instance(), 2: never}))
        self.assertEqual((2,), found.cells)
        found, = findings.find(self.case(
            instances={1: instance(), 2: instance()}))
        self.assertEqual((), found.cells)
        self.assertIn('see where it runs', found.repair)
