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

"""What arguments of the command line may say."""

import argparse
import datetime

import testtools

from nova_cells_persist.cmd import options

UUID = '0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9'


class OptionsTestCase(testtools.TestCase):

    def refused(self, convert, *texts):
        for text in texts:
            exc = self.assertRaises(argparse.ArgumentTypeError, convert, text)
            self.assertIn(repr(text), str(exc))

    def test_uuid(self):
        for text in (UUID, UUID.upper(), UUID.replace('-', '')):
            self.assertEqual(UUID, options.server_uuid(text))
        self.refused(options.server_uuid, '', ' ', 'web1', UUID[:-1],
                     UUID + '0', UUID + ' ' + UUID)

    def test_duration(self):
        for text, expected in (
                ('0', {}), ('30', {'seconds': 30}), ('30s', {'seconds': 30}),
                ('10m', {'minutes': 10}), ('1h', {'hours': 1}),
                ('90d', {'days': 90})):
            self.assertEqual(datetime.timedelta(**expected),
                             options.duration(text))
        self.refused(options.duration, '', '-1', '1w', 'soon', '900000d',
                     '9' * 12 + 'd', '9' * 5000)

    def test_seconds(self):
        for text, expected in (('0', 0), ('0.5', 0.5), ('10', 10)):
            self.assertEqual(expected, options.seconds(text))
        self.refused(options.seconds, '', '-1', '-0.1', 'nan', 'inf', '1e9',
                     'long')
