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


"""Kill a service at every point of what Nova does, and see what is lost.

``tox -e crash -- [FLOW ...] [--order ORDER] [--every | --outages]
[--stock | --plugin]``

Each flow is run once to count its points: every statement and every commit in
the databases of Nova, every message, answer and change in placement, of every
service. Then it is repeated for them, and the service that acts dies before
that point. What was sent lives on, the service starts again, and with the
plugin ``heal`` mends what it finds. Then nothing may be lost, false or left
behind. Stock Nova is judged alike, without the ``heal`` that it does not have.

Between two points at which nothing is done that outlives the service, a death
is the same. Of such points one is tried; with ``--every`` each. ``--order``
says when what a service casts is done with: after it has come to its own end
(``later``), or before it goes on (``eager``); by default both are tried.

With ``--outages`` nobody dies, but a database cannot be reached while a
service does one thing that it has been sent: each database and each such
thing. Then the plugin must do what stock Nova does in the same plight, or what
is done when there is none.

The last line is ``N passed, N failed, N skipped``, of the tries with the
plugin; the exit status is 1 if one failed.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import json
import os
import subprocess
import sys
import tempfile

import prettytable
import tqdm

from tests.crash import points
from tools import run_tests

#: The flows, as they are shown.
FLOWS = ('Boot', 'Batch', 'DeleteBeforeScheduled', 'DeleteWhileScheduled',
         'Burial', 'OverQuota', 'ResizeConfirm', 'ResizeRevert',
         'FailedResize', 'Reschedule', 'CrossCellConfirm', 'CrossCellRevert',
         'Rebuild', 'Unshelve', 'Archive')
#: What stock Nova cannot do at all, in cells without the API database.
BEYOND_STOCK = ('Reschedule',)
ORDERS = ('later', 'eager')
SIDES = ('stock', 'plugin')
KINDS = ('lost', 'false', 'orphaned', 'worse')


@dataclasses.dataclass
class Run:
    """What one worker does and says."""

    flow: str
    order: str
    side: str
    points: int = 0
    tries: int = 0
    outcomes: list = dataclasses.field(default_factory=list)
    error: str = ''

    def command(self, options):
        return [sys.executable, '-m', 'tests.crash.worker', self.flow,
                *['--' + name for name, wanted in (
                    ('stock', self.side == 'stock'),
                    ('eager', self.order == 'eager'),
                    ('every', options.every),
                    ('outages', options.outages)) if wanted]]

    def hear(self, line, bar):
        """Take in what the worker says."""
        said = json.loads(line)
        if 'trouble' in said:
            bar.update()
            return
        for name, value in said.items():
            setattr(self, name, value)
        if 'tries' in said:
            bar.total += self.tries
            bar.refresh()

    def check(self):
        """Note an error if the worker has not tried all, and said so."""
        if not self.error and len(self.outcomes) != self.tries + 1:
            self.error = '%d outcomes of %d tries' % (
                len(self.outcomes), self.tries)

    def bad(self, kind=None):
        """Return the outcomes in which something is wrong, of a kind."""
        return [outcome for outcome in self.outcomes if any(
            kind in (None, found) for problems in
            outcome['problems'].values() for found, _ in problems)]

    def compare(self, stock):
        """Note what the plugin does worse than stock Nova.

        Of a database that stock does not ask there, it does nothing wrong
        when there is an outage.
        """
        usual, *others = self.outcomes
        if usual['state'] != stock.outcomes[0]['state']:
            self._worse(usual, [stock.outcomes[0]['state']])
        of_stock = {_key(outcome): outcome['state']
                    for outcome in stock.outcomes[1:]}
        for outcome in others:
            allowed = [usual['state'], *filter(
                None, [of_stock.get(_key(outcome))])]
            if outcome['state'] not in allowed:
                self._worse(outcome, allowed)

    def _worse(self, outcome, allowed):
        outcome['problems']['done'] = [('worse', '%s, not %s' % (
            outcome['state'], ' or '.join(map(str, allowed))))]


def main(argv=None):
    options = _options(argv)
    run_tests.forget(options.json)
    runs = [Run(flow, order, side) for flow in options.flow
            for order in options.order for side in options.side]
    with tqdm.tqdm(total=0, unit='try', disable=None) as bar, \
            concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for run in pool.map(lambda run: _work(run, options, bar), runs):
            if (options.outages and run.side == 'plugin' and
                    run.flow not in BEYOND_STOCK):
                _compare(run, runs)
            bar.write('\n'.join(_tell(run)))
    _show(runs)
    _sum_up(runs)
    if options.json:
        with open(options.json, 'w') as file:
            json.dump([dataclasses.asdict(run) for run in runs], file)
    return 1 if any(run.error or run.side == 'plugin' and run.bad()
                    for run in runs) else 0


def _options(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('flow', nargs='*', metavar='FLOW',
                        help='One or more of %s. Default: all.' %
                        ', '.join(FLOWS))
    parser.add_argument('--order', action='append', choices=ORDERS)
    troubles = parser.add_mutually_exclusive_group()
    troubles.add_argument('--every', action='store_true')
    troubles.add_argument('--outages', action='store_true')
    side = parser.add_mutually_exclusive_group()
    for name in SIDES:
        side.add_argument('--' + name, dest='side', action='store_const',
                          const=(name,), default=SIDES)
    parser.add_argument('--jobs', type=int, default=os.cpu_count(),
                        help='How many flows at once. Default: %(default)s.')
    parser.add_argument('--json', metavar='FILE',
                        help='Write all outcomes there.')
    options = parser.parse_args(argv)
    unknown = set(options.flow) - set(FLOWS)
    if unknown:
        parser.error('there is no flow %s' % ', '.join(sorted(unknown)))
    options.flow = options.flow or FLOWS
    options.order = options.order or ORDERS
    return options


def _compare(run, runs):
    """Compare a run with that of stock, which has come to its end by then."""
    for other in runs:
        if (other.flow, other.order, other.side) == (
                run.flow, run.order, 'stock') and not (
                    run.error or other.error):
            run.compare(other)


def _key(outcome):
    """Return what an outage is called on both sides."""
    return tuple(outcome['trouble'])


def _work(run, options, bar):
    reading, writing = os.pipe()
    # Nova limits the time of a test, and nobody knows how many points it has.
    # What it prints is for nobody, unless it breaks.
    with tempfile.TemporaryFile('w+') as printed, subprocess.Popen(
            run.command(options) + ['--report', str(writing)],
            pass_fds=[writing], stdout=printed, stderr=printed,
            env=dict(os.environ, OS_TEST_TIMEOUT='0')) as worker:
        os.close(writing)
        with os.fdopen(reading) as said:
            for line in said:
                run.hear(line, bar)
        if worker.wait() and not run.error:
            printed.seek(0)
            run.error = ''.join(printed.readlines()[-40:])
    run.check()
    return run


def _tell(run):
    """Return the lines that say what came of a run, a list of str."""
    lines = ['%s, %s, %s: %d points, %d tried, %d bad' % (
        run.flow, run.order, run.side, run.points, run.tries, len(run.bad()))]
    if run.error:
        lines.append('It broke:\n' + run.error)
    for outcome in run.bad() if run.side == 'plugin' else ():
        lines.append('  ' + _describe(outcome['trouble']))
        lines += ['    %s, %s: %s' % (when, kind, text)
                  for when, problems in outcome['problems'].items()
                  for kind, text in problems]
    return lines


def _describe(trouble):
    """Say when it was: at a points.Point, or during a points.Outage."""
    if trouble is None:
        return 'without any trouble'
    if len(trouble) == len(points.Outage._fields):
        return '%s, at its %s (%d), without the database %s' % tuple(trouble)
    return '%s, before the %s %s' % tuple(trouble[:3])


def _show(runs):
    table = prettytable.PrettyTable(
        ['Flow', 'Order', 'Side', 'Points', 'Tried', 'Bad', *KINDS],
        align='r')
    table.align['Flow'] = table.align['Order'] = table.align['Side'] = 'l'
    for run in runs:
        table.add_row([run.flow, run.order, run.side, run.points, run.tries,
                       len(run.bad()), *[len(run.bad(kind))
                                         for kind in KINDS]])
    print(table)


def _sum_up(runs):
    for side in SIDES:
        of_side = [run for run in runs if run.side == side]
        if of_side:
            print('%s: %d points, %d tried, at %d of them something was lost,'
                  ' false or left behind' % (
                      side, sum(run.points for run in of_side),
                      sum(run.tries for run in of_side),
                      sum(len(run.bad()) for run in of_side)))
    counts = collections.Counter()
    for run in runs:
        if run.side == 'plugin' or run.error:
            bad = len(run.bad()) + bool(run.error)
            counts['failed'] += bad
            counts['passed'] += max(0, len(run.outcomes) - bad)
    print('%(passed)d passed, %(failed)d failed, 0 skipped' % counts)


if __name__ == '__main__':
    sys.exit(main())
