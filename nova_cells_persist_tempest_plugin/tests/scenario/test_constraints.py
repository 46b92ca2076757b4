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

"""Constraints that a server was asked for with hold whatever is done to it.

Each test brings a server to one of the two hosts of a cell by a move, or by
one that fails. Then all that keeps the server from the other host is its
constraint: were that lost, the next move would take it there.
"""

from tempest.common import compute
from tempest import config
from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc
import testtools

from nova_cells_persist_tempest_plugin.tests import base
from nova_cells_persist_tempest_plugin.tests import cell

CONF = config.CONF


class Refusals:
    """What is done to a server under a constraint and leaves it on its host.

    A constraint is a class with two methods more. ``restrain()`` returns a
    new server that has it, on one of the two hosts of the cell.
    ``tighten()`` sees to it that from now on that alone keeps the server from
    the other host.
    """

    @decorators.idempotent_id('6980bfe8-c33d-488d-804f-81412d3482aa')
    @decorators.attr(type=['multinode', 'negative'])
    def test_resize_without_a_host(self):
        server = self.restrain()
        flavor = self.create_flavor(self.addCleanup,
                                    disk=base.TOO_LARGE_A_DISK)
        self.refused(server, self.servers_client.resize_server, flavor['id'])
        self.tighten(server)
        self.assert_stays(server)

    @decorators.idempotent_id('ce3e1210-0194-46ab-9434-d7481772110d')
    @decorators.attr(type='multinode')
    @testtools.skipUnless(CONF.compute_feature_enabled.shelve,
                          'Shelve is not available')
    def test_unshelve(self):
        server = self.restrain()
        self.tighten(server)
        host = self.show(server)['OS-EXT-SRV-ATTR:host']
        self.shelve(server)
        self.unshelve(server)
        self.assert_host(host, server)
        self.assert_stays(server)

    @decorators.idempotent_id('f57faaa1-ec9a-45d2-bbb3-9d2442d571d1')
    @decorators.attr(type=['multinode', 'negative'])
    @testtools.skipUnless(CONF.compute_feature_enabled.shelve,
                          'Shelve is not available')
    def test_unshelve_to_a_host_that_is_forbidden(self):
        self.require_microversion('2.91')
        server = self.restrain()
        self.tighten(server)
        host = self.show(server)['OS-EXT-SRV-ATTR:host']
        forbidden = self.other_host(server)
        self.shelve(server)
        self.refuse_to_unshelve(server, forbidden)
        self.unshelve(server)
        self.assert_host(host, server)
        self.assert_stays(server)

    def refuse_to_unshelve(self, server, host):
        self.refused(server, self.servers_client.unshelve_server, host=host)


class Moves(Refusals):
    """Also what takes a server to the other host, while that is allowed."""

    def setUp(self):
        super().setUp()
        self.large = self.create_flavor(self.addCleanup, disk=1)

    @decorators.idempotent_id('3b180c49-03d2-4935-8fb4-c7793e046cd2')
    @decorators.attr(type=['multinode', 'smoke'])
    def test_resize(self):
        server = self.restrain()
        self.resize(server, self.large)
        self.confirm(server)
        self.tighten(server)
        self.assert_stays(server)

    @decorators.idempotent_id('80d0cd8f-065d-467a-865e-e9fb3afd200c')
    @decorators.attr(type='multinode')
    def test_resize_reverted(self):
        server = self.restrain()
        self.resize(server, self.large)
        self.revert(server)
        self.tighten(server)
        self.assert_stays(server)

    @decorators.idempotent_id('01ffc71a-10f0-469d-a1c5-de46a81535f1')
    @decorators.attr(type='multinode')
    def test_cold_migration(self):
        server = self.restrain()
        self.migrate(server)
        self.confirm(server)
        self.tighten(server)
        self.assert_stays(server)

    @decorators.idempotent_id('fcad38b5-d55c-43c4-92cc-ac554e3fbae4')
    @decorators.attr(type='multinode')
    def test_cold_migration_reverted(self):
        server = self.restrain()
        self.migrate(server)
        self.revert(server)
        self.tighten(server)
        self.assert_stays(server)

    @decorators.idempotent_id('4995b769-6e31-49a6-903f-503baaf5c188')
    @decorators.attr(type='multinode')
    @testtools.skipUnless(CONF.compute_feature_enabled.live_migration,
                          'Live migration is not available')
    def test_live_migration(self):
        server = self.restrain()
        self.live_migrate(server)
        self.tighten(server)
        self.assert_stays(server)


