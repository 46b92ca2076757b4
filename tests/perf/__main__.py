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

"""Run with ``python -m tests.perf``; ``tox -e bench`` does it.

Exit status: 0 when all was measured, 1 when a budget was to be met and is not,
2 when it could not be measured.
"""

import argparse
import os
import pstats
import sys

from rich import console as rich_console

from nova_cells_persist import releases
from tests.perf import budgets
from tests.perf import driver
from tests.perf import page
from tests.perf import report
from tests.perf import scenarios
from tests import servers

#: The release whose test fixtures the cloud is made of.
NOVA = 34


def main():
    options = _options()
    # Native threads, as Nova runs by default; its tests would choose eventlet.
    os.environ['OS_NOVA_DISABLE_EVENTLET_PATCHING'] = '1'
    os.makedirs(options.output, exist_ok=True)
    console = rich_console.Console(
        highlight=False, width=None if sys.stdout.isatty() else 130)
    try:
        return _run(options, console)
    except (driver.WorkerFailed, servers.NotInstalled) as error:
        console.print(str(error), style='bold red', markup=False)
        return 2


def _run(options, console):
    def say(text):
        console.print('... ' + text, markup=False)

    known = scenarios.make(options.rows)
    if options.profile:
        _profile(options, known[options.profile], say)
        return 0
    chosen = [known[name] for name in options.only or known]
    measured = [series for database in options.database
                for series in _measure(options, database, chosen, say)]
    compared = budgets.compare(measured)
    report.show(console, measured)
    if compared:
        report.show_budgets(console, compared)
    written = report.write(options.output, known, measured, compared)
    if options.page:
        written += page.write(options.page, known, measured, compared,
                              report.plot)
    for path in written:
        console.print(path, markup=False)
    met = all(budget.is_met(value) for budget, value in compared)
    return 0 if met or not options.check else 1


def _options():
    parser = argparse.ArgumentParser(
        prog='tox -e bench --', description='Measure stock Nova and Nova '
        'with nova-cells-persist in turn, on SQLite and on MariaDB.')
    names = list(scenarios.make(0))
    parser.add_argument(
        '--rounds', metavar='N', type=int, default=15,
        help='how often each scenario is run (default: %(default)s)')
    parser.add_argument(
        '--database', choices=driver.DATABASES, action='append',
        help='measure on this one only')
    parser.add_argument(
        '--only', metavar='NAME', choices=names, action='append',
        help='run this scenario only; may be given again: %s' %
        ', '.join(names))
    parser.add_argument(
        '--check', action='store_true',
        help='fail unless the budgets of what was run are met; they are for '
        + budgets.DATABASE)
    parser.add_argument(
        '--profile', metavar='NAME', choices=names,
        help='say where the plugin spends the time of this scenario, and '
        'measure nothing')
    parser.add_argument(
        '--rows', metavar='N', type=int, default=1000000,
        help='request specs in the full cell, and servers in the cloud of '
        'ten cells (default: %(default)s, which take 12 GB of disk)')
    parser.add_argument(
        '--output', metavar='FOLDER', default=os.path.join(
            '.tox', 'results', 'bench'),
        help='where results and logs are written (default: %(default)s)')
    parser.add_argument(
        '--page', metavar='FOLDER', nargs='?', const=page.FOLDER,
        help='also write what was measured for the documentation, into '
        '%(const)s if no other folder is named')
    options = parser.parse_args()
    options.database = options.database or list(driver.DATABASES)
    if options.check and budgets.DATABASE not in options.database:
        parser.error('--check is for %s.' % budgets.DATABASE)
    if releases.nova_release() != NOVA:
        parser.error('this is made for the test fixtures of Nova %d.' % NOVA)
    return options


def _measure(options, database, chosen, say):
    """Return the Series of the chosen scenarios on one database."""
    with driver.bench(database, scenarios.Scenario.sides, options.output,
                      options.rows, say) as bench:
        return [series for scenario in chosen
                if database in scenario.databases
                for series in bench.measure(scenario, options.rounds)]


def _profile(options, scenario, say):
    path = os.path.join(options.output, scenario.name + '.pstat')
    with driver.bench(options.database[-1], (scenarios.PLUGIN,),
                      options.output, options.rows, say) as bench:
        bench.profile(scenario, options.rounds, path)
    profile = pstats.Stats(path)
    profile.sort_stats('tottime').print_stats(30)
    # And what of that is ours, with all that it calls.
    profile.sort_stats('cumtime').print_stats('nova_cells_persist', 30)


if __name__ == '__main__':
    sys.exit(main())
