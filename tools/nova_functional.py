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

"""Run Nova's own functional tests, from its wheel, stock and with the plugin.

``tox -e nova-functional -- REGEX [REGEX ...]``

The tests run with the plugin, and those that fail run on stock too: what
passes with the plugin needs no second run. ``--both`` runs all of them both
ways, ``--stock`` or ``--plugin`` one way only. A test whose verdict differs,
or that fails both ways, is run again, one by one, both ways: one that is not
the same each time is called flaky, and all its verdicts are shown. It counts
as passed if it has passed both ways in the end, and has failed on stock too or
may differ, as tools/nova_explained.py says why. What fails both ways to the
end is named and not counted. The exit status is not zero when a test fails
with the plugin that passes on stock, or when no test ran; with only one run,
when any test fails.
"""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tempfile

from tools import environments
from tools import nova_etc
from tools import nova_explained
from tools import run_tests

PLUGGED = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'plugged')

# What Nova's tox.ini sets for its functional tests.
NOVA_ENVIRONMENT = {
    'LANGUAGE': 'en_US',
    'LC_ALL': 'en_US.utf-8',
    'OS_STDOUT_CAPTURE': '1',
    'OS_STDERR_CAPTURE': '1',
    'OS_TEST_TIMEOUT': '160',
    'PYTHONDONTWRITEBYTECODE': '1',
}
MODES = {
    'threading': {'OS_NOVA_DISABLE_EVENTLET_PATCHING': 'True'},
    'eventlet': {'OS_NOVA_DISABLE_EVENTLET_PATCHING': 'False',
                 'NOVA_RAISE_ON_GREENLET_LEAK': 'True'},
}

# What Nova leaves out with threading (threading_functional_test_excludes.txt).
NOT_WITH_THREADING = (
    'ComputeManagerInitHostTestCase'
    '.test_migrate_disk_and_power_off_crash_finish_revert_migration',
    'FillVirtualInterfaceListMigration.test_fill_vifs_migration',
)

# How often what differs is run again until all of it is excused.
RERUNS = 5


class NovaTests:
    """Nova's own tests, one release, one concurrency mode.

    :param scratch: a folder for stestr's repositories
    :param mode: ``threading``, ``eventlet``, or None for the release's default
    :param concurrency: how many workers, a str
    :param suite: their folder below ``nova/tests``, or one module in it
    """

    def __init__(self, scratch, mode, concurrency, suite='functional'):
        self.version = importlib.metadata.version('nova')
        native = environments.major(self.version) >= 34
        self.mode = mode or ('threading' if native else 'eventlet')
        self.concurrency = concurrency
        self.scratch = scratch
        # Not imported: Nova's monkey patching has to come first in a worker,
        # and has no business here.
        package = importlib.util.find_spec('nova').submodule_search_locations
        self.top = os.path.dirname(package[0])
        self._prefix = 'nova.tests.%s.' % suite.replace('/', '.')
        path = os.path.join(self.top, 'nova', 'tests', suite)
        self._options = [
            '--test-path', path if os.path.isdir(path)
            else os.path.dirname(path), '--top-dir', self.top]

    def ids(self):
        """Return the ids of the tests that there are, a list of str."""
        stestr = [sys.executable, '-m', 'stestr', *self._options]
        where = dict(
            cwd=tempfile.mkdtemp(dir=self.scratch), check=True,
            env=dict(os.environ, **NOVA_ENVIRONMENT, **MODES[self.mode]))
        subprocess.run([*stestr, 'init'], **where)
        listed = subprocess.run(
            [*stestr, 'list', *self._excluded()],
            stdout=subprocess.PIPE, text=True, **where)
        return [line.strip() for line in listed.stdout.splitlines()
                if line.startswith(self._prefix)]

    def _excluded(self):
        if self.mode != 'threading':
            return []
        return ['--exclude-regex', '|'.join(map(re.escape,
                                                NOT_WITH_THREADING))]

    def run(self, label, selection):
        """Run once, in a fresh repository.

        :param label: ``stock`` or ``plugin``
        :param selection: arguments of ``stestr run`` that choose the tests
        :returns: a :class:`tools.run_tests.Run`
        """
        folder = tempfile.mkdtemp(prefix=label + '-', dir=self.scratch)
        proof = os.path.join(folder, 'plugged')
        env = dict(os.environ, **NOVA_ENVIRONMENT, **MODES[self.mode])
        if label == 'plugin':
            env['NOVA_CELLS_PERSIST_PLUGGED'] = proof
            env['PYTHONPATH'] = os.pathsep.join(
                filter(None, (PLUGGED, os.environ.get('PYTHONPATH'))))
        outcome = run_tests.run(
            ['--concurrency', self.concurrency, *selection,
             *self._excluded()],
            folder=folder, env=env, options=self._options)
        if label == 'plugin' and not os.path.exists(proof):
            outcome.verdicts['the plugin was put on'] = 'failed'
        return outcome

    def run_listed(self, label, listed, *options):
        """Run these tests, each in all its scenarios.

        :param listed: their ids, with or without a scenario
        """
        with tempfile.NamedTemporaryFile('w', dir=self.scratch) as wanted:
            wanted.writelines(
                test + '\n' for test in sorted(set(map(without_scenario,
                                                       listed))))
            wanted.flush()
            return self.run(label, [*options, '--load-list', wanted.name])


