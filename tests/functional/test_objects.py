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

"""Nova's objects with the plugin on, and Nova as it was once it is off."""

import collections
import importlib

import fixtures
from oslo_utils.fixture import uuidsentinel as uuids
from oslo_versionedobjects import fixture as ovo_fixture
import stevedore
import wrapt

from nova import context as nova_context
from nova.db.api import models as api_models
from nova.db.main import models as main_models
from nova import objects
from nova.objects import base
from nova.objects import build_request
from nova.objects import instance_group
from nova.objects import instance_mapping
from nova.objects import migration
from nova.objects import request_spec
from nova import test
from nova.tests.unit import fake_build_request
from nova.tests.unit import fake_request_spec
from nova.tests.unit.objects import test_objects as nova_test_objects

from nova_cells_persist.db import models
from nova_cells_persist.hooks import base as hooks_base
from nova_cells_persist.objects import primitive as json_primitive
from nova_cells_persist import plugin
from nova_cells_persist import setup_error

#: The objects and the modules that they are defined in.
STOCK = {
    'BuildRequest': build_request,
    'BuildRequestList': build_request,
    'InstanceGroup': instance_group,
    'InstanceMapping': instance_mapping,
    'InstanceMappingList': instance_mapping,
    'Migration': migration,
    'RequestSpec': request_spec,
}


def registered():
    """Return {name: classes} of the objects, newest version first."""
    classes = base.NovaObjectRegistry.obj_classes()
    return {name: list(classes[name]) for name in STOCK}


def hooked():
    """Yield (name of a module, dotted name in it, function) of each hook."""
    for extension in stevedore.ExtensionManager(plugin.HOOKS):
        hook = extension.plugin
        module = importlib.import_module(hook.module)
        for path in hook.attributes:
            try:
                owner, attribute, _ = wrapt.resolve_path(module, path)
            except AttributeError:
                if not hook.optional:
                    raise
            else:
                # Of a static method getattr() is the bare function.
                yield hook.module, path, vars(owner)[attribute]


def in_nova():
    """Return {(place, name): object} of all that the plugin may change."""
    found = {(place.__name__, name): getattr(place, name)
             for name, module in STOCK.items()
             for place in (objects, module)}
    found.update(((module, path), function)
                 for module, path, function in hooked())
    return found


class HalfMissing(hooks_base.Hook):
    module = 'nova.compute.api'
    attributes = ('API.get', 'API.no_such_method')


class ObjectsTestCase(test.NoDBTestCase):

    def setUp(self):
        super().setUp()
        self.assertFalse(plugin.is_loaded())
        self.context = nova_context.get_admin_context()
        self.classes = registered()
        self.nova = in_nova()
        self.removed_tables = [
            set(module.REMOVED_TABLES)
            for module in (api_models, main_models)]
        # Nova's base test case does not put back what is in the lists.
        for name in STOCK:
            self.addCleanup(self._put_back, name)
        self.addCleanup(plugin.unload)

    def _put_back(self, name):
        stock = self.classes[name]
        base.NovaObjectRegistry.obj_classes()[name][:] = stock
        for place in (objects, STOCK[name]):
            setattr(place, name, stock[0])

    def assertStock(self):
        self.assertFalse(plugin.is_loaded())
        self.assertEqual(self.classes, registered())
        now = in_nova()
        self.assertEqual(set(self.nova), set(now))
        for key, thing in self.nova.items():
            self.assertIs(thing, now[key], key)
        self.assertEqual(self.removed_tables, [
            set(module.REMOVED_TABLES)
            for module in (api_models, main_models)])

    def assertOn(self):
        """Assert that each thing is ours, and is it once."""
        self.assertTrue(plugin.is_loaded())
        now = in_nova()
        for name, stock in self.classes.items():
            ours = now['nova.objects', name]
            self.assertIs(stock[0], ours.__mro__[1])
            self.assertEqual([ours] + stock[1:], registered()[name])
            is_list = issubclass(ours, base.ObjectListBase)
            self.assertIs(ours if is_list else stock[0],
                          now[STOCK[name].__name__, name])
        hooks = collections.Counter(
            (module, path) for module, path, _ in hooked())
        self.assertIn(('nova.compute.api', 'API.resize'), hooks)
        for key, number in hooks.items():
            function = now[key]
            for _ in range(number):
                self.assertIsInstance(function, wrapt.FunctionWrapper, key)
                function = function.__wrapped__
            self.assertIs(self.nova[key], function, key)
        for module in (api_models, main_models):
            self.assertLessEqual(
                models.TABLE_NAMES, set(module.REMOVED_TABLES))


