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

"""Two runs of the same tests beside each other."""

#: Instead of a verdict, of a test that a run does not have.
ABSENT = 'absent'


def differences(before, after):
    """Return the tests whose verdicts differ.

    :param before: a dict of verdicts by the ids of tests
    :param after: another
    :returns: sorted triples of an id and both verdicts
    """
    return sorted(
        (test, before.get(test, ABSENT), after.get(test, ABSENT))
        for test in {*before, *after}
        if before.get(test) != after.get(test))


def worse(before, after):
    """Return the tests that the second run has spoilt.

    Those that passed in the first and do not in the second, and those that
    fail in the second only.

    :returns: a sorted list of ids
    """
    return [test for test, was, now in differences(before, after)
            if was == 'passed' or now == 'failed']
