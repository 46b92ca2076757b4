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

"""That what setup.cfg says about packages and entry points is true."""

import configparser
import fnmatch
import glob
import os
import subprocess
import sys

from packaging import requirements
import setuptools
import testtools

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

#: What the upper-constraints.txt of Yoga has, where the oldest Nova is.
YOGA = {
    'alembic': '1.7.6', 'cliff': '3.10.1', 'netaddr': '0.8.0',
    'oslo.config': '8.8.1', 'oslo.db': '11.2.0', 'oslo.log': '4.7.0',
    'oslo.serialization': '4.3.0', 'oslo.upgradecheck': '1.5.0',
    'oslo.utils': '4.12.4', 'oslo.versionedobjects': '2.6.0',
    'SQLAlchemy': '1.4.31', 'stevedore': '3.5.2', 'wrapt': '1.13.3'}

LOAD = """
import importlib, operator, sys
import tests.functional
for target in sys.argv[1:]:
    module, _, name = target.partition(':')
    module = importlib.import_module(module)
    if name:
        operator.attrgetter(name)(module)
"""


class PackagingTestCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.declared = configparser.ConfigParser(
            delimiters=('=',), interpolation=None)
        self.declared.optionxform = str
        self.declared.read(os.path.join(ROOT, 'setup.cfg'))

    def test_every_package_of_the_tree_is_listed(self):
        own = setuptools.find_packages(ROOT, include=(
            'nova_cells_persist', 'nova_cells_persist.*',
            'nova_cells_persist_tempest_plugin*'))
        mapped = setuptools.find_packages(ROOT, include=(
            'db_migrations', 'db_migrations.*'))
        self.assertEqual(
            sorted(own + ['nova_cells_persist.' + name for name in mapped]),
            sorted(self.declared['options']['packages'].split()))

    def test_every_file_of_a_package_is_listed(self):
        data = self.declared['options.package_data']['*'].split()
        folders = [
            package.replace('nova_cells_persist.db_migrations',
                            'db_migrations').replace('.', os.sep)
            for package in self.declared['options']['packages'].split()]
        left_out = [
            os.path.join(folder, name) for folder in folders
            for name in os.listdir(os.path.join(ROOT, folder))
            if os.path.isfile(os.path.join(ROOT, folder, name)) and
            not name.endswith(('.py', '.pyc')) and
            not any(fnmatch.fnmatch(name, pattern) for pattern in data)]
        self.assertEqual([], left_out)

    def test_package_data_is_there(self):
        for pattern in self.declared['options.package_data']['*'].split():
            self.assertTrue([
                path for folder in ('db_migrations', 'nova_cells_persist')
                for path in glob.glob(os.path.join(
                    ROOT, folder, '**', pattern), recursive=True)], pattern)

    def test_yoga_has_what_is_required(self):
        required = {each.name: each.specifier for each in map(
            requirements.Requirement,
            self.declared['options']['install_requires'].split())}
        # No Nova has it.
        del required['tqdm']
        self.assertEqual([], [
            '%s%s' % each for each in required.items()
            if not each[1].contains(YOGA[each[0]])])

    def test_every_object_is_registered_under_its_name(self):
        for line in self.declared['options.entry_points'][
                'nova_cells_persist.objects'].strip().splitlines():
            name, _, target = line.partition('=')
            self.assertEqual(name.strip(), target.rpartition(':')[2])

    def test_names_of_scripts_are_unique(self):
        # sqlalchemy-migrate loads a script as a module of its bare name.
        names = [os.path.basename(path) for path in glob.glob(
            os.path.join(ROOT, 'db_migrations', '*', 'versions', '0*.py'))]
        self.assertEqual(sorted(set(names)), sorted(names))
        self.assertGreaterEqual(len(names), 2)

    def test_every_entry_point_can_be_loaded(self):
        entry_points = dict(self.declared['options.entry_points'])
        # tempest is not here, nor is Nova where that is.
        del entry_points['tempest.test_plugins']
        targets = [line.partition('=')[2].strip() for group in entry_points
                   for line in entry_points[group].strip().splitlines()]
        # In a process of its own: what is loaded may touch Nova's classes.
        subprocess.run([sys.executable, '-c', LOAD, *targets],
                       cwd=ROOT, check=True)
