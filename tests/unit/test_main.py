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

"""What the command line comes to on older releases of cliff."""

import testtools

from nova_cells_persist.cmd import main


class CleanUpTestCase(testtools.TestCase):

    def test_argparse_has_ended_it(self):
        for code, status in ((0, 0), (2, main.BAD_ARGUMENTS)):
            error = ValueError()
            error.__cause__ = SystemExit(code)
            ended = self.assertRaises(
                SystemExit, main.CellsPersistApp().clean_up, None, 1, error)
            self.assertEqual(status, main.status_of(ended))

    def test_failed(self):
        app = main.CellsPersistApp()
        app.clean_up(None, 1, ValueError())
        self.assertTrue(app.failed)