class LoadTestCase(ObjectsTestCase):

    def test_load_and_unload(self):
        plugin.load()
        self.assertOn()
        plugin.unload()
        self.assertStock()

    def test_twice_is_as_once(self):
        plugin.load()
        now = in_nova()
        plugin.load()
        self.assertEqual(now, in_nova())
        self.assertOn()
        plugin.unload()
        self.assertStock()
        plugin.unload()
        self.assertStock()

    def test_again_after_unload(self):
        for _ in range(2):
            plugin.load()
            self.assertOn()
            plugin.unload()
            self.assertStock()

    def test_a_hook_that_fails_half_way_leaves_stock(self):
        extensions = plugin._extensions

        def with_one_more(namespace):
            found = extensions(namespace)
            if namespace == plugin.HOOKS:
                found['zzz'] = HalfMissing
            return found

        from nova.compute import api
        get = vars(api.API)['get']
        with fixtures.MonkeyPatch(
                'nova_cells_persist.plugin._extensions', with_one_more):
            exc = self.assertRaises(setup_error.HookTargetMissing, plugin.load)
        self.assertIn('API.no_such_method', str(exc))
        self.assertIs(get, vars(api.API)['get'])
        self.assertStock()
        plugin.load()
        self.assertOn()

    def test_an_object_that_another_has_replaced(self):
        class InstanceMappingList(instance_mapping.InstanceMappingList):
            pass

        base.NovaObjectRegistry.register(InstanceMappingList)
        exc = self.assertRaises(setup_error.ObjectReplaced, plugin.load)
        self.assertIn('InstanceMappingList', str(exc))
        self.assertIn(__name__, str(exc))
        self.assertFalse(plugin.is_loaded())
        # What is before it in the order was taken off again.
        for name in ('BuildRequest', 'BuildRequestList'):
            self.assertEqual(self.classes[name], registered()[name])
        self.assertIs(InstanceMappingList, objects.InstanceMappingList)

    def test_static_method_that_a_test_has_patched(self):
        """What is put back is a static method again; see SingleCellSimple."""
        plugin.load()
        for name, stock in self.classes.items():
            ours = getattr(objects, name)
            for method, attribute in vars(stock[0]).items():
                if not isinstance(attribute, staticmethod):
                    continue
                with fixtures.MonkeyPatch(
                        'nova.objects.%s.%s' % (name, method),
                        lambda *args: args):
                    self.assertEqual((1, 2), getattr(ours(), method)(1, 2))
                self.assertIsInstance(vars(ours)[method], staticmethod)

    def test_unload_of_a_registry_that_was_put_back(self):
        plugin.load()
        for name, classes in self.classes.items():
            base.NovaObjectRegistry.obj_classes()[name][:] = classes
        plugin.unload()
        self.assertStock()


