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


"""Run all of Nova's own tests on stock and with the plugin, part by part.

``tox -e nova-functional-full [-- --minutes N]``

What has been run is kept in ``doc/nova-tests``, a file for each release, and
is not run again: so it can be interrupted, and go on another day. ``--redo``
begins anew. What was run on an earlier state of the plugin is kept too, and
the page says how much that is. The tests are run in lots of some modules each:
all of them with the plugin, and at once on stock those that do not pass, for
what is wrong is to be known soon; then all of them on stock. One whose verdict
differs is run again, one by one, both ways, as in tools/nova_functional.py.

``--page`` writes ``doc/source/nova-tests.rst`` from all of these files
instead. The exit status is 1 when a verdict differs, or when tests are left to
be run.
"""

import argparse
import collections
import datetime
import glob
import importlib.metadata
import itertools
import os
import sys
import tempfile
import time

from tools import kept
from tools import nova_etc
from tools import nova_explained
from tools import nova_functional
from tools import nova_samples
from tools import run_tests

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, 'doc', 'nova-tests')
PAGE = os.path.join(ROOT, 'doc', 'source', 'nova-tests.rst')

#: About so many tests are run at once.
LOT = 400

#: Their folders; of the unit tests, those of what the plugin stands in for.
SUITES = ('functional', 'unit/conductor', 'unit/objects',
          'unit/compute/test_api')

#: What the page calls those that would be faults.
DIFFERING = 'Tests whose verdict differs, without those explained below'

#: In the order in which all tests are run.
LABELS = ('plugin', 'stock')


class Results:
    """What has come of one suite of one release so far, in a file.

    :ivar modules: {module: {label: counts}} of what was run as a whole
    :ivar others: {test: its verdict with the plugin}, of those that were run
        and have not passed
    :ivar differing: {test: {label: verdict}}
    :ivar flaky: {test: [[verdict on stock, verdict with the plugin]]}
    :ivar failing: the tests that fail both ways
    :ivar waiting: {label: how many tests are left to be run}
    :ivar stamps: {module: kept.stamp() of when it was run with the plugin};
        one that was run before there were any has none
    """

    def __init__(self, path, **about):
        self._path = path
        self.modules, self.others = {}, {}
        self.differing, self.flaky, self.failing = {}, {}, []
        self.waiting, self.stamps = {}, {}
        found = kept.read(path) or {'about': about}
        self.about = found.pop('about')
        vars(self).update(found)

    def left(self, label, tests):
        """Return those of a list of tests that are to be run on a side."""
        return sorted((test for test in tests if label not in
                       self.modules.get(module_of(test), ())), key=module_of)

    def with_plugin(self, tests):
        """Return what tests of whole modules have come to with the plugin.

        :param tests: their ids, scenarios included
        :returns: a Run
        """
        return run_tests.Run({test: self.others.get(test, 'passed')
                              for test in tests})

    def add(self, label, lot, runs, flaky):
        """Take in what a lot has come to, and write the file.

        A module of which a test has come to nothing, since the worker that
        was to run it is gone, is left to be run again.

        :param label: the side on which all of the lot was run
        :param lot: the tests, modules whole
        :param runs: {label: Run}
        """
        verdicts = runs[label].verdicts
        stamp = kept.stamp()
        lost = set(map(module_of, set(lot) - set(map(
            nova_functional.without_scenario, verdicts))))
        for module in set(map(module_of, verdicts)) - lost:
            counted = self.modules.setdefault(module, {})
            # What is excused on stock has passed with the plugin, too.
            both = label == 'stock' and 'plugin' in counted
            for each in LABELS if both else [label]:
                counted[each] = _count(runs[each], module)
            if label == 'plugin':
                self.stamps[module] = stamp
        for test in verdicts:
            self.others.pop(test, None)
            self.differing.pop(test, None)
        self.others.update(_not_passed(runs['plugin']))
        for test in nova_functional.differences(**runs):
            self.differing[test] = {
                each: run.verdicts.get(test, 'not run')
                for each, run in runs.items()}
        self.flaky.update(flaky)
        self.failing = sorted((set(self.failing) - set(verdicts)).union(
            nova_functional.fail_on_both(**runs)))
        self._write()

    def wait_for(self, tests):
        """Note how many of all tests are left, and write the file."""
        self.waiting = {label: len(self.left(label, tests))
                        for label in LABELS}
        self._write()

    def _write(self):
        kept.write(self._path, {
            'about': self.about, 'differing': self.differing,
            'flaky': self.flaky, 'failing': self.failing,
            'others': self.others, 'modules': self.modules,
            'waiting': self.waiting, 'stamps': self.stamps})

    def total(self, label):
        """Return {verdict: number}, of all modules."""
        return {verdict: sum(
            counts[label][verdict] for counts in self.modules.values()
            if label in counts) for verdict in run_tests.VERDICTS}

    def earlier(self):
        """Return what was run on an earlier state of the plugin.

        :returns: {date: how many tests}, the date of what has no stamp is
            when all of it began
        """
        found, now = collections.Counter(), kept.state()
        for module, counts in self.modules.items():
            stamp = self.stamps.get(module, {'state': None, **self.about})
            if 'plugin' in counts and stamp['state'] != now:
                found[stamp['date']] += sum(counts['plugin'].values())
        return dict(sorted(found.items()))


def _count(run, module):
    """Return {verdict: number} of the tests of a module in a run."""
    found = [verdict for test, verdict in run.verdicts.items()
             if module_of(test) == module]
    return {verdict: found.count(verdict) for verdict in run_tests.VERDICTS}


