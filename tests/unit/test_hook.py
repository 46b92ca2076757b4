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

"""A hook on a module that is made for the test."""

import importlib
import itertools
import os
import sys
import types

import fixtures
from oslotest import base

from nova_cells_persist.hooks import base as hooks_base
from nova_cells_persist import setup_error

# A name for each test: wrapt before 1.15 takes what was imported once to be
# there for good.
NAMES = map('module_for_a_hook_%d'.__mod__, itertools.count())

SOURCE = '''
def function(word):
    return 'function %s' % word


class Thing:

    def method(self, word):
        return 'method %s' % word

    @classmethod
    def class_method(cls, word):
        return '%s %s' % (cls.__name__, word)

    @staticmethod
    def static_method(word):
        return 'static %s' % word
'''


class Shout(hooks_base.Hook):
    attributes = ('function', 'Thing.method', 'Thing.class_method',
                  'Thing.static_method')

    def call(self, wrapped, instance, args, kwargs):
        return wrapped(*args, **kwargs).upper()


class Missing(Shout):
    attributes = ('function', 'Thing.nothing', 'Thing.method')


class Optional(Missing):
    optional = True


class HookTestCase(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        self.name = next(NAMES)
        self.useFixture(fixtures.MonkeyPatch(
            'tests.unit.test_hook.Shout.module', self.name))
        path = self.useFixture(fixtures.TempDir()).path
        with open(os.path.join(path, self.name + '.py'), 'w') as file:
            file.write(SOURCE)
        self.useFixture(fixtures.MonkeyPatch('sys.path', [path] + sys.path))
        importlib.invalidate_caches()
        self.addCleanup(sys.modules.pop, self.name, None)

    def _import(self):
        return importlib.import_module(self.name)

    def _originals(self, module):
        return {(owner, name): vars(owner)[name]
                for owner, name in ((module, 'function'),
                                    (module.Thing, 'method'),
                                    (module.Thing, 'class_method'),
                                    (module.Thing, 'static_method'))}

    def assertPlain(self, module):
        thing = module.Thing()
        self.assertEqual(
            ['function a', 'method b', 'Thing c', 'Thing d', 'static e'],
            [module.function('a'), thing.method('b'), thing.class_method('c'),
             module.Thing.class_method('d'), module.Thing.static_method('e')])
        for wrapped in self._originals(module).values():
            self.assertIn(type(wrapped), (
                types.FunctionType, classmethod, staticmethod))

    def assertShouted(self, module):
        thing = module.Thing()
        self.assertEqual(
            ['FUNCTION A', 'METHOD B', 'THING C', 'THING D', 'STATIC E'],
            [module.function('a'), thing.method(word='b'),
             thing.class_method('c'), module.Thing.class_method('d'),
             module.Thing.static_method('e')])

    def test_module_that_is_there(self):
        module = self._import()
        originals = self._originals(module)
        hook = Shout('shout')
        hook.apply()
        self.assertShouted(module)
        hook.undo()
        self.assertPlain(module)
        self.assertEqual(originals, self._originals(module))

    def test_module_that_is_imported_later(self):
        hook = Shout('shout')
        hook.apply()
        self.assertNotIn(self.name, sys.modules)
        module = self._import()
        self.assertShouted(module)
        hook.undo()
        self.assertPlain(module)

    def test_undone_before_the_import(self):
        hook = Shout('shout')
        hook.apply()
        hook.undo()
        self.assertPlain(self._import())

    def test_again_after_undo(self):
        hook = Shout('shout')
        hook.apply()
        module = self._import()
        hook.undo()
        hook.apply()
        self.assertShouted(module)
        hook.undo()
        hook.undo()
        self.assertPlain(module)

    def test_two_hooks_undone_in_turn(self):
        class Whisper(Shout):
            def call(self, wrapped, instance, args, kwargs):
                return '(%s)' % wrapped(*args, **kwargs)

        module = self._import()
        hooks = [Shout('shout'), Whisper('whisper')]
        for hook in hooks:
            hook.apply()
        self.assertEqual('(FUNCTION A)', module.function('a'))
        hooks.pop().undo()
        self.assertShouted(module)
        hooks.pop().undo()
        self.assertPlain(module)

    def test_missing_attribute(self):
        module = self._import()
        hook = Missing('missing')
        exc = self.assertRaises(setup_error.HookTargetMissing, hook.apply)
        self.assertEqual({'module': self.name, 'attribute': 'Thing.nothing',
                          'hook': 'missing'}, exc.data)
        hook.undo()
        self.assertPlain(module)

    def test_missing_attribute_of_a_module_that_is_imported_later(self):
        hook = Missing('missing')
        self.addCleanup(hook.undo)
        hook.apply()
        exc = self.assertRaises(SystemExit, self._import)
        self.assertIn('%s has no Thing.nothing' % self.name, str(exc))
        self.assertNotIn('\n', str(exc))

    def test_optional_attribute(self):
        module = self._import()
        hook = Optional('optional')
        hook.apply()
        self.assertEqual('FUNCTION A', module.function('a'))
        self.assertEqual('METHOD B', module.Thing().method('b'))
        hook.undo()
        self.assertPlain(module)

    def test_hook_that_forgot_to_say_what_it_does(self):
        class Nothing(Shout):
            call = hooks_base.Hook.call

        module = self._import()
        hook = Nothing('nothing')
        hook.apply()
        self.assertRaises(NotImplementedError, module.function, 'a')
        hook.undo()
        self.assertPlain(module)


class RefuseTestCase(base.BaseTestCase):

    def test_sentence_is_the_exit_status(self):
        exc = self.assertRaises(
            SystemExit, hooks_base.refuse, setup_error.NovaNotFound())
        self.assertEqual(str(setup_error.NovaNotFound()), exc.code)

    def test_wsgi_application_is_refused_for_good(self):
        wsgi_app = types.ModuleType('wsgi_app')
        wsgi_app._setup_service = lambda host, name: 'started'
        self.useFixture(fixtures.MonkeyPatch('sys.modules', dict(
            sys.modules, **{'nova.api.openstack.wsgi_app': wsgi_app})))
        self.assertRaises(SystemExit, hooks_base.refuse, 'Because.')
        exc = self.assertRaises(
            SystemExit, wsgi_app._setup_service, 'host', 'osapi_compute')
        self.assertEqual('Because.', exc.code)