class WireTestCase(ObjectsTestCase):

    def setUp(self):
        super().setUp()
        self.db_build_request = fake_build_request.fake_db_req()
        self.stock = self._samples()
        plugin.load()
        self.serializer = base.NovaObjectSerializer()

    def _samples(self):
        """Return {name: an object of the class that has the name now}."""
        spec = fake_request_spec.fake_spec_obj()
        spec.instance_uuid = uuids.instance   # random otherwise
        build = fake_build_request.fake_req_obj(
            self.context, dict(self.db_build_request))
        mapping = objects.InstanceMapping(
            self.context, id=3, instance_uuid=uuids.instance,
            project_id='project', user_id='user', queued_for_delete=False,
            cell_mapping=objects.CellMapping(
                self.context, id=4, uuid=uuids.cell, name='cell1',
                transport_url='fake://', disabled=False,
                database_connection='sqlite://'))
        return {
            'BuildRequest': build,
            'BuildRequestList': objects.BuildRequestList(
                self.context, objects=[build]),
            'InstanceMapping': mapping,
            'InstanceMappingList': objects.InstanceMappingList(
                self.context, objects=[mapping]),
            'RequestSpec': spec,
        }

    def test_fingerprints(self):
        checker = ovo_fixture.ObjectVersionChecker(registered())
        expected = {name: nova_test_objects.object_data[name]
                    for name in STOCK}
        self.assertEqual(expected, checker.get_hashes())

    def test_names_and_versions(self):
        for name, stock in self.classes.items():
            ours = getattr(objects, name)
            self.assertIsNot(stock[0], ours)
            self.assertEqual(name, ours.obj_name())
            self.assertEqual(stock[0].VERSION, ours.VERSION)
            self.assertEqual(stock[0].fields, ours.fields)

    def test_format(self):
        for name, ours in self._samples().items():
            self.assertIs(getattr(objects, name), type(ours))
            self.assertIsNot(type(self.stock[name]), type(ours))
            self.assertEqual(self.stock[name].obj_to_primitive(),
                             ours.obj_to_primitive())

    def test_format_of_a_build_request_that_has_its_request_spec(self):
        samples = self._samples()
        build = samples['BuildRequest']
        build.request_spec = samples['RequestSpec']
        self.assertIs(samples['RequestSpec'], build.request_spec)
        self.assertEqual(self.stock['BuildRequest'].obj_to_primitive(),
                         build.obj_to_primitive())

    def test_persisted_is_what_nova_persists(self):
        """And the object stays as it is."""
        spec = self._samples()['RequestSpec']
        spec.instance_group.members = [uuids.member]
        spec.instance_group.hosts = ['h']
        spec.requested_networks = objects.NetworkRequestList(objects=[
            objects.NetworkRequest(network_id=uuids.network)])
        spec.network_metadata = objects.NetworkMetadata(
            physnets={'p'}, tunneled=True)
        spec.request_level_params = objects.RequestLevelParams(
            root_required={'T'})
        spec.requested_destination = objects.Destination(host='h')
        spec.requested_resources = [objects.RequestGroup()]
        spec.ignore_hosts = ['i']
        before = spec.obj_to_primitive()
        changed = spec.obj_what_changed()
        ours = spec._get_update_primitives()['spec']
        self.assertEqual(before, spec.obj_to_primitive())
        self.assertEqual(changed, spec.obj_what_changed())
        novas = self.classes['RequestSpec'][0]._get_update_primitives(spec)
        self.assertEqual(json_primitive.compact(novas['spec']), ours)
        self.assertNotIn(uuids.member, ours)
        self.assertEqual(before, spec.obj_to_primitive())

    def test_read_what_a_stock_node_has_sent(self):
        for name, stock in self.stock.items():
            sent = stock.obj_to_primitive()
            got = self.serializer.deserialize_entity(self.context, sent)
            self.assertIs(getattr(objects, name), type(got))
            self.assertEqual(sent, got.obj_to_primitive())
            for element in getattr(got, 'objects', ()):
                self.assertIs(getattr(objects, element.obj_name()),
                              type(element))

    def test_stock_node_reads_what_was_sent(self):
        sent = {name: self.serializer.serialize_entity(self.context, ours)
                for name, ours in self._samples().items()}
        plugin.unload()
        for name, primitive in sent.items():
            got = self.serializer.deserialize_entity(self.context, primitive)
            self.assertIs(self.classes[name][0], type(got))
            self.assertEqual(primitive, got.obj_to_primitive())
