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

import fixtures
from oslotest import base

from tools import nova_functional
from tools import run_tests


class Tests:
    """Stands in for NovaTests: gives each test's verdicts, one a run.

    :ivar runs: (side, tests) of each run
    """

    def __init__(self, **verdicts):
        self._verdicts = {test: {side: list(given) for side, given in
                                 sides.items()}
                          for test, sides in verdicts.items()}
        self.runs = []

    def run_listed(self, label, listed, *options):
        self.runs.append((label, listed))
        return run_tests.Run({test: self._verdicts[test][label].pop(0)
                              for test in listed
                              if self._verdicts[test][label]})


class NovaTestsTest(base.BaseTestCase):

    def test_run_listed_with_scenarios(self):
        """A loader knows the test, not each of its scenarios."""
        tests = nova_functional.NovaTests.__new__(nova_functional.NovaTests)
        tests.scratch = self.useFixture(fixtures.TempDir()).path

        def run(label, selection):
            self.assertEqual('--load-list', selection[-2])
            with open(selection[-1]) as wanted:
                return wanted.read().splitlines()

        tests.run = run
        self.assertEqual(['a.B.c', 'a.B.d'], tests.run_listed(
            'stock', ['a.B.d', 'a.B.c(v2)', 'a.B.c(v2_1)']))


class SettleTest(base.BaseTestCase):

    def settle(self, tests, stock, plugin):
        stock, plugin = run_tests.Run(stock), run_tests.Run(plugin)
        flaky = nova_functional.settle(tests, stock, plugin)
        return flaky, nova_functional.differences(stock, plugin)

    def test_until_all_are_excused(self):
        tests = Tests(a={'stock': ['passed'], 'plugin': ['passed']},
                      b={'stock': ['failed', 'passed'],
                         'plugin': ['failed', 'passed']})
        flaky, differing = self.settle(
            tests, {'a': 'failed', 'b': 'passed', 'c': 'passed'},
            {'a': 'passed', 'b': 'failed', 'c': 'passed'})
        self.assertEqual({
            'a': [('failed', 'passed'), ('passed', 'passed')],
            'b': [('passed', 'failed'), ('failed', 'failed'),
                  ('passed', 'passed')]}, flaky)
        self.assertEqual([], differing)
        self.assertEqual([('stock', ['a', 'b']), ('plugin', ['a', 'b']),
                          ('stock', ['b']), ('plugin', ['b'])], tests.runs)

    def test_what_fails_with_the_plugin_alone(self):
        """However often it passes again: that may be a race of the plugin."""
        times = nova_functional.RERUNS
        for again in (['failed'] * (times - 1) + ['passed'],
                      ['passed'] * times):
            tests = Tests(a={'stock': ['passed'] * times, 'plugin': again})
            self.assertEqual(
                ({'a': [('passed', 'failed'),
                        *(('passed', verdict) for verdict in again)]}, ['a']),
                self.settle(tests, {'a': 'passed'}, {'a': 'failed'}))

    def test_what_may_fail_with_the_plugin_alone(self):
        test = ('nova.tests.functional.wsgi.test_servers.'
                'ServersPreSchedulingTestCase.'
                'test_instance_list_from_buildrequests')
        tests = Tests(**{test: {'stock': ['passed'], 'plugin': ['passed']}})
        flaky, differing = self.settle(
            tests, {test: 'passed'}, {test: 'failed'})
        self.assertEqual(([test], []), (list(flaky), differing))

    def test_what_stock_has_not_come_to(self):
        """Which is no failure of the test there."""
        times = nova_functional.RERUNS
        tests = Tests(a={'stock': ['passed'] * (times - 1),
                         'plugin': ['passed'] * times})
        flaky, differing = self.settle(
            tests, {'a': 'passed'}, {'a': 'failed'})
        self.assertEqual(('not run', 'passed'), flaky['a'][-1])
        self.assertEqual(['a'], differing)

    def test_what_never_passes(self):
        times = nova_functional.RERUNS
        tests = Tests(a={'stock': ['passed'] * times,
                         'plugin': ['failed'] * times})
        self.assertEqual(({}, ['a']), self.settle(
            tests, {'a': 'passed'}, {'a': 'failed'}))
        self.assertEqual(2 * times, len(tests.runs))

    def test_what_a_worker_has_not_come_to(self):
        tests = Tests(a={'stock': [], 'plugin': []})
        self.assertEqual(({}, ['a']), self.settle(
            tests, {}, {'a': 'failed'}))
        self.assertEqual([], tests.runs)

    def test_what_fails_both_ways(self):
        """Both may have lost the same race."""
        times = nova_functional.RERUNS
        tests = Tests(a={'stock': ['failed', 'passed'],
                         'plugin': ['passed', 'failed']},
                      b={'stock': ['failed'] * times,
                         'plugin': ['failed'] * times})
        stock, plugin = (run_tests.Run({'a': 'failed', 'b': 'failed'})
                         for _ in range(2))
        flaky = nova_functional.settle(tests, stock, plugin)
        self.assertEqual({'a': [('failed', 'failed'), ('failed', 'passed'),
                                ('passed', 'failed')]}, flaky)
        self.assertEqual(['b'], nova_functional.fail_on_both(stock, plugin))

    def test_what_seldom_wins_a_race_of_its_own(self):
        """Once stock was lucky, and the plugin never."""
        test = ('nova.tests.functional.test_cross_cell_migrate.'
                'TestMultiCellMigrate.'
                'test_prep_snapshot_based_resize_at_source_destroy_fails')
        times = nova_functional.RERUNS
        for name, differing in ((test, []), ('a', ['a'])):
            tests = Tests(**{name: {'stock': ['failed'] * times,
                                    'plugin': ['failed'] * times}})
            self.assertEqual(differing, self.settle(
                tests, {name: 'passed'}, {name: 'failed'})[1])

    def test_nothing_differs(self):
        tests = Tests()
        self.assertEqual(({}, []), self.settle(
            tests, {'a': 'passed'}, {'a': 'passed'}))
        self.assertEqual([], tests.runs)


class JudgedTest(base.BaseTestCase):
    """What is counted."""

    def test_what_fails_on_stock_too_is_not(self):
        runs = {'plugin': run_tests.Run({'a': 'failed', 'b': 'failed',
                                         'c': 'passed', 'd': 'skipped'},
                                        {'a': 'a race', 'b': 'a fault'}),
                'stock': run_tests.Run({'a': 'failed', 'b': 'passed'})}
        outcome = nova_functional.judged(
            runs, nova_functional.fail_on_both(**runs))
        self.assertEqual({'passed': 1, 'failed': 1, 'skipped': 1},
                         outcome.counts())
        self.assertEqual({'b': 'a fault'}, outcome.why())

    def test_stock_alone_is(self):
        runs = {'stock': run_tests.Run({'a': 'failed', 'b': 'passed'})}
        self.assertEqual({'passed': 1, 'failed': 1, 'skipped': 0},
                         nova_functional.judged(runs, []).counts())