def without_scenario(test):
    """Return the id of a test as it is listed, without its scenario."""
    return test.partition('(')[0]


def ran(runs):
    """Whether the run of all the tests came so far that one passed."""
    return bool(next(iter(runs.values())).count('passed'))


def differences(stock, plugin):
    """The ids of all tests whose verdicts differ, sorted.

    A test that passes with the plugin may not have been run on stock.
    """
    return sorted(
        test for test in stock.verdicts.keys() | set(plugin.failed())
        if stock.verdicts.get(test) != plugin.verdicts.get(test))


def fail_on_both(stock, plugin):
    """The ids of the tests that fail on stock too, sorted."""
    return sorted(set(stock.failed()) & set(plugin.failed()))


def settle(tests, stock, plugin, failing=()):
    """Run what differs or fails again, one by one, until it is excused.

    Some of Nova's tests lose a race with Nova now and then, on stock too, and
    one may take those behind it along. One that is excused counts as passed,
    one that fails anyway as failed both ways, any other keeps its first
    verdicts.

    :param failing: the tests that have failed both ways before
    :returns: {id of a flaky test, which was not the same each time on a side:
        all that it gave, a list of (verdict on stock, verdict with the
        plugin)}
    """
    given = {test: [*[('failed', 'failed')] * (test in failing),
                    (stock.verdicts.get(test), plugin.verdicts.get(test))]
             for test in [*differences(stock, plugin),
                          *fail_on_both(stock, plugin)]}
    for _ in range(RERUNS):
        unsettled = [test for test, verdicts in given.items()
                     if None not in verdicts[-1]
                     and not excused(test, verdicts)]
        if not unsettled:
            break
        print('\n== again, one by one, both ways: %s' % ', '.join(unsettled),
              flush=True)
        again = [tests.run_listed(label, unsettled, '--serial')
                 for label in ('stock', 'plugin')]
        for test in unsettled:
            given[test].append(tuple(
                run.verdicts.get(test, 'not run') for run in again))
            if excused(test, given[test]):
                stock.verdicts[test] = plugin.verdicts[test] = 'passed'
    for test, verdicts in given.items():
        if fails_anyway(test, verdicts):
            stock.verdicts[test] = plugin.verdicts[test] = 'failed'
    return {test: verdicts for test, verdicts in given.items()
            if any(len(set(side)) > 1 for side in zip(*verdicts))}


def excused(test, given):
    """Whether a test has passed both ways, and the plugin need not be why.

    It is not when stock has failed the test too. One that fails now and then
    with the plugin alone may have found a race of the plugin.

    :param given: a list of (verdict on stock, verdict with the plugin)
    """
    on_stock, with_plugin = zip(*given)
    return 'passed' in on_stock and 'passed' in with_plugin and bool(
        'failed' in on_stock or nova_explained.why(test))


def fails_anyway(test, given):
    """Whether stock, too, has failed a test that may differ.

    And that has not passed both ways, however often it was run again.

    :param given: as :func:`excused` takes it
    """
    on_stock, _ = zip(*given)
    return bool('failed' in on_stock and nova_explained.why(test)
                and not excused(test, given))


