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

import contextlib
import io
import os

import fixtures
from oslotest import base

from tools import run_tests
from tools import tally


class TallyTest(base.BaseTestCase):
    """What the end of a long log says of the tests above it."""

    def tally(self, *runs):
        """Tally runs, and return (exit status, what was printed)."""
        folder = self.useFixture(fixtures.TempDir()).path
        paths = []
        for number, run in enumerate(runs):
            paths.append(os.path.join(folder, 'run%d.json' % number))
            run_tests.write_run(paths[-1], run)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = tally.main(paths)
        return status, printed.getvalue()

    def test_the_sum_is_the_last_line(self):
        status, printed = self.tally(
            run_tests.Run({'a': 'passed', 'b': 'skipped'}),
            run_tests.Run({'a': 'passed'}))
        self.assertEqual(0, status)
        self.assertEqual('2 passed, 0 failed, 1 skipped',
                         printed.splitlines()[-1])

    def test_what_failed_is_named_with_its_reason(self):
        status, printed = self.tally(
            run_tests.Run({'good': 'passed'}),
            run_tests.Run({'good': 'passed', 'bad': 'failed'},
                          {'bad': 'Falsifying example:\nf(x=1)'}))
        self.assertEqual(1, status)
        self.assertIn('run1: failed: bad\n'
                      '    Falsifying example:\n    f(x=1)\n', printed)
        # And once more at the very end.
        self.assertEqual('    bad', printed.splitlines()[-2])
        self.assertEqual('2 passed, 1 failed, 0 skipped',
                         printed.splitlines()[-1])

    def test_what_passed_when_run_again_is_not_named(self):
        run = run_tests.Run({'a': 'failed'}, {'a': 'lost a race'})
        run.verdicts['a'] = 'passed'
        self.assertNotIn('failed: a', self.tally(run)[1])

    def test_what_fails_on_stock_too_is_named_and_no_failure(self):
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'a.json')
        run_tests.write_json(
            path, run_tests.Run({'good': 'passed'}).counts(),
            on_stock_too=['bad'])
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.assertEqual(0, tally.main([path]))
        self.assertIn('fails on stock too, not counted: bad\n',
                      printed.getvalue())

    def test_a_run_without_counts_is_a_failure(self):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.assertEqual(1, tally.main(['nowhere/nova34.json']))
        self.assertIn('nova34', printed.getvalue())
