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

"""What was checked, and what came of it."""

import collections
import contextlib
import time

import fixtures

from tests import servers
from tools import errors
from tools import run_tests

#: ``problem`` is text, and '' if there is none.
Verdict = collections.namedtuple('Verdict', 'part case check problem seconds')

#: What a check may end with, beside what it finds wrong: a process that has
#: failed, a cloud that did not come up, an answer that is none.
FAILURES = (AssertionError, LookupError, ValueError, OSError,
            errors.ToolError, servers.NotStarted,
            fixtures.MultipleExceptions, fixtures.fixture.SetupError)


class Verdicts:
    """Collects them, and tells each as it comes.

    :param say: called with a line of text
    """

    def __init__(self, say):
        self._say = say
        self._all = []
        self.part = self.case = ''

    def begin(self, part, case):
        """Say what the next checks are about."""
        self.part, self.case = part, case
        self._say('== %s: %s' % (part, case))

    @contextlib.contextmanager
    def check(self, name):
        """Yield a list, for what is found wrong; what is raised is wrong too.

        :param name: what is checked
        """
        began = time.monotonic()
        about = self.part, self.case   # those within may begin others
        wrong = []
        try:
            yield wrong
        except FAILURES as exc:
            wrong.append('%s: %s' % (type(exc).__name__, exc))
        problem = '; '.join(map(str, wrong))
        verdict = Verdict(*about, name, problem, time.monotonic() - began)
        self._all.append(verdict)
        self._say('   %-6s %5.1f s  %s%s' % (
            'FAILED' if problem else 'ok', verdict.seconds, name,
            ': ' + problem if problem else ''))

    def counts(self):
        """Return {'passed': number, 'failed': number, 'skipped': 0}."""
        failed = sum(1 for verdict in self._all if verdict.problem)
        return {'passed': len(self._all) - failed, 'failed': failed,
                'skipped': 0}

    def table(self):
        """Return a line for each case, then those for what has failed."""
        cases = collections.defaultdict(list)
        for verdict in self._all:
            cases[verdict.part, verdict.case].append(verdict)
        width = max((len(case) for _, case in cases), default=0)
        lines = []
        for (part, case), verdicts in cases.items():
            failed = [verdict for verdict in verdicts if verdict.problem]
            lines.append('%-8s  %-*s  %6.1f s  %2d checks  %s' % (
                part, width, case, sum(
                    verdict.seconds for verdict in verdicts), len(verdicts),
                '%d failed' % len(failed) if failed else 'ok'))
            lines += ['    %s: %s' % (
                verdict.check, verdict.problem.splitlines()[0][:500])
                for verdict in failed]
        return lines

    def summary(self):
        """Return the last line of a run."""
        return run_tests.describe(self.counts())
