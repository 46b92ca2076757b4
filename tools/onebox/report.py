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

"""What ``tools/cloud`` shows while it works, and of what came of it."""

import collections
import contextlib
import textwrap
import time

import rich.console
import rich.table

from tools.onebox import comparison
from tools.onebox import place as places
from tools import run_tests

console = rich.console.Console(highlight=False, soft_wrap=True)


def say(line):
    """Show a line as it is: rich would take brackets for markup."""
    console.print(line, markup=False)


@contextlib.contextmanager
def progress(name):
    """Show that a step is under way, then how long it took."""
    began = time.monotonic()
    with console.status(name):
        yield
    say('%-36s %6.1f s' % (name, time.monotonic() - began))


def _table(first, *columns):
    table = rich.table.Table(first, box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify='right')
    return table


def services(cloud):
    """Show what runs, with its memory.

    :returns: the names of the services that have ended
    """
    table = _table('service', 'pid', 'port', 'RSS MB', 'PSS MB')
    total = [0, 0]
    ended = []
    for name in cloud.processes.names():
        process = cloud.processes.find(name)
        if process is None:
            ended.append(name)
            continue
        memory = [taken >> 20 for taken in cloud.processes.memory(name)]
        total = [sum(pair) for pair in zip(total, memory)]
        port = cloud.place.port(name) if name in places.LISTENERS else ''
        table.add_row(name, str(process.pid), str(port), *map(str, memory))
    table.add_row('in all', '', '', *map(str, total))
    console.print(table)
    for name in ended:
        say('%s has ended: see %s' % (name, cloud.place.log(name)))
    return ended


@contextlib.contextmanager
def tests(name):
    """Show how far a run of tests has come.

    Yields what is to be called with the id and the verdict of each test.
    """
    counts = collections.Counter()
    with console.status(name) as shown:
        def seen(test, verdict):
            counts[verdict] += 1
            shown.update('%s: %s, %s' % (
                name, run_tests.describe(
                    {each: counts[each] for each in run_tests.VERDICTS}),
                _short(test)))
        yield seen


def outcome(name, run):
    """Show what a run of tests came to, and what failed and why."""
    say('%s: %s, %.0f s' % (
        name, run_tests.describe(run.counts()), run.seconds))
    for test, reason in run.why().items():
        say('  failed: %s\n%s' % (
            _short(test), textwrap.indent(reason, '    ')))


def _short(test):
    """Return the id of a test without its uuid and its attributes."""
    return test.partition('[')[0]


def compared(title, stock, plugin):
    """Show two runs side by side.

    :param stock: a Run
    :param plugin: another
    :returns: the ids of the tests that the second has spoilt, a list
    """
    table = _table(title, *run_tests.VERDICTS, 'seconds')
    for name, run in (('stock', stock), ('with the plugin', plugin)):
        table.add_row(name, *map(str, run.counts().values()),
                      '%.0f' % run.seconds)
    console.print(table)
    verdicts = stock.verdicts, plugin.verdicts
    for test, was, now in comparison.differences(*verdicts):
        say('  %s -> %s: %s' % (was, now, _short(test)))
    spoilt = comparison.worse(*verdicts)
    say('%d tests are worse with the plugin.' % len(spoilt))
    return spoilt


def check(made):
    """Show a promise, and whether it was kept."""
    say('   %s %s%s' % (
        'kept  ' if made.kept else 'BROKEN', made.promise,
        ' (%s)' % made.detail if made.detail else ''))


def drills(played):
    """Show what came of drills.

    :param played: by their names, pairs of the Checks and the seconds
    :returns: whether all promises were kept
    """
    table = _table('drill', 'kept', 'broken', 'seconds', 'verdict')
    broken = 0
    for name, (checks, seconds) in played.items():
        kept = sum(check.kept for check in checks)
        broken += len(checks) - kept
        table.add_row(name, str(kept), str(len(checks) - kept),
                      '%.0f' % seconds,
                      'kept' if kept == len(checks) else 'broken')
    console.print(table)
    return not broken
