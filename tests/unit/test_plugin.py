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

"""What is registered under a namespace, and which Nova is supported."""

from importlib import metadata
from unittest import mock

import fixtures
from oslotest import base

from nova_cells_persist.hooks import announce
from nova_cells_persist import plugin
from nova_cells_persist import releases
from nova_cells_persist import setup_error

NAMESPACE = 'nova_cells_persist.test'


class ExtensionsTestCase(base.BaseTestCase):

    def _register(self, *entry_points):
        self.useFixture(fixtures.MonkeyPatch(
            'stevedore.ExtensionManager.ENTRY_POINT_CACHE', {NAMESPACE: [
                metadata.EntryPoint(name, value, NAMESPACE)
                for name, value in entry_points]}))

    def test_none(self):
        self._register()
        self.assertEqual({}, plugin._extensions(NAMESPACE))

    def test_loaded_and_not_called(self):
        self._register(
            ('one', 'nova_cells_persist.hooks.announce:Announce'),
            ('two', 'nova_cells_persist.plugin:load'))
        self.assertEqual({'one': announce.Announce, 'two': plugin.load},
                         plugin._extensions(NAMESPACE))

    def test_the_same_twice(self):
        # The metadata of a source tree and of its installation.
        self._register(*[
            ('one', 'nova_cells_persist.hooks.announce:Announce')] * 2)
        self.assertEqual({'one': announce.Announce},
                         plugin._extensions(NAMESPACE))

    def test_two_of_one_name(self):
        self._register(
            ('one', 'nova_cells_persist.hooks.announce:Announce'),
            ('one', 'nova_cells_persist.plugin:load'))
        exc = self.assertRaises(setup_error.DuplicateExtension,
                                plugin._extensions, NAMESPACE)
        self.assertEqual({
            'name': 'one', 'namespace': NAMESPACE,
            'first': 'nova_cells_persist.hooks.announce:Announce',
            'second': 'nova_cells_persist.plugin:load'}, exc.data)

    def test_no_such_module(self):
        self._register(
            ('one', 'nova_cells_persist.hooks.announce:Announce'),
            ('two', 'nova_cells_persist.nowhere:Hook'))
        exc = self.assertRaises(setup_error.BrokenExtension,
                                plugin._extensions, NAMESPACE)
        self.assertEqual('two', exc.data['name'])
        self.assertIn('ModuleNotFoundError', str(exc))
        self.assertIn('nova_cells_persist.nowhere', str(exc))

    def test_no_such_attribute(self):
        self._register(('one', 'nova_cells_persist.plugin:nothing'))
        exc = self.assertRaises(setup_error.BrokenExtension,
                                plugin._extensions, NAMESPACE)
        self.assertIn("'nothing'", str(exc))


class SupportedTestCase(base.BaseTestCase):

    def _check(self, version):
        versions = {'nova': version, 'nova-cells-persist': '1.2.3'}
        with mock.patch.object(releases.importlib.metadata, 'version',
                               versions.__getitem__):
            releases.check_supported()

    def test_first_and_last(self):
        for version in ('25.0.0', '27.5.1', '34.0.0.0rc1', '34.1.2.dev7'):
            self._check(version)

    def test_outside(self):
        for version in ('24.9.9', '35.0.0.0b1', '100.0.0'):
            exc = self.assertRaises(setup_error.UnsupportedNova,
                                    self._check, version)
            self.assertEqual({'plugin': '1.2.3', 'nova': version,
                              'first': 25, 'last': 34}, exc.data)

    def test_no_nova(self):
        with mock.patch.object(
                releases.importlib.metadata, 'version',
                side_effect=metadata.PackageNotFoundError('nova')):
            self.assertRaises(setup_error.NovaNotFound,
                              releases.check_supported)

    def test_unsupported_is_not_loaded(self):
        with mock.patch.object(releases, 'nova_version', return_value='99.0'):
            self.assertRaises(setup_error.UnsupportedNova, plugin.load)
        self.assertFalse(plugin.is_loaded())
