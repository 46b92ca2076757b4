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

"""What is run on which release of Nova and Python, and the page of it."""

import argparse
import os
import subprocess

import ddt
import fixtures
import testtools

from nova_cells_persist import releases
from tests import tox_ini
from tools import environments
from tools import kept
from tools import matrix

SECTION = ('testenv:nova{25,26,27,28,29,30,31,32,33,34}'
           '{,-py310,-py312,-py313}')


class DeclaredTestCase(testtools.TestCase):

    def test_a_release_for_each_that_is_supported(self):
        first, last = releases.SUPPORTED
        self.assertEqual(
            list(range(first, last + 1)),
            [environments.major(one) for one in matrix.releases()])

    def test_an_environment_for_each(self):
        self.assertEqual(set(), {
            matrix.environment(release, python)
            for release in matrix.releases()
            for python in matrix.PYTHONS} - tox_ini.environments())

    def test_it_has_that_release_under_its_constraints(self):
        for release in matrix.releases():
            name = matrix.environment(release, matrix.DEFAULT_PYTHON)
            self.assertIn('nova==' + release, tox_ini.of_factor(
                SECTION, 'deps', name))
            self.assertEqual(
                ['{tox_root}/constraints/nova-%s.txt' % release],
                tox_ini.of_factor(SECTION, 'constraints', name))


class PythonTestCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.bin = self.useFixture(fixtures.TempDir()).path
        self.pyenv = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.EnvironmentVariable('PATH', self.bin))
        self.useFixture(fixtures.EnvironmentVariable(
            'PYENV_ROOT', self.pyenv))

    def put(self, path, status):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write('#!/bin/sh\nexit %d\n' % status)
        os.chmod(path, 0o755)
        return path

    def test_on_the_path(self):
        path = self.put(os.path.join(self.bin, 'python3.12'), 0)
        self.assertEqual(path, matrix.interpreter('3.12'))

    def test_one_of_pyenv_that_is_not_chosen(self):
        self.put(os.path.join(self.bin, 'python3.12'), 127)
        path = self.put(os.path.join(
            self.pyenv, 'versions', '3.12.1', 'bin', 'python3.12'), 0)
        self.assertEqual(path, matrix.interpreter('3.12'))

    def test_none(self):
        self.put(os.path.join(self.bin, 'python3.12'), 127)
        self.assertIsNone(matrix.interpreter('3.12'))


@ddt.ddt
class ResultsTestCase(testtools.TestCase):

    FOUND = {'passed': 3, 'failed': 1, 'skipped': 0, 'failing': ['a.b'],
             'sample': False, 'date': '2026-01-02'}

    def setUp(self):
        super().setUp()
        folder = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.MonkeyPatch('tools.matrix.FOLDER', folder))

    def add(self, release='34.0.0', python='3.11', what='functional', **more):
        matrix.Results(release).add(python, what, dict(self.FOUND, **more))

    def test_they_are_kept(self):
        self.assertFalse(matrix.Results('34.0.0').has(
            '3.11', 'functional', False))
        self.add()
        results = matrix.Results('34.0.0')
        self.assertTrue(results.has('3.11', 'functional', False))
        self.assertFalse(results.has('3.12', 'functional', False))
        self.assertFalse(results.has('3.11', 'unit', False))
        self.assertEqual(self.FOUND, results.of('3.11', 'functional'))

    @ddt.data((False, False, True), (False, True, True),
              (True, False, False), (True, True, True))
    @ddt.unpack
    def test_a_sample_is_not_all(self, was_sample, sample, enough):
        self.add(sample=was_sample)
        self.assertEqual(enough, matrix.Results('34.0.0').has(
            '3.11', 'functional', sample))

    def test_none_has_passed(self):
        self.add(passed=0)
        results = matrix.Results('34.0.0')
        self.assertFalse(results.has('3.11', 'functional', True))
        self.assertIsNone(results.of('3.11', 'functional'))

    def test_page(self):
        self.add(state=kept.state())
        self.add(release='28.3.1', python='3.10', what='unit', failed=0,
                 failing=[], state='another')
        self.add(release='28.3.1', python='3.10', sample=True, skipped=2,
                 date='2026-01-03')
        lines = matrix.page()
        heads = lines.index('   * - Nova')
        rows = [tuple(line[7:] for line in lines[at:at + 6])
                for at in range(heads, len(lines), 6)
                if lines[at].startswith('   * - ')]
        self.assertEqual(
            1 + len(matrix.releases()) * len(matrix.PYTHONS), len(rows))
        self.assertIn(('34.0.0', '3.11', 'not run', '3 passed, 1 failed',
                       'not run', '2026-01-02'), rows)
        self.assertIn(
            ('28.3.1', '3.10', '3 passed, of an earlier state, 2026-01-02',
             'of a sample 3 passed, 1 failed, 2 skipped, of an earlier state,'
             ' 2026-01-03', 'not run', '2026-01-03'), rows)
        self.assertIn(('28.3.1', '3.11', 'not run', 'not run', 'not run',
                       'not run'), rows)
        self.assertIn('- ``Nova 34.0.0, Python 3.11: a.b``', lines)

    def test_page_says_why_not(self):
        self.useFixture(fixtures.MonkeyPatch('tools.matrix.CANNOT', (
            (range(25, 28), ('3.12', '3.13'), 'it is too old'),)))
        lines = matrix.page()
        self.assertEqual(3 * 2, lines.count('     - it is too old'))


