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

"""What the documentation gets of what was measured; nothing is measured."""

import os

import fixtures
import testtools

from tests.perf import budgets
from tests.perf import driver
from tests.perf import page
from tests.perf import scenarios


class Drawing:
    """Stands in for a Figure of matplotlib."""

    def __init__(self, chosen, measured):
        self._text = '%s: %d' % (chosen[0].name, len(measured))

    def savefig(self, path):
        with open(path, 'w') as file:
            file.write(self._text)


class PageTest(testtools.TestCase):

    def written(self, *measured):
        """Return ({name of a file: text}, the names that are returned)."""
        folder = self.useFixture(fixtures.TempDir()).path
        paths = page.write(folder, scenarios.make(7), measured,
                           budgets.compare(measured), Drawing)
        found = {}
        for name in os.listdir(folder):
            with open(os.path.join(folder, name)) as file:
                found[name] = file.read()
        self.assertEqual(sorted(found), sorted(map(os.path.basename, paths)))
        return found

    def series(self, scenario, side, value, size=None):
        return driver.Series('mariadb', scenario, side, size, 'ms', [value])

    def test_one_thing(self):
        found = self.written(
            self.series('resize', scenarios.STOCK, 100.0),
            self.series('resize', scenarios.PLUGIN, 106.0))
        self.assertEqual(['bench.inc'], list(found))
        self.assertIn('''
   * - resize
     - 1.050 times
     - 1.060 times
     - **not met**
''', found['bench.inc'])
        self.assertIn('''
   * - mariadb
     - resize, from POST until VERIFY_RESIZE
     -
     - ms
     - 100.00 [100.00, 100.00]
     - 106.00 [106.00, 106.00]
     - 1.060
     - 1 / 1
''', found['bench.inc'])

    def test_plot(self):
        found = self.written(*[
            self.series('full-cell', scenarios.PLUGIN, value, size)
            for size, value in ((0, 10.0), (7, 11.0))])
        self.assertEqual('full-cell: 2', found['bench-full-cell.svg'])
        self.assertIn('.. image:: bench-full-cell.svg\n', found['bench.inc'])

    def test_no_budget(self):
        found = self.written(driver.Series(
            'sqlite', 'get-spec', scenarios.PLUGIN, None, 'ms', [1.0]))
        self.assertNotIn('Budgets', found['bench.inc'])
