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

import os

import fixtures
from oslotest import base

from tools import kept
from tools import nova_explained
from tools import nova_full
from tools import run_tests

ONE, TWO = 'nova.tests.one', 'nova.tests.two'


def a_run(**verdicts):
    return run_tests.Run({
        '%s.Case.%s' % (TWO if test.startswith('test_two') else ONE, test):
        verdict for test, verdict in verdicts.items()})


def ids(*names):
    return list(a_run(**{'test_' + name: 1 for name in names}).verdicts)


class StateTest(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.MonkeyPatch('tools.kept.ROOT', self.root))
        self.write('db_migrations/one.py', 'one')

    def write(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)

    def test_of_the_code_of_the_plugin(self):
        found = {kept.state()}
        for name, text in (('nova_cells_persist/db/two.py', 'two'),
                           ('nova_cells_persist/db/two.py', '2'),
                           ('db_migrations/two.py', '2')):
            self.write(name, text)
            self.assertNotIn(kept.state(), found)
            found.add(kept.state())

    def test_of_nothing_else(self):
        before = kept.state()
        self.write('tools/two.py', 'two')
        self.write('db_migrations/__pycache__/one.pyc', 'made')
        self.assertEqual(before, kept.state())


class ResultsTest(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        self.path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'kept', 'results.json')
        self.results = nova_full.Results(
            self.path, nova='34.0.0', suite='functional', date='today')

    def again(self):
        """Return the results as another day finds them."""
        return nova_full.Results(self.path, nova='another')

    def test_goes_on(self):
        tests = list(a_run(test_a=1, test_two=1, test_b=1).verdicts)
        self.results.add('plugin', ids('a', 'b'), {
            'plugin': a_run(test_a='passed', test_b='skipped'),
            'stock': a_run(test_b='skipped')}, {})
        results = self.again()
        self.assertEqual('34.0.0', results.about['nova'])
        self.assertEqual([TWO + '.Case.test_two'],
                         results.left('plugin', tests))
        self.assertEqual(sorted(tests), sorted(results.left('stock', tests)))
        self.assertEqual({'passed': 1, 'failed': 0, 'skipped': 1},
                         results.total('plugin'))
        self.assertEqual({'passed': 0, 'failed': 0, 'skipped': 0},
                         results.total('stock'))
        self.assertEqual({}, results.differing)
        lot = results.left('stock', tests)[:2]
        results.add('stock', lot, {
            'plugin': results.with_plugin(lot),
            'stock': a_run(test_a='passed', test_b='skipped')}, {})
        self.assertEqual({}, self.again().differing)
        self.assertEqual([TWO + '.Case.test_two'],
                         self.again().left('stock', tests))

    def test_what_a_worker_has_not_come_to(self):
        lot = ids('a', 'b', 'two')
        self.results.add('plugin', lot, {
            'plugin': a_run(test_a='failed', test_two='passed'),
            'stock': a_run(test_a='passed')}, {})
        results = self.again()
        self.assertEqual(ids('a', 'b'), results.left('plugin', lot))
        self.assertEqual(1, results.total('plugin')['passed'])
        results.add('plugin', ids('a', 'b'), {
            'plugin': a_run(test_a='passed', test_b='passed'),
            'stock': run_tests.Run()}, {})
        results = self.again()
        self.assertEqual([], results.left('plugin', lot))
        self.assertEqual(3, results.total('plugin')['passed'])
        self.assertEqual({}, results.differing)

    def test_how_many_are_left(self):
        self.results.add('plugin', ids('a'), {
            'plugin': a_run(test_a='passed'), 'stock': run_tests.Run()}, {})
        self.results.wait_for(ids('a', 'b', 'two'))
        self.assertEqual({'plugin': 1, 'stock': 3}, self.again().waiting)
        page = '\n'.join(nova_full.page([self.path]))
        self.assertIn('- plugin\n     - 1\n     - 0\n     - 0\n     - 1\n'
                      '     - none\n', page)

    def test_of_an_earlier_state(self):
        lot = ids('a', 'b')
        stock = run_tests.Run()
        self.results.add('plugin', lot, {
            'plugin': a_run(test_a='passed', test_b='skipped'),
            'stock': stock}, {})
        self.assertEqual({}, self.again().earlier())
        self.useFixture(fixtures.MonkeyPatch(
            'tools.kept.state', lambda: 'another'))
        self.results.add('plugin', ids('two'), {
            'plugin': a_run(test_two='passed'), 'stock': stock}, {})
        self.results.wait_for(lot)
        self.assertEqual([], self.again().left('plugin', lot))
        [date] = self.again().earlier()
        self.assertEqual({date: 2}, self.again().earlier())
        self.assertIn('     - 2 of %s\n' % date,
                      '\n'.join(nova_full.page([self.path])))

    def test_written_when_there_were_no_states(self):
        self.results.add('plugin', ids('a'), {
            'plugin': a_run(test_a='passed'), 'stock': run_tests.Run()}, {})
        written = kept.read(self.path)
        del written['stamps']
        kept.write(self.path, written)
        self.assertEqual({'today': 1}, self.again().earlier())
        self.again().wait_for(ids('a'))
        self.assertIn('     - 1 of today\n',
                      '\n'.join(nova_full.page([self.path])))

    def test_scenarios(self):
        """A test is listed once, and run once for each of its scenarios."""
        [test] = ids('a')
        run = run_tests.Run({test + '(v2)': 'passed', test + '(v3)': 'failed'})
        self.results.add('plugin', [test], {
            'plugin': run, 'stock': run_tests.Run(
                {test + '(v3)': 'failed'})}, {})
        results = self.again()
        self.assertEqual([], results.left('plugin', [test]))
        self.assertEqual({'passed': 1, 'failed': 1, 'skipped': 0},
                         results.total('plugin'))
        self.assertEqual(run.verdicts,
                         results.with_plugin(run.verdicts).verdicts)

    def test_what_differs(self):
        self.results.add('plugin', ids('a', 'b', 'c'), {
            'plugin': a_run(test_a='passed', test_b='failed', test_c='failed'),
            'stock': a_run(test_b='passed', test_c='failed')}, {})
        self.assertEqual(
            {ONE + '.Case.test_b': {'plugin': 'failed', 'stock': 'passed'}},
            self.again().differing)
        self.assertEqual([ONE + '.Case.test_c'], self.again().failing)

    def test_what_is_explained(self):
        test = ('nova.tests.unit.objects.test_request_spec.'
                'TestRequestSpecObject.test_create')
        self.results.add('plugin', [test, *ids('a')], {
            'plugin': run_tests.Run({test: 'failed', **a_run(
                test_a='failed').verdicts}),
            'stock': run_tests.Run({test: 'passed', **a_run(
                test_a='passed').verdicts})}, {})
        self.results.wait_for([test, *ids('a')])
        page = '\n'.join(nova_full.page([self.path]))
        self.assertIn('differs, without those explained below:\n\n'
                      '- ``%s.Case.test_a' % ONE, page)
        self.assertIn('Differ, and why: %s:\n\n- ``%s``' % (
            nova_explained.why(test).rstrip('.'), test), page)
        self.assertNotIn('``%s:' % test, page)

    def test_what_is_not_explained(self):
        for test in (*ids('a'), 'nova.tests.unit.objects.test_request_spec.'
                     'TestRequestSpecObject.test_create_twice',
                     'nova.tests.unit.compute.test_api.ComputeAPIUnitTestCase.'
                     'test_create'):
            self.assertIsNone(nova_explained.why(test))

    def test_all_skipped(self):
        """For which stestr has the exit status of a failure."""
        for verdicts, expected in (
                ({'a': 'skipped'}, True), ({}, False),
                ({'a': 'skipped', 'b': 'passed'}, False)):
            self.assertEqual(expected,
                             run_tests.Run(verdicts).all_skipped())

    def test_what_passes_with_the_plugin_alone(self):
        self.results.add('plugin', ids('a'), {
            'plugin': a_run(test_a='passed'), 'stock': run_tests.Run()}, {})
        results = self.again()
        results.add('stock', ids('a'), {
            'plugin': results.with_plugin(ids('a')),
            'stock': a_run(test_a='failed')}, {})
        self.assertEqual(
            {ONE + '.Case.test_a': {'plugin': 'passed', 'stock': 'failed'}},
            self.again().differing)

    def test_what_has_failed_on_both_sides_and_passes(self):
        """It is as flaky on stock as with the plugin."""
        test, = ids('a')
        self.results.add('plugin', ids('a', 'b'), {
            'plugin': a_run(test_a='failed', test_b='passed'),
            'stock': a_run(test_a='failed')}, {})
        results = self.again()
        self.assertEqual([test], results.failing)

        class Tests:

            def run_listed(self, label, listed, *options):
                return run_tests.Run(dict.fromkeys(listed, 'passed'))

        nova_full._run_lot(Tests(), results, 'stock', ids('a', 'b'))
        results = self.again()
        self.assertEqual(({}, []), (results.differing, results.failing))
        self.assertEqual({test: [
            ['failed', 'failed'], ['passed', 'failed'], ['passed', 'passed']]},
            results.flaky)
        for label in nova_full.LABELS:
            self.assertEqual({'passed': 2, 'failed': 0, 'skipped': 0},
                             results.total(label))
