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

import fixtures
from oslotest import base

from tests import patience


class Nova:
    """Gives up after the first look."""

    def __init__(self, answers):
        self.answers = iter(answers)

    def _wait_for_assert(self, what):
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return what, answer


class Ours(patience.Patient, Nova):
    pass


class PatienceTestCase(base.BaseTestCase):

    def test_waits_until_it_is_so(self):
        self.assertEqual(
            ('it', 'there'), Ours([AssertionError(), AssertionError(),
                                   'there'])._wait_for_assert('it'))

    def test_waits_until_a_deadline(self):
        self.useFixture(fixtures.MockPatchObject(patience, 'PATIENCE', -1))
        self.assertRaises(AssertionError, Ours(
            [AssertionError(), 'there'])._wait_for_assert, 'it')

    def test_any_other_error_is_one(self):
        self.assertRaises(ValueError, Ours(
            [ValueError(), 'there'])._wait_for_assert, 'it')
