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

"""Runs scenarios on stock Nova and on Nova with the plugin, in turn."""

import collections
import contextlib
import dataclasses
import multiprocessing
import os
import statistics
import tempfile
import time

from tests.perf import scenarios
from tests.perf import worker
from tests import servers

#: The databases that can be measured on.
DATABASES = ('sqlite', 'mariadb')

# What holds a million request specs is larger than MariaDB expects to be.
MARIADB_OPTIONS = ('--innodb-buffer-pool-size=512M',
                   '--innodb-log-file-size=512M')

# The databases of a side, in the order in which Nova's fixtures make them.
NAMES = ('api', 'cell0', 'cell1', 'cell2')

# How many seconds a round may take in the mean before there are fewer: of ten
# thousand builds stock Nova makes a list in a quarter of a minute.
PATIENCE = 2


class WorkerFailed(Exception):
    """What a worker was asked for, it could not do."""

    def __init__(self, method, arguments, log, reason):
        super().__init__('%s%r failed. %s has the log.\n%s' % (
            method, arguments, log, reason))
        self.method = method
        self.arguments = arguments
        self.log = log
        self.reason = reason


@dataclasses.dataclass
class Series:
    """What was measured in one place, round by round.

    :ivar size: of the scenario, None if it has none
    :ivar unit: of the values
    """

    database: str
    scenario: str
    side: str
    size: int
    unit: str
    values: list

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def quartiles(self):
        """The first and the third quartile."""
        if len(self.values) < 2:
            return self.median, self.median
        first, _, third = statistics.quantiles(
            self.values, n=4, method='inclusive')
        return first, third


class Side:
    """A worker, which has a cloud.

    :param arguments: of worker.serve(), after the connection
    :param log: of the worker, which is among them
    """

    def __init__(self, log, *arguments):
        self._log = log
        context = multiprocessing.get_context('spawn')
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=worker.serve, args=(theirs, *arguments))
        self._process.start()
        theirs.close()

    def close(self):
        self._connection.close()
        self._process.join()

    def send(self, method, *arguments):
        self._asked = method, arguments
        self._connection.send(self._asked)

    def receive(self):
        """Return the answer to what was sent.

        :raises: WorkerFailed
        """
        try:
            well, answer = self._connection.recv()
        except EOFError:
            well, answer = False, 'The process has died.'
        if not well:
            raise WorkerFailed(*self._asked, self._log, answer)
        return answer

    def ask(self, method, *arguments):
        self.send(method, *arguments)
        return self.receive()


@contextlib.contextmanager
def bench(database, names, output, rows, say):
    """Set both sides up on one kind of database, for a ``with`` statement.

    :param database: one of DATABASES
    :param names: of the sides that are wanted
    :param output: the folder for the logs
    :param rows: as of scenarios.make()
    :param say: called with a short text before each thing that takes time
    """
    say('%s: setting up' % database)
    with contextlib.ExitStack() as stack:
        urls = _make_databases(database, names, stack)
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix='bench-'))
        sides = {}
        for name in names:
            log = os.path.join(output, '%s-%s.log' % (database, name))
            sides[name] = Side(log, folder, name == scenarios.PLUGIN,
                               urls[name], log, rows)
            stack.callback(sides[name].close)
        found = Bench(database, sides, say)
        found.ask_all(names, 'start')
        yield found


def _make_databases(database, names, stack):
    """Return {side: URLs of its databases; None for those of Nova's tests}."""
    if database == 'sqlite':
        return dict.fromkeys(names)
    server = stack.enter_context(servers.MariaDB(
        durable=True, options=MARIADB_OPTIONS))
    return {side: [server.create('%s_%s' % (side, name)) for name in NAMES]
            for side in names}


class Bench:
    """Both sides on one kind of database, see bench()."""

    def __init__(self, database, sides, say):
        self._database = database
        self._sides = sides
        self._say = say

    def ask_all(self, names, *question):
        """Ask several sides at the same time."""
        for name in names:
            self._sides[name].send(*question)
        for name in names:
            self._sides[name].receive()

    def measure(self, scenario, rounds):
        """Run a scenario on its sides in turn, with each of its sizes.

        :returns: a list of Series
        """
        self._say('%s: %s: %s' % (
            self._database, scenario.name, scenario.title))
        self.ask_all(scenario.sides, 'prepare', scenario.name)
        # The first time is never like the others.
        for side in scenario.sides:
            self._run(side, scenario, scenario.sizes[0])
        values = collections.defaultdict(list)
        spent = collections.Counter()
        places = [(side, size) for size in scenario.sizes
                  for side in scenario.sides]
        for number in range(rounds * scenario.turns):
            for side, size in places[::-1 if number % 2 else 1]:
                if spent[side, size] > PATIENCE * rounds:
                    continue
                began = time.monotonic()
                for unit, value in self._run(side, scenario, size).items():
                    values[side, size, unit].append(value)
                spent[side, size] += time.monotonic() - began
        self.ask_all(scenario.sides, 'clean_up', scenario.name)
        return [Series(self._database, scenario.name, *place, found)
                for place, found in values.items()]

    def profile(self, scenario, rounds, path):
        """Profile a scenario, with the largest of its sizes.

        :param path: of the file that is written, one for pstats
        """
        self._say('%s: %s: %s' % (
            self._database, scenario.name, scenario.title))
        side = self._sides[scenarios.PLUGIN]
        size = scenario.sizes[-1]
        side.ask('prepare', scenario.name)
        side.ask('run', scenario.name, size)
        side.ask('profile', scenario.name, size, rounds, path)

    def _run(self, side, scenario, size):
        return self._sides[side].ask('run', scenario.name, size)
