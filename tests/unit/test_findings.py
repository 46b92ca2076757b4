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

from nova_cells_persist.objects import contract
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


def flavor_of(**fields):
    return an_object('Flavor', '1.2', **dict({'id': 1}, **fields))


def pci_of(*requests):
    return an_object('InstancePCIRequests', '1.1', requests=list(requests))


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

    def case(self, cell=1, text=spec(), instances=None, queued=None,
             **others):
        found = case.Case(UUID)
        if cell is not False:
            found.add('mapping', None, row(
                cell_id=cell, spec=text, queued_for_delete=queued))
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
        (dict(text=spec(num_instances='many'), revision=None, spec=None),
         ['unreadable-spec']),
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

    @ddt.data('{', spec(num_instances='many'))
    def test_damaged_and_never_built(self, text):
        """There is nothing that it could be rebuilt from."""
        found, = findings.find(self.case(text=text, instances={1: instance(
            vm_state='error', host=None, was_launched=False, revision=None,
            spec=None)}))
        self.assertEqual(('unreadable-spec', True),
                         (found.code, found.by_hand))

    @ddt.data(({}, 'server itself'), ({'waiting': True}, 'newest revision'))
    @ddt.unpack
    def test_what_it_is_rebuilt_from(self, others, source):
        found = findings.find(self.case(text=None, instances={
            1: instance(revision=None, spec=None)}, **others))[-1]
        self.assertEqual('missing-spec', found.code)
        self.assertIn(source, found.repair)

    @ddt.data(
        (dict(flavor=flavor_of(extra_specs=['x'])), 'unreadable-spec'),
        (dict(flavor=flavor_of(extra_specs='x')), 'unreadable-spec'),
        (dict(pci_requests=pci_of(None)), 'unreadable-spec'),
        (dict(pci_requests=pci_of({})), 'unreadable-spec'),
        # Which Nova hydrates, and can make no sense of.
        (dict(flavor=flavor_of(extra_specs={contract.ALIAS: 5})), None),
        (dict(pci_requests=pci_of(an_object(
            'InstancePCIRequest', '1.4', alias_name='gpu'))), None))
    @ddt.unpack
    def test_damaged_in_depth(self, fields, expected):
        """Neither the audit ends there, nor does it find too much."""
        text = spec(**fields)
        self.assertEqual([expected] if expected else [],
                         self.of(text=text, spec=text))
        self.assertEqual([expected or 'stale-copy'], self.of(text=text))

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
        (1, {1: {}, 2: {'hidden': True}}, {}, ['interrupted-move']),
        (1, {1: {'deleted': 5}, 2: {}}, {}, ['two-cells']),
        (1, {1: {}, 2: {'hidden': True}, 3: {}}, {}, ['two-cells']),
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
        # It has not left, or is there for good.
        ({}, {'hidden': True}, {}, (1, 2), 'delete the copy in cell 2'),
        ({'task_state': 'resize_prep'}, {'hidden': True}, {}, None, None),
        ({}, {}, {1: 'migrating', 2: 'migrating'}, (1, 2),
         'delete the copy in cell 2'),
        ({'deleted': 5, 'task_state': 'deleting'}, {'hidden': True}, {},
         (1, 2), 'delete the copy in cell 2'),
        ({'vm_state': 'error'}, {'hidden': True},
         {1: 'error', 2: 'post-migrating'}, (1, 2),
         'delete the copy in cell 2'),
        # It waits for what its owner says.
        ({'vm_state': 'resized'}, {'hidden': True},
         {1: 'finished', 2: 'post-migrating'}, None, None),
        # It waits, but both are shown.
        ({'vm_state': 'resized'}, {}, {1: 'finished', 2: 'post-migrating'},
         (1, 2), 'hide it in cell 2'),
        # It is there, but for the mapping.
        ({}, {'vm_state': 'resized', 'hidden': True},
         {1: 'post-migrating', 2: 'finished'}, (2, 1),
         'map it to cell 2, and hide it in cell 1'),
        ({}, {'vm_state': 'resized'}, {1: 'post-migrating', 2: 'finished'},
         (2, 1), 'map it to cell 2, and hide it in cell 1'),
        # It is there no more: its copy is of a backup that was put back.
        ({}, {'vm_state': 'resized', 'hidden': True},
         {1: 'reverted', 2: 'finished'}, (1, 2), 'delete the copy in cell 2'),
        # It may still move, and both are shown.
        ({'task_state': 'resize_migrated'}, {'vm_state': 'resized'},
         {1: 'post-migrating', 2: 'finished'}, (),
         'by hand: once nobody is resize_migrated any more, reset its state'))
    @ddt.unpack
    def test_move_to_another_cell(self, here, there, moves, cells, repair):
        found = findings.find(self.case(instances={
            1: instance(**here), 2: instance(**there)}, moves=moves))
        self.assertEqual(
            [] if cells is None else [('interrupted-move', cells, repair)],
            [(each.code, each.cells, each.shown[3]) for each in found])

    @ddt.data('reverted', 'confirmed')
    def test_copy_of_a_move_that_is_over(self, status):
        """What it waits for would be done to the server itself."""
        found, = findings.find(self.case(
            instances={1: instance(), 2: instance(vm_state='resized')},
            moves={1: status, 2: 'finished'}))
        self.assertEqual('two-cells', found.code)
        self.assertTrue(found.by_hand)

    @ddt.data(
        (None, {}, {'mirror'}, ['stuck-build']),
        (None, {}, {'build'}, ['stuck-build']),
        (None, {}, {'dead'}, ['deleted-build']),
        (False, {}, {'dead'}, ['orphaned-spec']),
        (False, {}, {'build'}, ['stuck-build']),
        (None, {1: {}}, {'build'}, ['stuck-build']),
        (None, {1: {'hidden': True}}, {'build'}, ['unmapped-instance']),
        (None, {1: {'deleted': 5}}, {'build'}, ['landed-build']),
        (None, {1: {'deleted': 5}}, {'mirror'}, ['landed-build']),
        (None, {1: {'deleted': 5}}, {'dead'}, []),
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

    @ddt.data(
        (None, {}, True, {}, ['deleted-build']),
        (1, {}, True, {}, ['deleted-build']),
        (None, {}, False, {}, ['unmapped-instance']),
        (None, {}, None, {}, ['unmapped-instance']),
        (1, {}, False, {}, ['stuck-instance']),
        (False, {}, True, {}, ['unmapped-instance']),
        (1, {'host': 'h'}, True, {}, []),
        (None, {'host': 'h'}, True, {}, ['unmapped-instance']),
        (None, {'was_launched': True}, True, {}, ['unmapped-instance']),
        (1, {'vm_state': 'error'}, True, {}, []),
        (1, {'deleted': 5}, True, {}, []),
        (None, {}, True, {'mirror': row(created_at='then')},
         ['stuck-build']))
    @ddt.unpack
    def test_deleted_by_its_owner(self, cell, values, queued, others,
                                  expected):
        never = dict(host=None, was_launched=False, vm_state='building')
        self.assertEqual(expected, self.codes(
            cell, instances={1: instance(**dict(never, **values))},
            queued=queued, **others))

    def test_two_cells_of_which_one_never_ran(self):
        never = instance(host=None, was_launched=False, vm_state='building')
        found, = findings.find(self.case(
            instances={1: instance(), 2: never}))
        self.assertEqual((2,), found.cells)
        found, = findings.find(self.case(
            instances={1: instance(), 2: instance()}))
        self.assertEqual((), found.cells)
        self.assertTrue(found.by_hand)
        self.assertIn('by hand: see where it runs', found.shown[3])
