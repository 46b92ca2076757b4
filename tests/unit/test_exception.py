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

"""Exceptions come whole from another process, and say what to run."""

import inspect
import pickle
import re

import testtools

from nova_cells_persist import exception
from nova_cells_persist import setup_error


class ExceptionTestCase(testtools.TestCase):

    def test_pickled(self):
        one = exception.DatabaseError(database='cell', reason='gone')
        for exc in (one, exception.OneCellOnly(), setup_error.NovaNotFound(),
                    exception.SeveralErrors(errors=['a', one])):
            again = pickle.loads(pickle.dumps(exc))
            self.assertIs(type(exc), type(again))
            self.assertEqual(str(exc), str(again))

    def test_what_is_to_mend_is_told_to(self):
        """Without --yes a command says what it would do."""
        found = [command for _, each in inspect.getmembers(
            exception, inspect.isclass)
            for command in re.findall(
                r'"(nova-cells-persist (?:heal|purge)[^"]*"(?: would do)?)',
                getattr(each, 'message', ''))]
        self.assertGreater(len(found), 4)
        for command in found:
            self.assertNotEqual(command.endswith('would do'),
                                '--yes' in command, command)
