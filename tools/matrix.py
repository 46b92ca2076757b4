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

"""Run the tests on every release of Nova and every Python that it can run on.

``tox -e matrix [-- --only 28.3.1 --python 3.12 --what unit]``

What has been run is kept in ``doc/matrix``, a file for each release, and is
not run again, so this can be interrupted; ``--redo`` runs it anew. What was
run on an earlier state of the plugin is kept too, and the page says so. With
``--sample`` the functional tests are some only, and the page says so. Each
release and Python has its environment of tox, such as ``nova28-py312``, which
``--remove`` removes when it is done with it.

``doc/source/supported.rst`` is written from all of these files, with
``--page`` only that. The exit status is 1 when a test failed, or when there is
something left to be run.
"""

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

from tools import environments
from tools import kept
from tools import run_tests

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, 'doc', 'matrix')
PAGE = os.path.join(ROOT, 'doc', 'source', 'supported.rst')

PYTHONS = ('3.10', '3.11', '3.12', '3.13')

#: The Python of an environment whose name has none.
DEFAULT_PYTHON = '3.11'

#: What is run: the module that runs it, and what chooses the tests.
WHAT = {
    'unit': ('tools.run_tests', r'^tests\.unit\.'),
    'functional': ('tools.run_tests', r'^tests\.functional\.'),
    'servers': ('tools.nova_functional', 'test_servers.ServersTest'),
}

#: Of the functional tests, those that say most for their time.
SAMPLE = r'^tests\.functional\.test_(servers|create|landing)\.'

#: Which releases of Nova cannot run on which Pythons, and why: each under its
#: constraints.
CANNOT = (
    (range(25, 28), ('3.12', '3.13'),
     'its greenlet, 2.0.2, needs Python 3.11 or older'),
    (range(28, 30), ('3.13',),
     'its greenlet, 3.0.3, needs Python 3.12 or older'),
    (range(30, 31), ('3.13',),
     'Nova imports crypt, which Python 3.13 does not have'),
    (range(34, 35), ('3.10',), 'Nova needs Python 3.11 or newer'),
)


def releases():
    """Return the releases that there are constraints for, the oldest first."""
    found = (re.fullmatch(r'nova-([0-9.]+)\.txt', name)
             for name in os.listdir(os.path.join(ROOT, 'constraints')))
    return sorted((match[1] for match in found if match),
                  key=environments.major)


def why_not(release, python):
    """Return why a release cannot run on a Python, or None if it can."""
    for some, pythons, reason in CANNOT:
        if environments.major(release) in some and python in pythons:
            return reason


def environment(release, python):
    """Return the name of an environment of tox."""
    name = 'nova%d' % environments.major(release)
    if python != DEFAULT_PYTHON:
        name += '-py' + python.replace('.', '')
    return name


def interpreter(python):
    """Return the path of a Python of that version that works, or None."""
    name = 'python' + python
    of_pyenv = os.path.join(
        os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv'),
        'versions', python + '.*', 'bin', name)
    for path in filter(None, [shutil.which(name), *glob.glob(of_pyenv)]):
        # pyenv puts a name on PATH for each Python that is not chosen too.
        if subprocess.run([path, '-c', ''], capture_output=True
                          ).returncode == 0:
            return path


class Results:
    """What has come of one release so far, in a file.

    :ivar runs: {Python: {one of WHAT: what the run has come to}}
    """

    def __init__(self, release):
        self.release = release
        self._path = os.path.join(FOLDER, 'nova-%s.json' % release)
        self.runs = (kept.read(self._path) or {'runs': {}})['runs']

    def of(self, python, what):
        """Return what a run has come to, or None if there is none."""
        found = self.runs.get(python, {}).get(what)
        # One in which no test has passed was none.
        return found if found and found['passed'] else None

    def has(self, python, what, sample):
        """Whether there is nothing to be run."""
        found = self.of(python, what)
        return bool(found) and (sample or not found['sample'])

    def add(self, python, what, found):
        self.runs.setdefault(python, {})[what] = found
        kept.write(self._path, {'nova': self.release, 'runs': self.runs})


class Environment:
    """An environment of tox, to run tests in.

    :param folder: where tox has its environments
    """

    def __init__(self, folder, release, python):
        self._folder = folder
        self._interpreter = interpreter(python)
        self._name = environment(release, python)

    def make(self):
        """Make it, or bring it up to date; return whether that was done."""
        return self._tox('run', '--notest')

    def run(self, what, sample, concurrency):
        """Run tests, and return what they have come to.

        :returns: what Results keep, or None if no test has passed
        """
        module, chosen = WHAT[what]
        sample = sample and what == 'functional'
        with tempfile.TemporaryDirectory(prefix='matrix-') as scratch:
            counts = os.path.join(scratch, 'counts.json')
            self._tox('exec', '--', 'python', '-m', module, '--json', counts,
                      '--concurrency', concurrency,
                      SAMPLE if sample else chosen)
            found = kept.read(counts)
        if found is None:
            return None
        found = dict(summary(found), sample=sample, **kept.stamp())
        return found if found['passed'] else None

    def remove(self):
        shutil.rmtree(os.path.join(self._folder, self._name),
                      ignore_errors=True)

    def _tox(self, command, *arguments):
        if self._interpreter is None:
            print('There is no Python for %s.' % self._name)
            return False
        # It looks for the Python of what it has made too.
        return subprocess.run(
            [sys.executable, '-m', 'tox', command, '--workdir', self._folder,
             '--discover', self._interpreter, '-e', self._name, *arguments],
            cwd=ROOT).returncode == 0


