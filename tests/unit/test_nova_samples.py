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

"""What is taken out of Nova's source, and where it goes."""

import io
import os
import tarfile

import fixtures
import testtools

from tools import nova_samples


class ExtractTestCase(testtools.TestCase):

    def test_samples_only(self):
        packed = io.BytesIO()
        names = ['doc/%s/a.json' % name for name in nova_samples.SAMPLES]
        with tarfile.open(fileobj=packed, mode='w') as archive:
            for name in [*names, 'doc/source/a.rst', 'nova/a.py']:
                archive.addfile(tarfile.TarInfo('nova-1.0/' + name))
        packed.seek(0)
        folder = self.useFixture(fixtures.TempDir()).path
        with tarfile.open(fileobj=packed) as archive:
            nova_samples._extract(archive, folder)
        self.assertEqual(sorted(names), sorted(
            os.path.relpath(os.path.join(where, file), folder)
            for where, _folders, files in os.walk(folder) for file in files))
