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

"""That what "tox -e upgrade" checks can be found wrong."""

import os

import fixtures
from oslotest import base

from tests.functional import services
from tests.upgrade import __main__ as upgrade
from tests.upgrade import releases
from tests.upgrade import rolling
from tests.upgrade import rows
from tests.upgrade import verdicts


class RowsTestCase(base.BaseTestCase):

    BEFORE = {'api.t': [{'id': 1, 'name': 'a', 'old': None},
                        {'id': 2, 'name': 'b', 'old': None}]}

    def differences(self, *after):
        return rows.differences(self.BEFORE, {'api.t': list(after)})

    def test_as_they_were(self):
        self.assertEqual([], rows.differences(self.BEFORE, self.BEFORE))

    def test_columns_come_and_empty_ones_go(self):
        self.assertEqual([], self.differences(
            {'id': 1, 'name': 'a', 'new': 1}, {'id': 2, 'name': 'b',
                                               'new': 2}))

    def test_value_changes(self):
        found, = self.differences({'id': 1, 'name': 'a'},
                                  {'id': 2, 'name': 'c'})
        self.assertIn('1 of them are not there', found)

    def test_value_goes_with_its_column(self):
        found, = self.differences({'id': 1}, {'id': 2})
        self.assertIn('2 of them are not there', found)

    def test_row_goes(self):
        found, = self.differences({'id': 1, 'name': 'a'})
        self.assertIn('api.t: 1 rows were 2', found)

    def test_row_comes(self):
        self.assertNotEqual([], self.differences(
            *self.BEFORE['api.t'], {'id': 3, 'name': 'c'}))

    def test_table_goes(self):
        self.assertNotEqual([], rows.differences(self.BEFORE, {}))
        self.assertEqual([], rows.differences({'api.empty': []}, {}))


class ObjectsTestCase(base.BaseTestCase):

    OLD = {'spec': {'nova_object.version': '1.14',
                    'nova_object.data': {'flavor': 'small', 'hosts': [1]}}}

    def missing(self, **data):
        return list(releases.missing(self.OLD, {'spec': {
            'nova_object.version': '1.15', 'nova_object.data': data}}))

    def test_field_comes(self):
        self.assertEqual([], self.missing(flavor='small', hosts=[1], new=2))

    def test_field_goes(self):
        self.assertEqual(['/spec/nova_object.data/hosts is not there'],
                         self.missing(flavor='small'))

    def test_value_changes(self):
        self.assertEqual(
            ["/spec/nova_object.data/flavor is 'large', was 'small'"],
            self.missing(flavor='large', hosts=[1]))

    def test_list_changes(self):
        for hosts in ([], [2], [1, 1], {'1': 1}):
            self.assertEqual(
                1, len(self.missing(flavor='small', hosts=hosts)))


class CombinationsTestCase(base.BaseTestCase):

    def test_all_of_them(self):
        every = rolling.combinations()
        self.assertEqual(2 ** len(services.ROLES), len(set(every)))
        self.assertEqual([(), ()], [every[0], every[-1]])

    def test_one_role_at_a_time(self):
        every = rolling.combinations()
        for before, after in zip(every, every[1:]):
            self.assertEqual(1, len({*before} ^ {*after}))


class VerdictsTestCase(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        self.said = []
        self.verdicts = verdicts.Verdicts(self.said.append)
        self.verdicts.begin('part', 'case')

    def test_all_is_well(self):
        with self.verdicts.check('something'):
            pass
        self.assertEqual('1 passed, 0 failed, 0 skipped',
                         self.verdicts.summary())

    def test_found_wrong(self):
        with self.verdicts.check('something') as wrong:
            wrong.append('it is not')
        self.assertEqual('0 passed, 1 failed, 0 skipped',
                         self.verdicts.summary())
        self.assertIn('it is not', self.said[-1])
        self.assertIn('    something: it is not', self.verdicts.table())

    def test_raised(self):
        with self.verdicts.check('something'):
            raise AssertionError
        self.assertEqual(1, self.verdicts.counts()['failed'])


class MainTestCase(base.BaseTestCase):

    def test_dies(self):
        """And leaves no counts of an earlier run, as if they were its own."""
        path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'counts.json')
        with open(path, 'w') as file:
            file.write('{"passed": 1, "failed": 0, "skipped": 0}')

        def play(part, verdicts, options):
            raise TypeError('nobody expects it')

        for name, value in (('tests.upgrade.__main__.play', play),
                            ('sys.argv', ['upgrade', '--json', path])):
            self.useFixture(fixtures.MonkeyPatch(name, value))
        self.assertRaises(TypeError, upgrade.main)
        self.assertFalse(os.path.exists(path))