def report(tests, runs, differing, flaky, on_both):
    """Print the counts side by side, and each test that differs."""
    print('\nNova %s (%s)' % (tests.version, tests.mode))
    print('%-8s %8s %8s %8s %10s %10s' % (
        '', 'passed', 'failed', 'skipped', 'wall time', 'CPU time'))
    for label, outcome in runs.items():
        print('%-8s %8d %8d %8d %8.0f s %8.0f s' % (
            label, *outcome.counts().values(), outcome.seconds,
            outcome.cpu_seconds))
    for test, given in flaky.items():
        print('flaky: %s (stock: %s; plugin: %s)' % (
            test, *(', '.join(verdicts) for verdicts in zip(*given))))
    for test in differing:
        print('differs: %s: %s' % (test, ', '.join(
            '%s: %s' % (label, outcome.verdicts.get(test, 'not run'))
            for label, outcome in runs.items())))
    for test in on_both:
        print('fails on stock too: %s' % test)
    if len(runs) == 2 and ran(runs) and not differing:
        print("No test's verdict differs.")


def judged(runs, on_both):
    """Return the Run that counts: that with the plugin, if there is one.

    :param on_both: tests that fail on stock too, which say nothing of the
        plugin and are left out
    """
    outcome = runs.get('plugin') or runs['stock']
    return dataclasses.replace(outcome, verdicts={
        test: verdict for test, verdict in outcome.verdicts.items()
        if test not in on_both})


def acceptable(runs, differing):
    """Whether nothing fails with the plugin that passes on stock."""
    if not ran(runs):
        print('No test ran, or none passed.')
        return False
    if len(runs) == 1:
        return all(outcome.ok for outcome in runs.values())
    return not any(
        runs['plugin'].verdicts.get(test, 'failed') == 'failed'
        for test in differing)


def announce(tests, label):
    print('\n== %s: Nova %s, %s, %s workers' % (
        label, tests.version, tests.mode, tests.concurrency), flush=True)


def parse():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog='REGEX is what "stestr run" takes, for example '
               '"test_servers.ServersTest".')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--both', action='store_const', dest='labels',
                       const=['stock', 'plugin'],
                       help='all tests without the plugin, then with it')
    which.add_argument('--stock', action='store_const', dest='labels',
                       const=['stock'], help='only without the plugin')
    which.add_argument('--plugin', action='store_const', dest='labels',
                       const=['plugin'], help='only with the plugin')
    parser.add_argument('--mode', choices=sorted(MODES),
                        help="concurrency mode (default: the one that this "
                             "release of Nova runs in by default)")
    parser.add_argument('--concurrency', metavar='N',
                        default=run_tests.WORKERS,
                        help='test workers (default: %(default)s)')
    parser.add_argument('--json', metavar='FILE', help='write the counts here')
    parser.add_argument('regex', nargs='*', metavar='REGEX')
    parser.set_defaults(labels=None)
    return parser.parse_args()


def main():
    args = parse()
    run_tests.forget(args.json)
    nova_etc.link()
    with tempfile.TemporaryDirectory(prefix='nova-functional-') as scratch:
        tests = NovaTests(scratch, args.mode, args.concurrency)
        runs = {}
        for label in args.labels or ['plugin']:
            announce(tests, label)
            runs[label] = tests.run(label, args.regex)
        failed = runs['plugin'].failed() if not args.labels else []
        if failed:
            announce(tests, 'stock, what failed')
            runs['stock'] = tests.run_listed('stock', failed)
        comparable = len(runs) == 2 and ran(runs)
        flaky = settle(tests, **runs) if comparable else {}

    differing = differences(**runs) if comparable else []
    on_both = fail_on_both(**runs) if comparable else []
    report(tests, runs, differing, flaky, on_both)
    good = acceptable(runs, differing)
    counted = judged(runs, on_both)
    if args.json:
        run_tests.write_json(
            args.json, counted.counts(), nova=tests.version, mode=tests.mode,
            differing=differing, flaky=flaky, on_stock_too=on_both,
            reasons=counted.why(), runs={
                label: dict(outcome.counts(), seconds=round(outcome.seconds),
                            cpu_seconds=round(outcome.cpu_seconds),
                            verdicts=outcome.verdicts)
                for label, outcome in runs.items()})
    print(run_tests.describe(counted.counts()), flush=True)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
