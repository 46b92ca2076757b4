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

"""What is made of what was measured; nothing is measured here."""

import testtools

from tests.perf import budgets
from tests.perf import driver
from tests.perf import scenarios

STOCK, PLUGIN = scenarios.STOCK, scenarios.PLUGIN


def series(scenario, side, *values, size=None, unit='ms', database='mariadb'):
    return driver.Series(database, scenario, side, size, unit, list(values))


class BudgetsTest(testtools.TestCase):

    def compare(self, *measured):
        """Return {text of a budget: (figure as it is written, is it met)}."""
        return {budget.text: (budget.written(value), budget.is_met(value))
                for budget, value in budgets.compare(measured)}

    def test_every_budget_is_of_a_scenario(self):
        known = scenarios.make(1000000)
        for budget in budgets.BUDGETS:
            scenario = known[budget.scenario]
            self.assertIn(budget.against[0], scenario.sides)
            if budget.size:
                self.assertIn(budget.size, scenario.sizes)

    def test_medians_beside_stock(self):
        self.assertEqual(
            {'resize': ('1.050 times', True)},
            self.compare(series('resize', STOCK, 99, 100, 1000),
                         series('resize', PLUGIN, 1, 105, 106)))
        self.assertEqual(
            {'resize': ('1.060 times', False)},
            self.compare(series('resize', STOCK, 100),
                         series('resize', PLUGIN, 106)))

    def test_other_databases_have_no_budget(self):
        self.assertEqual({}, self.compare(
            series('resize', STOCK, 1, database='sqlite'),
            series('resize', PLUGIN, 9, database='sqlite')))

    def test_sizes(self):
        self.assertEqual(
            {'list 50 of 1,000 builds in flight': ('50.00 times as fast',
                                                   True),
             'list 50 of 10,000 beside 50 of 1,000': ('2.000 times', False)},
            self.compare(
                series('list-builds', STOCK, 1000, size=1000),
                series('list-builds', PLUGIN, 20, size=1000),
                series('list-builds', STOCK, 10000, size=10000),
                series('list-builds', PLUGIN, 40, size=10000)))

    def test_beside_an_empty_cell(self):
        self.assertEqual(
            {'boot in a full cell beside an empty one': ('1.200 times',
                                                         False)},
            self.compare(series('full-cell', PLUGIN, 100, size=0),
                         series('full-cell', PLUGIN, 120, size=7)))

    def test_differences(self):
        found = self.compare(
            *[series('boot', side, value, unit=unit)
              for unit, stock, plugin in (
                  ('ms', 1, 9), ('statements', 100, 109),
                  ('transactions', 20, 22), ('bytes', 3000, 6000),
                  ('bytes/row', 3000, 3000))
              for side, value in ((STOCK, stock), (PLUGIN, plugin))])
        self.assertEqual(
            {'SQL statements of a boot': ('+9 more', False),
             'transactions of a boot': ('+2 more', True),
             'bytes of a row of a request spec': ('+0 more', False)}, found)
