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

"""Where the databases of a cloud can be: in files, or on a server."""

import os
import shutil

import fixtures

from tests.functional import cloud_databases
from tests import servers


class Files(fixtures.Fixture):
    """Databases of SQLite, in a folder of their own."""

    def _setUp(self):
        self._folder = self.useFixture(fixtures.TempDir()).path

    def new(self, cloud):
        """Return the CloudDatabases of a cloud, without any table."""
        folder = os.path.join(self._folder, cloud)
        os.mkdir(folder)
        made = cloud_databases.CloudDatabases({
            name: cloud_databases.file_url(folder, name)
            for name in cloud_databases.NAMES})
        made.never_wait()
        return made

    def copy(self, cloud, other):
        """Return the CloudDatabases of another cloud, as those of one are."""
        source = os.path.join(self._folder, cloud)
        for name in os.listdir(source):
            if name.endswith('.db'):
                # What is in its log only is not in the file.
                cloud_databases.CloudDatabases({
                    name: 'sqlite:///' + os.path.join(source, name)}).rows(
                        name, 'PRAGMA wal_checkpoint(TRUNCATE)')
        copied = self.new(other)
        for name in os.listdir(source):
            if name.endswith('.db'):
                shutil.copy(os.path.join(source, name),
                            os.path.join(self._folder, other))
        copied.map_cells()
        return copied


class OnServer(fixtures.Fixture):
    """Databases on a server that is started for them.

    :param kind: one of servers.KINDS
    """

    def __init__(self, kind):
        super().__init__()
        self._kind = kind

    def _setUp(self):
        self._server = self.useFixture(servers.KINDS[self._kind]())

    def new(self, cloud):
        return cloud_databases.CloudDatabases({
            name: self._server.create('%s_%s' % (cloud, name))
            for name in cloud_databases.NAMES})

    def copy(self, cloud, other):
        copied = cloud_databases.CloudDatabases({
            name: self._server.copy('%s_%s' % (cloud, name),
                                    '%s_%s' % (other, name))
            for name in cloud_databases.NAMES})
        copied.map_cells()
        return copied


#: What makes a store, by the names that are given on the command line.
KINDS = {'sqlite': Files,
         **{kind: lambda kind=kind: OnServer(kind) for kind in servers.KINDS}}
