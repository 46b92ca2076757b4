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

"""What is wrong after the plugin was installed beside Nova."""

import types

import testtools

from tools import install

OURS = 'nova-cells-persist @ file:///wheel'


def look(*versions, problems=()):
    return types.SimpleNamespace(versions=versions, problems=problems)


class JudgeTestCase(testtools.TestCase):

    BEFORE = look('nova==34.0.0', 'wrapt==2.5.2', problems=('old',))

    def test_nothing(self):
        self.assertEqual([], install.judge(self.BEFORE, look(
            OURS, 'nova==34.0.0', 'tqdm==4.67.0', 'wrapt==2.5.2',
            problems=('old',))))

    def test_another_version(self):
        self.assertEqual(
            ['wrapt==2.5.2 is not there any more'],
            install.judge(self.BEFORE, look(
                OURS, 'nova==34.0.0', 'wrapt==2.6.0')))

    def test_new_problem(self):
        self.assertEqual(['pip check: new'], install.judge(self.BEFORE, look(
            OURS, *self.BEFORE.versions, problems=('old', 'new'))))

    def test_no_plugin(self):
        self.assertEqual(['the plugin is not there'], install.judge(
            self.BEFORE, self.BEFORE))
