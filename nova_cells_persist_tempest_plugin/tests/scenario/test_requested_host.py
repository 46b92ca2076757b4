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

"""A host that was asked for is one of the request, not of the server.

A server goes where it was asked for, and is as free as any other when it is
moved afterwards.
"""

from tempest import config
from tempest.lib import decorators
import testtools

from nova_cells_persist_tempest_plugin.tests import cell

CONF = config.CONF


class RequestedHost:

    def assert_free(self, server):
        for _ in self.hosts:
            self.migrate(server)
            self.confirm(server)

    @decorators.idempotent_id('634ae078-a2f9-40f6-967b-9bfe1893b1c1')
    @decorators.attr(type=['multinode', 'smoke'])
    def test_boot(self):
        for host in self.hosts:
            server = self.boot(host=host)
            self.assert_host(host, server)
            self.assert_free(server)

    @decorators.idempotent_id('0ad97eb5-4d79-4fb6-aaec-202d36c18176')
    @decorators.attr(type='multinode')
    def test_boot_forced(self):
        for host in self.hosts:
            server = self.boot(
                availability_zone='%s:%s' % (self.zone_of(host), host))
            self.assert_host(host, server)
            self.assert_free(server)

    @decorators.idempotent_id('d12be504-bbb6-4f3e-b018-319603aceea2')
    @decorators.attr(type='multinode')
    def test_cold_migration(self):
        server = self.boot(host=self.hosts[0])
        self.migrate(server, host=self.hosts[1])
        self.confirm(server)
        self.assert_free(server)

    @decorators.idempotent_id('6babebf1-ac9c-4dee-9d42-e834b8205813')
    @decorators.attr(type='multinode')
    @testtools.skipUnless(CONF.compute_feature_enabled.live_migration,
                          'Live migration is not available')
    def test_live_migration(self):
        server = self.boot(host=self.hosts[0])
        self.live_migrate(server, host=self.hosts[1])
        self.live_migrate(server)
        self.assert_free(server)

    @decorators.idempotent_id('caca0a64-82e1-400f-81eb-fe3d38cb5fc2')
    @decorators.attr(type='multinode')
    @testtools.skipUnless(CONF.compute_feature_enabled.shelve,
                          'Shelve is not available')
    def test_unshelve(self):
        self.require_microversion('2.91')
        server = self.boot(host=self.hosts[0])
        for host in self.hosts:
            self.shelve(server)
            self.unshelve(server, host=host)
            self.assert_host(host, server)
        self.assert_free(server)


class RequestedHostInFirstCellTest(RequestedHost, cell.FirstCellTest):
    pass


class RequestedHostInSecondCellTest(RequestedHost, cell.SecondCellTest):
    pass