def _not_passed(run):
    return {test: verdict for test, verdict in run.verdicts.items()
            if verdict != 'passed'}


def module_of(test):
    """Return the name of the module of a test, by its id."""
    return nova_functional.without_scenario(test).rsplit('.', 2)[0]


def lots(tests):
    """Yield lists of tests, modules whole, of about LOT each.

    :param tests: those of a module beside each other
    """
    lot = []
    for _, group in itertools.groupby(tests, module_of):
        lot += group
        if len(lot) >= LOT:
            yield lot
            lot = []
    if lot:
        yield lot


def run(args):
    """Run what is left to be run, until the time is up.

    :returns: the Results, and how many runs of a test are left
    """
    nova = importlib.metadata.version('nova')
    path = os.path.join(FOLDER, '%s-%s.json' % (
        args.suite.replace('/', '-'), nova))
    if args.redo:
        run_tests.forget(path)
    until = time.monotonic() + 60 * args.minutes
    nova_etc.link()
    nova_samples.bring()
    with tempfile.TemporaryDirectory(prefix='nova-full-') as scratch:
        tests = nova_functional.NovaTests(
            scratch, args.mode, args.concurrency, args.suite)
        results = Results(
            path, nova=nova, suite=args.suite, mode=tests.mode,
            plugin=importlib.metadata.version('nova-cells-persist'),
            date=datetime.date.today().isoformat())
        ids = tests.ids()
        results.wait_for(ids)
        waiting = [(label, lot) for label in LABELS
                   for lot in lots(results.left(label, ids))]
        while waiting and time.monotonic() < until:
            label, lot = waiting.pop(0)
            print('\n== %s, %d tests; %d lots are left' % (
                label, len(lot), len(waiting)), flush=True)
            _run_lot(tests, results, label, lot)
            results.wait_for(ids)
    return results, sum(results.waiting.values())


def _run_lot(tests, results, label, lot):
    if label == 'plugin':
        plugin = tests.run_listed('plugin', lot)
        others = sorted(_not_passed(plugin))
        stock = (tests.run_listed('stock', others) if others
                 else run_tests.Run())
    else:
        stock = tests.run_listed('stock', lot)
        plugin = results.with_plugin(stock.verdicts)
    flaky = nova_functional.settle(tests, stock, plugin, results.failing)
    results.add(label, lot, {'stock': stock, 'plugin': plugin}, flaky)


def page(paths):
    """Return the page that shows what all Results have come to, its lines."""
    found = [Results(path) for path in sorted(paths)]
    lines = [
        '=================', "Nova's own tests", '=================', '',
        'They are run on stock Nova and with the plugin on, by ``tox -e',
        'nova-functional-full``, which wrote this page. *Left* are those that '
        'it has not', 'come to yet; of scenarios a test may have many, and is '
        'one there.', '',
        *(_table(found) if found else ['Nothing has been run yet.'])]
    for results in found:
        name = 'Nova %(nova)s, %(suite)s tests' % results.about
        lines += ['', name, '=' * len(name), '']
        lines += kept.section(DIFFERING, [
            '%s: %s' % (test, ', '.join('%s %s' % pair
                                        for pair in verdicts.items()))
            for test, verdicts in sorted(results.differing.items())
            if not nova_explained.why(test)])
        lines += kept.section('Not the same when they are run again', [
            '%s: on stock %s; with the plugin %s' % (test, *(
                ', '.join(verdicts) for verdicts in zip(*given)))
            for test, given in sorted(results.flaky.items())])
        lines += kept.section('Fail on both sides', results.failing)
        lines += _explained(results)
    return lines


def _explained(results):
    tests = {}
    for test in sorted({*results.differing, *results.flaky}):
        tests.setdefault(nova_explained.why(test), []).append(test)
    tests.pop(None, None)
    return [line for reason, those in tests.items()
            for line in kept.section(
                'Differ, and why: ' + reason.rstrip('.'), those)]


def _table(found):
    return kept.table(
        ['Nova', 'tests', 'date', 'side', 'passed', 'failed', 'skipped',
         'left', 'of an earlier state of the plugin'],
        [[*map(results.about.get, ('nova', 'suite', 'date')), label,
          *map(str, results.total(label).values()),
          str(results.waiting[label]),
          _earlier(results) if label == 'plugin' else 'none']
         for results in found for label in LABELS])


def _earlier(results):
    return ', '.join('%d of %s' % (number, date) for date, number in
                     results.earlier().items()) or 'none'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--suite', choices=SUITES,
                        default='functional')
    parser.add_argument('--mode', choices=sorted(nova_functional.MODES))
    parser.add_argument('--concurrency', metavar='N',
                        default=run_tests.WORKERS)
    parser.add_argument('--minutes', metavar='N', type=int, default=10000,
                        help='begin no other lot after so many')
    parser.add_argument('--redo', action='store_true',
                        help='forget what was run before')
    parser.add_argument('--page', action='store_true',
                        help='only write the page of what was run')
    args = parser.parse_args()
    left, differing = 0, []
    if not args.page:
        results, left = run(args)
        differing = list(itertools.filterfalse(
            nova_explained.why, sorted(results.differing)))
        print('\n%d runs of a test are left; %d differ: %s' % (
            left, len(differing), ', '.join(differing) or 'none'))
        print('Of an earlier state of the plugin: ' + _earlier(results))
        print(run_tests.describe(results.total('plugin')))
    kept.write_page(PAGE, page(glob.glob(os.path.join(FOLDER, '*.json'))))
    return 1 if left or differing else 0


if __name__ == '__main__':
    sys.exit(main())