def summary(found):
    """Return what is to be kept of what a run has written.

    :param found: of tools.run_tests or of tools.nova_functional
    """
    if 'runs' not in found:
        return {key: found[key] for key in (*run_tests.VERDICTS, 'failing')}
    plugin = found['runs']['plugin']
    return {**{verdict: plugin[verdict] for verdict in run_tests.VERDICTS},
            'failing': sorted(
                test for test, verdict in plugin['verdicts'].items()
                if verdict == 'failed')}


def run(args):
    """Run what is left to be run.

    :returns: what could not be run, a list of str
    """
    left = []
    for release in args.only or releases():
        results = Results(release)
        for python in args.python or PYTHONS:
            wanted = [what for what in args.what or WHAT
                      if args.redo or
                      not results.has(python, what, args.sample)]
            if wanted and not why_not(release, python):
                left += run_there(args, results, python, wanted)
    return left


def run_there(args, results, python, wanted):
    """Run tests of one release on one Python.

    :param results: Results of the release, which are added to
    :param wanted: of WHAT
    :returns: what could not be run, a list of str
    """
    left = []
    there = Environment(args.folder, results.release, python)
    made = there.make()
    for what in wanted:
        name = 'Nova %s, Python %s, %s' % (results.release, python, what)
        print('\n== ' + name, flush=True)
        found = made and there.run(what, args.sample, args.concurrency)
        if found:
            results.add(python, what, found)
        else:
            left.append(name)
    if args.remove:
        there.remove()
    return left


def cell(found, state):
    """Return what a run has come to, for the table.

    :param state: that of the plugin now, as of kept.state()
    """
    if found is None:
        return 'not run'
    counts = ['%d %s' % (found[verdict], verdict)
              for verdict in run_tests.VERDICTS if found[verdict]]
    if found.get('state') != state:
        counts.append('of an earlier state, ' + found['date'])
    return ('of a sample ' if found['sample'] else '') + ', '.join(counts)


def rows(results, state):
    """Yield the rows of one release."""
    for python in PYTHONS:
        reason = why_not(results.release, python)
        found = [results.of(python, what) for what in WHAT]
        dates = [one['date'] for one in found if one]
        yield [results.release, python, *(
            ['cannot run'] * len(WHAT) if reason else
            [cell(one, state) for one in found]),
            reason or max(dates, default='not run')]


def page():
    """Return the page that shows what has been run, its lines."""
    found = [Results(release) for release in releases()]
    state = kept.state()
    failing = ['Nova %s, Python %s: %s' % (results.release, python, test)
               for results in found for python in PYTHONS
               for what in WHAT
               for test in (results.of(python, what) or {}).get('failing', ())]
    return [
        '===========================', 'Releases of Nova and Python',
        '===========================', '',
        'The tests of this project, and ``test_servers.ServersTest`` of Nova '
        'with the', 'plugin on, on the newest of each release of Nova. ``tox '
        '-e matrix`` has run them', 'and written this page. *Of an earlier '
        'state* of the plugin is what was not run again', 'since its code has '
        'changed.', '',
        *kept.table(['Nova', 'Python', 'unit tests', 'functional tests',
                     "Nova's ``ServersTest``", 'date, or why not'],
                    [row for results in found
                     for row in rows(results, state)]),
        '',
        *kept.section('Failed', failing)]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', action='append', choices=releases(),
                        metavar='RELEASE', help='this release, such as 28.3.1')
    parser.add_argument('--python', action='append', choices=PYTHONS,
                        help='this Python only')
    parser.add_argument('--what', action='append', choices=WHAT,
                        help='these tests only')
    parser.add_argument('--sample', action='store_true',
                        help='some of the functional tests')
    parser.add_argument('--redo', action='store_true',
                        help='run again what has been run')
    parser.add_argument('--remove', action='store_true',
                        help='remove each environment after its tests')
    parser.add_argument('--page', action='store_true',
                        help='only write the page of what was run')
    parser.add_argument('--concurrency', metavar='N',
                        default=run_tests.WORKERS)
    parser.add_argument('--folder', default=os.path.join(ROOT, '.tox'),
                        help='where tox has its environments')
    return parser.parse_args()


def main():
    args = parse()
    left = [] if args.page else run(args)
    kept.write_page(PAGE, page())
    for name in left:
        print('Could not be run: ' + name)
    failing = [found for results in map(Results, releases())
               for runs in results.runs.values() for found in runs.values()
               if found['failed']]
    print('%d runs have failures, %d could not be done' % (
        len(failing), len(left)))
    return 1 if left or failing else 0


if __name__ == '__main__':
    sys.exit(main())
