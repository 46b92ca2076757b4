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

"""Run this project's tests through stestr and say how many passed.

``python -m tools.run_tests [--json FILE] [--concurrency N] [REGEX ...]``

What stestr prints is shown while it runs. The counts come from the recorded
subunit stream, the last line of the output is
``N passed, N failed, N skipped``, and a run without any test is a failure.
"""

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time

from stestr.repository import util as repositories
import subunit
import testtools

VERDICTS = ('passed', 'failed', 'skipped')
PASSED = ('success', 'xfail')
SKIPPED = ('skip',)

# The id of what is in a stream and comes from no test.
NO_TEST = 'stdout'

# What is kept of the traceback of a test that failed. Hypothesis puts the
# example below it.
REASON_LINES = 30
# The reason if there is none.
NOT_ENDED = 'It did not come to its end.'

# Between tests, when no fixture captures it, Nova logs to standard output.
# That is left out. Of standard error the last lines are shown when a run goes
# wrong: discovery reports there what it cannot import.
LOG_LINE = re.compile(
    r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ (DEBUG|INFO|WARNING) ')
LAST_LINES = 40

# How many workers there are unless one says: a worker waits, for threads and
# time-outs, a quarter of its time.
WORKERS = str(len(os.sched_getaffinity(0)) + 1)


@dataclasses.dataclass
class Run:
    """The outcome of one run of stestr.

    ``verdicts`` maps the id of a test to ``passed``, ``failed`` or
    ``skipped``, ``reasons`` that of one that failed to why, the last lines of
    its traceback. ``seconds`` is wall time and ``cpu_seconds`` the time of all
    processes, both with discovery.
    """

    verdicts: dict = dataclasses.field(default_factory=dict)
    reasons: dict = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def count(self, verdict):
        return sum(1 for given in self.verdicts.values() if given == verdict)

    def failed(self):
        """The ids of the tests that failed, a sorted list of str."""
        return sorted(test for test, verdict in self.verdicts.items()
                      if verdict == 'failed')

    def why(self):
        """Of each test that failed the reason, a dict of str."""
        return {test: self.reasons.get(test, '') for test in self.failed()}

    def add(self, other):
        """Take in what another run has come to."""
        self.verdicts.update(other.verdicts)
        self.reasons.update(other.reasons)
        self.seconds += other.seconds
        self.cpu_seconds += other.cpu_seconds

    def all_skipped(self):
        """Whether tests ran, and none of them did anything.

        stestr ends with 1 then, too.
        """
        return set(self.verdicts.values()) == {'skipped'}

    def counts(self):
        return {verdict: self.count(verdict) for verdict in VERDICTS}

    @property
    def ok(self):
        counts = self.counts()
        return bool(counts['passed']) and not counts['failed']


def describe(counts):
    """``{'passed': 3, ...}`` -> ``3 passed, 0 failed, 0 skipped``."""
    return '%(passed)d passed, %(failed)d failed, %(skipped)d skipped' % counts


def _newest(folder):
    """The newest run recorded in a folder's stestr repository, or None."""
    try:
        return repositories.get_repo_open(repo_url=folder).get_latest_run()
    except Exception:  # each kind of repository has its own "nothing here"
        return None


def read(stream, seen=lambda test, verdict: None):
    """Read a subunit stream to its end.

    :param stream: a binary file
    :param seen: called with the id and the verdict of each test as it ends
    :returns: two dicts by the id of a test: the verdicts, and of those that
        failed why, the last lines of the traceback
    """
    verdicts, reasons = {}, {}

    def note(test):
        if test['id'] == NO_TEST or test['status'] == 'exists':
            return
        if test['status'] in PASSED:
            verdict = 'passed'
        elif test['status'] in SKIPPED:
            verdict = 'skipped'
        else:  # also a test that began and never ended
            verdict = 'failed'
            reasons[test['id']] = _reason(test['details'])
        verdicts[test['id']] = verdict
        seen(test['id'], verdict)

    result = testtools.StreamToDict(note)
    result.startTestRun()
    try:
        subunit.ByteStreamToStreamResult(
            stream, non_subunit_name=NO_TEST).run(result)
    finally:
        result.stopTestRun()
    return verdicts, reasons


def _reason(details):
    for name, content in details.items():
        if 'traceback' in name:
            lines = content.as_text().strip().splitlines()
            return '\n'.join(lines[-REASON_LINES:])
    return NOT_ENDED


def _cpu_seconds():
    """What the processes that have ended below this one have used."""
    times = os.times()
    return times.children_user + times.children_system


def run(arguments, folder='.', options=(), env=None):
    """Run ``stestr run`` in a folder and read what it recorded there.

    :param arguments: of ``stestr run``, a list of str
    :param folder: the working directory, and home of ``.stestr``
    :param options: of ``stestr`` itself, before the word ``run``
    :param env: the environment, or None for this process's own
    :returns: a :class:`Run`
    """
    before = _newest(folder)
    began = time.monotonic()
    began_cpu = _cpu_seconds()
    with tempfile.TemporaryFile('w+', errors='replace') as noise:
        with subprocess.Popen(
                [sys.executable, '-m', 'stestr', *options, 'run', *arguments],
                cwd=folder, env=dict(env or os.environ, PYTHONUNBUFFERED='1'),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=noise,
                text=True, errors='replace') as stestr:
            for line in stestr.stdout:
                if not LOG_LINE.match(line):
                    print(line, end='', flush=True)
        code = stestr.returncode
        if code:
            noise.seek(0)
            sys.stderr.writelines(noise.readlines()[-LAST_LINES:])
    outcome = Run(seconds=time.monotonic() - began,
                  cpu_seconds=_cpu_seconds() - began_cpu)
    after = _newest(folder)
    if after is not None and (
            before is None or before.get_id() != after.get_id()):
        outcome.verdicts, outcome.reasons = read(after.get_subunit_stream())
    if code and not outcome.count('failed') and not outcome.all_skipped():
        # Discovery failed, or stestr died: never let that pass for success.
        stestr = 'stestr (exit status %d)' % code
        outcome.verdicts[stestr] = 'failed'
        outcome.reasons[stestr] = NOT_ENDED
    return outcome


def forget(path):
    """Remove the counts of an earlier run, if there are any."""
    if path and os.path.exists(path):
        os.unlink(path)


def write_json(path, counts, **more):
    """Write counts, and whatever else is known, for tools/tally.py."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, 'w') as file:
        json.dump(dict(counts, **more), file, indent=1)
        file.write('\n')


def write_run(path, run, **more):
    """Write what a Run has come to, and whatever else is known of it."""
    write_json(path, run.counts(), seconds=round(run.seconds),
               reasons=run.why(), **more)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', metavar='FILE', help='write the counts here')
    parser.add_argument('--concurrency', metavar='N', default=WORKERS,
                        help='test workers (default: %(default)s)')
    parser.add_argument('regex', nargs='*', help='run only tests that match')
    args = parser.parse_args()

    forget(args.json)
    outcome = run(['--concurrency', args.concurrency, *args.regex])
    if args.json:
        write_run(args.json, outcome, failing=outcome.failed())
    if not outcome.verdicts:
        print('No test ran.')
    print(describe(outcome.counts()), flush=True)
    return 0 if outcome.ok else 1


if __name__ == '__main__':
    sys.exit(main())
