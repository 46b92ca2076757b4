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

"""What makes the bytes of an sdist the same for everyone."""

import os
import tarfile

import fixtures
import testtools

from tools import build


class SettleTestCase(testtools.TestCase):

    FILES = {'project/a.py': (b'a = 1\n', 0o644),
             'project/run': (b'#!/bin/sh\n', 0o755)}

    def sdist(self, time, user):
        """Make one with what two builds do not agree on."""
        folder = self.useFixture(fixtures.TempDir()).path
        for name, (content, mode) in self.FILES.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as file:
                file.write(content)
            os.chmod(path, mode)
            os.utime(path, (time, time))
        os.utime(os.path.join(folder, 'project'), (time, time))

        def of_user(member):
            member.uid = member.gid = user
            member.uname = member.gname = 'user%d' % user
            return member

        made = os.path.join(folder, 'project.tar.gz')
        with tarfile.open(made, 'w:gz') as archive:
            archive.add(os.path.join(folder, 'project'), 'project',
                        filter=of_user)
        return made

    def read(self, path):
        with open(path, 'rb') as file:
            return file.read()

    def test_the_same_of_different_builds(self):
        one, other = self.sdist(1000.25, 1), self.sdist(2000, 2)
        self.assertNotEqual(self.read(one), self.read(other))
        for path in one, other:
            build.settle(path, 500)
        self.assertEqual(self.read(one), self.read(other))

    def test_what_is_in_it(self):
        path = self.sdist(1000, 1)
        build.settle(path, 500)
        with tarfile.open(path) as archive:
            self.assertEqual(['project', *sorted(self.FILES)],
                             archive.getnames())
            self.assertEqual({500}, {
                member.mtime for member in archive.getmembers()})
            for name, (content, mode) in self.FILES.items():
                self.assertEqual(content, archive.extractfile(name).read())
                self.assertEqual(mode, archive.getmember(name).mode)


class DifferingTestCase(testtools.TestCase):

    def folder(self, **files):
        folder = self.useFixture(fixtures.TempDir()).path
        for name, content in files.items():
            with open(os.path.join(folder, name), 'w') as file:
                file.write(content)
        return folder

    def test_nothing(self):
        self.assertEqual([], build.differing(
            self.folder(a='1', b='2'), self.folder(a='1', b='2')))

    def test_content(self):
        self.assertEqual(['b'], build.differing(
            self.folder(a='1', b='2'), self.folder(a='1', b='3')))

    def test_missing(self):
        self.assertEqual(['b', 'c'], build.differing(
            self.folder(a='1', b='2'), self.folder(a='1', c='2')))
