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

"""That the documents name every command, option and finding."""

import configparser
import os

import testtools

from nova_cells_persist import conf
from nova_cells_persist.reconcile import codes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


class DocumentedTestCase(testtools.TestCase):

    def read(self, *path):
        with open(os.path.join(ROOT, *path)) as file:
            return file.read()

    def test_commands(self):
        declared = configparser.ConfigParser(
            delimiters=('=',), interpolation=None)
        declared.read(os.path.join(ROOT, 'setup.cfg'))
        readme = self.read('README.rst')
        for line in declared['options.entry_points'][
                'nova_cells_persist.command'].strip().splitlines():
            name = line.partition('=')[0].strip().replace('_', ' ')
            self.assertIn('\n``nova-cells-persist %s' % name, readme)

    def test_options(self):
        readme = self.read('README.rst')
        for option in conf.OPTS:
            self.assertIn('\n``%s``' % option.name, readme)

    def test_findings(self):
        document = self.read('doc', 'operating.rst')
        for code in codes.MEANINGS:
            self.assertIn('\n``%s``' % code, document)