@ddt.ddt
class RunTestCase(testtools.TestCase):
    """What is kept of a run of tox."""

    COUNTS = {'passed': 1, 'failed': 0, 'skipped': 0, 'failing': []}

    def setUp(self):
        super().setUp()
        self.commands = []

    def run_there(self, counts, python='3.12'):
        """Return what is kept, and what could not be run.

        :param counts: that the tests write, or None
        """
        folder = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.MonkeyPatch('tools.matrix.FOLDER', folder))

        def tox(command, cwd):
            self.commands.append(command)
            if counts and 'exec' in command:
                kept.write(command[command.index('--json') + 1], counts)
            return subprocess.CompletedProcess(command, 0)

        for name, value in (
                ('subprocess.run', tox),
                ('interpreter', {'3.12': '/a/python3.12'}.get)):
            self.useFixture(fixtures.MonkeyPatch(
                'tools.matrix.' + name, value))
        args = argparse.Namespace(
            folder=folder, sample=False, concurrency='1', remove=False)
        results = matrix.Results('34.0.0')
        left = matrix.run_there(args, results, python, ['unit'])
        return results.runs, left

    def test_with_the_state_of_the_plugin(self):
        runs, left = self.run_there(self.COUNTS)
        self.assertEqual(kept.state(), runs['3.12']['unit']['state'])
        self.assertEqual([], left)

    def test_each_command_of_tox_is_told_the_python(self):
        self.run_there(self.COUNTS)
        for command, name in zip(self.commands, ('run', 'exec'), strict=True):
            self.assertIn(name, command)
            self.assertEqual('/a/python3.12',
                             command[command.index('--discover') + 1])

    def test_no_such_python(self):
        self.assertEqual(({}, ['Nova 34.0.0, Python 3.13, unit']),
                         self.run_there(self.COUNTS, '3.13'))
        self.assertEqual([], self.commands)

    @ddt.data(None, {'passed': 0, 'failed': 1, 'skipped': 0,
                     'failing': ['a']})
    def test_none_has_passed(self, counts):
        self.assertEqual(({}, ['Nova 34.0.0, Python 3.12, unit']),
                         self.run_there(counts))


class SummaryTestCase(testtools.TestCase):

    def test_of_this_project(self):
        self.assertEqual(
            {'passed': 1, 'failed': 0, 'skipped': 2, 'failing': []},
            matrix.summary({'passed': 1, 'failed': 0, 'skipped': 2,
                            'failing': [], 'seconds': 3}))

    def test_of_nova(self):
        # What failed has been run on stock too.
        self.assertEqual(
            {'passed': 1, 'failed': 1, 'skipped': 0, 'failing': ['b']},
            matrix.summary({
                'passed': 1, 'failed': 2, 'skipped': 0, 'runs': {
                    'plugin': {'passed': 1, 'failed': 1, 'skipped': 0,
                               'verdicts': {'a': 'passed', 'b': 'failed'}},
                    'stock': {'passed': 0, 'failed': 1, 'skipped': 0,
                              'verdicts': {'b': 'failed'}}}}))
