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

"""What is read from the files of a configuration, and its options."""

import os

import fixtures
from oslo_config import cfg
from oslotest import base

from nova_cells_persist import conf as plugin_conf
from nova_cells_persist import setup_error


class ConfTestCase(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.conf = cfg.ConfigOpts()

    def _write(self, name, *lines):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write('\n'.join(lines) + '\n')
        return path

    def _parse(self, *arguments):
        self.conf(arguments, default_config_files=[], default_config_dirs=[])


class FilesTestCase(ConfTestCase):

    def test_no_file(self):
        self._parse()
        self.assertEqual([], plugin_conf.unknown_options(self.conf))
        self.assertIsNone(plugin_conf.value_in_files(
            self.conf, 'cells_persist', 'driver'))

    def test_every_option_is_known(self):
        path = self._write(
            'nova.conf', '[cells_persist]', 'driver = nova_cells_persist',
            *['%s = 1' % opt.name for opt in plugin_conf.OPTS])
        self._parse('--config-file', path)
        self.assertEqual([], plugin_conf.unknown_options(self.conf))

    def test_unknown_in_several_files_and_a_dir(self):
        one = self._write('one.conf', '[cells_persist]', 'zzz = 1',
                          '[other]', 'not_ours = 1')
        two = self._write('two.conf', '[cells_persist]', 'cell_timeuot = 1',
                          'zzz = 2')
        self._write('conf.d/10-more.conf', '[cells_persist]', 'Driver = x')
        self._write('conf.d/20-not-read.txt', '[cells_persist]', 'aaa = 1')
        self._parse('--config-file', one, '--config-file', two,
                    '--config-dir', os.path.join(self.path, 'conf.d'))
        self.assertEqual(['Driver', 'cell_timeuot', 'zzz'],
                         plugin_conf.unknown_options(self.conf))

    def test_dir_of_the_home(self):
        self.useFixture(fixtures.EnvironmentVariable('HOME', self.path))
        self._write('conf.d/nova.conf', '[cells_persist]', 'zzz = 1')
        self._parse('--config-dir', '~/conf.d')
        self.assertEqual(['zzz'], plugin_conf.unknown_options(self.conf))

    def test_several_dirs(self):
        for name in ('a', 'b'):
            self._write('%s/nova.conf' % name, '[cells_persist]', name + '=1')
        self._parse('--config-dir', os.path.join(self.path, 'a'),
                    '--config-dir', os.path.join(self.path, 'b'))
        self.assertEqual(['a', 'b'], plugin_conf.unknown_options(self.conf))

    def test_default_files(self):
        path = self._write('nova.conf', '[cells_persist]', 'zzz = 1')
        self.conf([], default_config_files=[path], default_config_dirs=[])
        self.assertEqual(['zzz'], plugin_conf.unknown_options(self.conf))

    def test_file_of_the_home(self):
        self.useFixture(fixtures.EnvironmentVariable('HOME', self.path))
        self._write('nova.conf', '[cells_persist]', 'zzz = 1')
        self._parse('--config-file', '~/nova.conf')
        self.assertEqual(['zzz'], plugin_conf.unknown_options(self.conf))

    def test_default_dirs(self):
        """They are read unless others are given, with and without a file."""
        path = self._write('nova.conf', '[cells_persist]', 'yyy = 1')
        dirs = [os.path.join(self.path, name) for name in ('none', 'conf.d')]
        self._write('conf.d/more.conf', '[cells_persist]', 'zzz = 1')
        for arguments in ([], ['--config-file', path]):
            self.conf(arguments, default_config_files=[path],
                      default_config_dirs=dirs)
            self.assertEqual(['yyy', 'zzz'],
                             plugin_conf.unknown_options(self.conf))
        self._write('other.d/other.conf', '[cells_persist]', 'aaa = 1')
        self.conf(['--config-dir', os.path.join(self.path, 'other.d')],
                  default_config_files=[], default_config_dirs=dirs)
        self.assertEqual(['aaa'], plugin_conf.unknown_options(self.conf))

    def test_last_value_wins(self):
        one = self._write('one.conf', '[cells_persist]', 'driver = a',
                          'driver = b', '[other]', 'driver = z')
        self._parse('--config-file', one)
        self.assertEqual('b', plugin_conf.value_in_files(
            self.conf, 'cells_persist', 'driver'))
        self.assertEqual('z', plugin_conf.value_in_files(
            self.conf, 'other', 'driver'))
        self._write('conf.d/20.conf', '[cells_persist]', 'driver = d')
        self._write('conf.d/10.conf', '[cells_persist]', 'driver = c')
        self._parse('--config-file', one, '--config-dir',
                    os.path.join(self.path, 'conf.d'))
        self.assertEqual('d', plugin_conf.value_in_files(
            self.conf, 'cells_persist', 'driver'))

    def test_driver_of_the_environment_comes_first(self):
        one = self._write('one.conf', '[some]', 'driver = a')
        self._parse('--config-file', one)
        self.assertEqual('a', plugin_conf.driver_of(self.conf, 'some'))
        self.assertIsNone(plugin_conf.driver_of(self.conf, 'other'))
        for section in ('SOME', 'OTHER'):
            self.useFixture(fixtures.EnvironmentVariable(
                'OS_%s__DRIVER' % section, 'b'))
        self.assertEqual('b', plugin_conf.driver_of(self.conf, 'some'))
        self.assertEqual('b', plugin_conf.driver_of(self.conf, 'other'))


class OptionsTestCase(ConfTestCase):

    def test_defaults(self):
        plugin_conf.register_opts(self.conf)
        self._parse()
        self.assertTrue(self.conf.cells_persist.mirror_build_requests)
        self.assertEqual(5, self.conf.cells_persist.cell_timeout)

    def test_registered_after_the_parse_and_twice(self):
        path = self._write('nova.conf', '[cells_persist]', 'cell_timeout = 7',
                           'mirror_build_requests = false')
        self._parse('--config-file', path)
        plugin_conf.register_opts(self.conf)
        plugin_conf.register_opts(self.conf)
        self.assertEqual(7, self.conf.cells_persist.cell_timeout)
        self.assertFalse(self.conf.cells_persist.mirror_build_requests)

    def test_no_timeout_below_a_second(self):
        plugin_conf.register_opts(self.conf)
        path = self._write('nova.conf', '[cells_persist]', 'cell_timeout = 0')
        self._parse('--config-file', path)
        self.assertRaises(cfg.ConfigFileValueError, getattr,
                          self.conf.cells_persist, 'cell_timeout')

    def test_values_are_checked(self):
        plugin_conf.register_opts(self.conf)
        self.read('revisions_kept = 3')
        plugin_conf.check_values(self.conf)
        for line, word in (('revisions_kept = 1', 'equal to 2'),
                           ('cell_timeout = soon', 'soon')):
            self.read(line)
            exc = self.assertRaises(setup_error.InvalidOption,
                                    plugin_conf.check_values, self.conf)
            self.assertIn('[cells_persist]' + line.split()[0], str(exc))
            self.assertIn(word, str(exc))

    def read(self, line):
        self._parse('--config-file', self._write(
            'nova.conf', '[cells_persist]', line))

    def test_every_option_says_why(self):
        (group, opts), = plugin_conf.list_opts()
        self.assertEqual('cells_persist', group.name)
        for opt in opts:
            self.assertGreater(len(opt.help.strip().splitlines()), 2, opt)