class Group:
    """The server is in a group, and so is another from when it matters."""

    policy = None

    def restrain(self):
        self.group = self.create_group(self.addCleanup, self.policy)
        return self.boot_member(self.hosts[0])

    def boot_member(self, host):
        return self.boot(host=host,
                         scheduler_hints={'group': self.group['id']})


class Affinity(Group, Refusals):
    """A group on one host, which none of its members may leave."""

    policy = 'affinity'

    def tighten(self, server):
        # Another member would not be taken anywhere else.
        self.boot_member(self.show(server)['OS-EXT-SRV-ATTR:host'])

    @decorators.idempotent_id('aa0048dd-d22b-4eb6-9d60-79b3e9b40a08')
    @decorators.attr(type=['multinode', 'negative'])
    def test_moves(self):
        server = self.restrain()
        self.tighten(server)
        flavor = self.create_flavor(self.addCleanup, disk=1)
        for _ in range(2):
            self.refused(server, self.servers_client.resize_server,
                         flavor['id'])
            self.assert_stays(server)

    @decorators.idempotent_id('ec14c102-63ec-4d5a-bdad-ae95aa4c5133')
    @decorators.attr(type='multinode')
    @testtools.skipUnless(CONF.compute_feature_enabled.shelve,
                          'Shelve is not available')
    def test_unshelve_to_the_other_host(self):
        """A group whose members are on no host may go to any."""
        self.require_microversion('2.91')
        server = self.restrain()
        self.shelve(server)
        self.unshelve(server, host=self.hosts[1])
        self.assert_host(self.hosts[1], server)
        self.tighten(server)
        self.assert_stays(server)


class AntiAffinity(Group, Moves):

    policy = 'anti-affinity'

    def tighten(self, server):
        self.boot_member(self.other_host(server))


class Zone(Moves):
    """The server is in a zone, which the other host leaves."""

    def restrain(self):
        self.zone = self.create_zone(self.addCleanup, self.hosts)
        return self.boot(availability_zone=self.zone['availability_zone'])

    def tighten(self, server):
        self.os_admin.aggregates_client.remove_host(
            self.zone['id'], host=self.other_host(server))

    def refuse_to_unshelve(self, server, host):
        self.assertRaises(lib_exc.Conflict, self.servers_client.
                          unshelve_server, server['id'], host=host)


class Hint(Moves):
    """The server is asked for with a hint that names another server.

    :ivar hint: what the hint is called
    :ivar together: whether it asks for the host of the other server
    """

    hint = None
    together = None
    scheduler_filter = None

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not compute.is_scheduler_filter_enabled(cls.scheduler_filter):
            raise cls.skipException(
                '[compute-feature-enabled] scheduler_enabled_filters does not '
                'name %s' % cls.scheduler_filter)

    def restrain(self):
        self.named = self.boot(host=self.hosts[0])
        server = self.boot(
            host=self.hosts[0 if self.together else 1],
            scheduler_hints={self.hint: [self.named['id']]})
        # The server may follow it, or get out of its way.
        self.move_named()
        return server

    def tighten(self, server):
        if self.are_together(server) != self.together:
            self.move_named()

    def are_together(self, server):
        return (self.show(server)['OS-EXT-SRV-ATTR:host'] ==
                self.show(self.named)['OS-EXT-SRV-ATTR:host'])

    def move_named(self):
        self.migrate(self.named)
        self.confirm(self.named)


class SameHost(Hint):
    hint = 'same_host'
    together = True
    scheduler_filter = 'SameHostFilter'


class DifferentHost(Hint):
    hint = 'different_host'
    together = False
    scheduler_filter = 'DifferentHostFilter'


class AffinityInFirstCellTest(Affinity, cell.FirstCellTest):
    pass


class AffinityInSecondCellTest(Affinity, cell.SecondCellTest):
    pass


class AntiAffinityInFirstCellTest(AntiAffinity, cell.FirstCellTest):
    pass


class AntiAffinityInSecondCellTest(AntiAffinity, cell.SecondCellTest):
    pass


# Alone, since a host with a server on it cannot get into a zone.
@decorators.serial
class ZoneInFirstCellTest(Zone, cell.FirstCellTest):
    pass


@decorators.serial
class ZoneInSecondCellTest(Zone, cell.SecondCellTest):
    pass


class SameHostInFirstCellTest(SameHost, cell.FirstCellTest):
    pass


class SameHostInSecondCellTest(SameHost, cell.SecondCellTest):
    pass


class DifferentHostInFirstCellTest(DifferentHost, cell.FirstCellTest):
    pass


class DifferentHostInSecondCellTest(DifferentHost, cell.SecondCellTest):
    pass
