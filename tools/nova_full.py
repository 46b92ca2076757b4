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
begins anew. The tests are run in lots of some modules each, with the plugin
and then on stock; one whose verdict differs is run again, alone, both ways, as
in tools/nova_functional.py.

``--page`` writes ``doc/nova-tests.rst`` from all of these files instead. The
exit status is 1 when a verdict differs, or when tests are left to be run.
"""

import argparse
import datetime
import glob
import importlib.metadata
import itertools
import json
import os
import sys
import tempfile
import time

from tools import nova_etc
from tools import nova_functional
from tools import run_tests

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, 'doc', 'nova-tests')
PAGE = os.path.join(ROOT, 'doc', 'nova-tests.rst')

#: About so many tests are run at once.
LOT = 150

#: Their folders; of the unit tests, those of what the plugin stands in for.
SUITES = ('functional', 'unit/conductor', 'unit/objects', 'unit/compute')

LABELS = ('stock', 'plugin')


class Results:
    """What has come of one suite of one release so far, in a file.

    :ivar modules: {module: {label: counts}} of what was run
    :ivar differing: {test: {label: verdict}}
    :ivar flaky: {test: [[verdict on stock, verdict with the plugin]]}
    :ivar failing: the tests that fail both ways
    """

    def __init__(self, path, **about):
        self._path = path
        self.modules, self.differing, self.flaky = {}, {}, {}
        self.failing = []
        if os.path.exists(path):
            with open(path) as file:
                found = json.load(file)
            about = found.pop('about')
            vars(self).update(found)
        self.about = about

    def add(self, stock, plugin, flaky):
        """Take in what a lot has come to, a Run each, and write the file."""
        for label, outcome in (('stock', stock), ('plugin', plugin)):
            for test, verdict in outcome.verdicts.items():
                counts = self.modules.setdefault(module_of(test), {})
                counts = counts.setdefault(
                    label, dict.fromkeys(run_tests.VERDICTS, 0))
                counts[verdict] += 1
        for test in nova_functional.differences(stock, plugin):
            self.differing[test] = {
                label: outcome.verdicts.get(test, 'not run')
                for label, outcome in zip(LABELS, (stock, plugin))}
        self.flaky.update(flaky)
        self.failing = sorted({*self.failing, *(
            set(stock.failed()) & set(plugin.failed()))})
        self._write()

    def _write(self):
        os.makedirs(FOLDER, exist_ok=True)
        with open(self._path, 'w') as file:
            json.dump({
                'about': self.about, 'differing': self.differing,
                'flaky': self.flaky, 'failing': self.failing,
                'modules': self.modules}, file, indent=1, sort_keys=True)
            file.write('\n')

    def total(self, label):
        """Return {verdict: number}, of all modules."""
        return {verdict: sum(
            counts[label][verdict] for counts in self.modules.values()
            if label in counts) for verdict in run_tests.VERDICTS}


def module_of(test):
    """Return the name of the module of a test, by its id."""
    return test.partition('(')[0].rsplit('.', 2)[0]


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

    :returns: the Results, and how many tests are left
    """
    nova = importlib.metadata.version('nova')
    path = os.path.join(FOLDER, '%s-%s.json' % (
        args.suite.replace('/', '-'), nova))
    if args.redo:
        run_tests.forget(path)
    until = time.monotonic() + 60 * args.minutes
    nova_etc.link()
    with tempfile.TemporaryDirectory(prefix='nova-full-') as scratch:
        tests = nova_functional.NovaTests(
            scratch, args.mode, args.concurrency, args.suite)
        results = Results(
            path, nova=nova, suite=args.suite, mode=tests.mode,
            plugin=importlib.metadata.version('nova-cells-persist'),
            date=datetime.date.today().isoformat())
        left = sorted((test for test in tests.ids()
                       if module_of(test) not in results.modules),
                      key=module_of)
        for lot in list(lots(left)):
            if time.monotonic() > until:
                break
            print('\n== %d tests are left' % len(left), flush=True)
            plugin = tests.run_listed('plugin', lot)
            stock = tests.run_listed('stock', lot)
            flaky = nova_functional.settle(tests, stock, plugin)
            results.add(stock, plugin, flaky)
            left = left[len(lot):]
    return results, len(left)


def page(paths):
    """Return the page that shows what all Results have come to, a str."""
    found = [Results(path) for path in sorted(paths)]
    lines = [
        '=================', "Nova's own tests", '=================', '',
        'All of them were run on stock Nova and with the plugin on, by ``tox '
        '-e', 'nova-functional-full``, which wrote this page.', '',
        '.. list-table::', '   :header-rows: 1', '',
        '   * - Nova', '     - tests', '     - date', '     - side',
        '     - passed', '     - failed', '     - skipped']
    for results in found:
        for label in LABELS:
            about = results.about
            lines += ['   * - ' + about['nova'], '     - ' + about['suite'],
                      '     - ' + about['date'], '     - ' + label]
            lines += ['     - %d' % number
                      for number in results.total(label).values()]
    for results in found:
        name = 'Nova %(nova)s, %(suite)s tests' % results.about
        lines += ['', name, '=' * len(name), '']
        lines += _section('Tests whose verdict differs', [
            '%s: %s' % (test, ', '.join('%s %s' % pair
                                        for pair in verdicts.items()))
            for test, verdicts in sorted(results.differing.items())])
        lines += _section('Flaky on both sides', [
            '%s: on stock %s; with the plugin %s' % (test, *(
                ', '.join(verdicts) for verdicts in zip(*given)))
            for test, given in sorted(results.flaky.items())])
        lines += _section('Fail on both sides', results.failing)
    return '\n'.join(lines) + '\n'


def _section(title, items):
    if not items:
        return ['%s: none.' % title, '']
    return [title + ':', '', *['- ``%s``' % item for item in items], '']


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--suite', choices=SUITES,
                        default='functional')
    parser.add_argument('--mode', choices=sorted(nova_functional.MODES))
    parser.add_argument('--concurrency', metavar='N', default='2')
    parser.add_argument('--minutes', metavar='N', type=int, default=10000,
                        help='begin no other lot after so many')
    parser.add_argument('--redo', action='store_true',
                        help='forget what was run before')
    parser.add_argument('--page', action='store_true',
                        help='only write the page of what was run')
    args = parser.parse_args()
    left = differing = 0
    if not args.page:
        results, left = run(args)
        differing = len(results.differing)
        print('\n%d tests are left; %d differ: %s' % (
            left, differing, ', '.join(sorted(results.differing)) or 'none'))
        print(run_tests.describe(results.total('plugin')))
    with open(PAGE, 'w') as file:
        file.write(page(glob.glob(os.path.join(FOLDER, '*.json'))))
    return 1 if left or differing else 0


if __name__ == '__main__':
    sys.exit(main())
