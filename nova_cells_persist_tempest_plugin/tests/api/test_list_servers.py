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

"""Lists in which servers without a cell stand among those of two cells."""

from urllib import parse

from tempest import config
from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc

from nova_cells_persist_tempest_plugin.tests import base

CONF = config.CONF

#: Sort keys, and what is shown of a server for each.
SORT_KEYS = {
    'created_at': 'created',
    'display_name': 'name',
    'locked': 'locked',
    'uuid': 'id',
    'vm_state': 'OS-EXT-STS:vm_state',
}
#: The same where it is nothing for a server without a cell, or for some.
NULL_KEYS = {
    'host': 'OS-EXT-SRV-ATTR:host',
    'key_name': 'key_name',
    'launched_at': 'OS-SRV-USG:launched_at',
    'display_description': 'description',
}
DIRECTIONS = ('asc', 'desc')
#: Which servers have a cell from the beginning, and which get none.
ACTIVE, BUILDING = 'bdfh', 'aceg'
ALL = ''.join(sorted(ACTIVE + BUILDING))


def letters(servers):
    """Return the last letter of the name of each server."""
    return ''.join(server['name'][-1] for server in servers)


def next_page(page):
    """Return the query of the page that a page links to, or None."""
    for link in page.get('servers_links', ()):
        if link['rel'] == 'next':
            return dict(parse.parse_qsl(parse.urlsplit(link['href']).query))
    return None


class ListTest(base.HeldTest):
    """Eight servers, whose names end with a letter each.

    b and f are in one cell, d and h in another one, a, c, e and g in none.
    """

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not (cls.hosts_of_cell(0) and cls.hosts_of_cell(1)):
            raise cls.skipException(
                '[cells_persist] cells does not name hosts of two cells')

    @classmethod
    def resource_setup(cls):
        super().resource_setup()
        cls.prefix = base.random_name('list') + '-'
        cls.key = cls.create_key()
        cls.hosts = [cls.hosts_of_cell(number)[0] for number in (0, 1)]
        cls.zone = cls.zone_of(cls.hosts[0])
        active = []
        for letter, host in zip(ACTIVE, cls.hosts * 2):
            cls.accept_letter(letter, active, cls.addClassResourceCleanup,
                              host=host)
        for server in active:
            cls.wait_for_status(server, 'ACTIVE')
        cls.servers_client.lock_server(active[-1]['id'])

    @classmethod
    def accept_letter(cls, letter, servers, cleanup, client=None, **more):
        body = dict({
            'name': cls.prefix + letter,
            'flavorRef': (CONF.compute.flavor_ref_alt if letter in 'cdgh'
                          else CONF.compute.flavor_ref),
            'imageRef': (CONF.compute.image_ref_alt if letter in 'abgh'
                         else CONF.compute.image_ref),
            'tags': [tag for tag, those in (('red', 'abcf'), ('blue', 'cdfg'))
                     if letter in those],
        }, **more)
        if letter in 'abef':
            body['key_name'] = cls.key
        if letter in 'adg':
            body['description'] = 'odd'
            body['accessIPv4'] = '192.0.2.1'
        if letter in 'ae':
            body['availability_zone'] = cls.zone
        return cls.accept_server(servers, cleanup, client, **body)

    def setUp(self):
        super().setUp()
        self.window = self.open_window()
        for letter in BUILDING:
            self.accept_letter(letter, self.servers, self.addCleanup)

    def page(self, **query):
        return self.servers_client.list_servers(True, **query)

    def listed(self, **query):
        return self.page(**query)['servers']

    def pages(self, between=lambda: None, **query):
        """Return the servers of all pages, as the links lead to them.

        :param between: a function that is called after each page
        """
        servers, followed = [], []
        while query is not None:
            # A link back would lead round and round.
            self.assertNotIn(query, followed)
            followed.append(query)
            page = self.page(**query)
            servers += page['servers']
            query = next_page(page)
            between()
        return servers

    def land(self):
        """Have all servers be active, unless they are already."""
        self.window.close()
        for server in self.servers:
            self.wait_for_status(server, 'ACTIVE')


@decorators.serial
class FilterTest(ListTest):

    def assert_found(self, *expected):
        """Compare what is found for each query, in one go.

        Of the servers whose names begin as those of this test do: some filters
        find what is deleted too.
        """
        found = [(query, ''.join(sorted(letters(self.listed(
            **dict(query, name=query.get('name', self.prefix)))))))
            for query, _ in expected]
        self.assertEqual(list(expected), found)

    @decorators.idempotent_id('a1deeef7-9f53-4831-ab99-dffacfaffbbe')
    @decorators.attr(type=['held', 'smoke'])
    def test_states(self):
        self.assert_found(
            ({}, ALL),
            ({'status': 'BUILD'}, BUILDING),
            ({'status': 'ACTIVE'}, ACTIVE),
            ({'status': 'ERROR'}, ''),
            ({'vm_state': 'building'}, BUILDING),
            ({'task_state': 'scheduling'}, BUILDING),
            ({'deleted': True}, ''),
            ({'locked': False}, 'abcdefg'))

    @decorators.idempotent_id('034b012f-621b-421c-bd1e-c9d6dd4446e2')
    @decorators.attr(type='held')
    def test_what_was_asked_for(self):
        flavor = CONF.compute.flavor_ref_alt
        self.assert_found(
            ({'name': '^%s[b-e]$' % self.prefix}, 'bcde'),
            ({'name': self.prefix + 'c'}, 'c'),
            ({'hostname': (self.prefix + 'c').lower()}, 'c'),
            ({'flavor': flavor}, 'cdgh'),
            ({'flavor': flavor, 'status': 'BUILD'}, 'cg'),
            ({'image': CONF.compute.image_ref_alt}, 'abgh'),
            ({'host': self.hosts[0]}, 'bf'),
            ({'host': self.hosts[1]}, 'dh'),
            ({'ip': '.'}, ''))

    @decorators.idempotent_id('7aa64d11-583d-4b8d-a893-ebafeeb00546')
    @decorators.attr(type='held')
    def test_tags(self):
        self.assert_found(
            ({'tags': 'red'}, 'abcf'),
            ({'tags': 'red,blue'}, 'cf'),
            ({'tags-any': 'red,blue'}, 'abcdfg'),
            ({'not-tags': 'red'}, 'degh'),
            ({'not-tags': 'red,blue'}, 'abdegh'),
            ({'not-tags-any': 'red,blue'}, 'eh'),
            ({'tags': 'red', 'not-tags': 'blue'}, 'ab'),
            ({'tags': 'green'}, ''))

    @decorators.idempotent_id('e4e6c37d-6c8c-493e-ad4c-fec6a04eaa1f')
    @decorators.attr(type='held')
    def test_one_server(self):
        for server in self.listed():
            letter = letters([server])
            self.assert_found(
                ({'uuid': server['id']}, letter),
                ({'reservation_id': server[
                    'OS-EXT-SRV-ATTR:reservation_id']}, letter))

    @decorators.idempotent_id('58e4e44c-01da-4e44-8e2b-cfaa196c99b3')
    @decorators.attr(type='held')
    def test_owners(self):
        other = self.os_primary
        server = self.accept_letter('x', self.servers, self.addCleanup,
                                    other.servers_client)
        mine, theirs = (clients.credentials for clients in (
            self.os_admin, other))
        self.assert_found(
            ({}, ALL),
            ({'all_tenants': True}, ALL + 'x'),
            ({'all_tenants': True, 'project_id': theirs.project_id}, 'x'),
            ({'all_tenants': True, 'project_id': mine.project_id}, ALL),
            ({'all_tenants': True, 'user_id': theirs.user_id}, 'x'),
            ({'all_tenants': True, 'user_id': mine.user_id}, ALL))
        for detail in (False, True):
            self.assertEqual([server['id']], [
                one['id'] for one in other.servers_client.list_servers(
                    detail)['servers']])

    @base.promised('a filter finds no build that does not match it')
    @decorators.idempotent_id('4b71bef7-7dd1-4f33-aa5d-e12fe329ff61')
    @decorators.attr(type='held')
    def test_what_some_have_not_got(self):
        self.assert_found(
            ({'display_description': 'odd'}, 'adg'),
            ({'key_name': self.key}, 'abef'),
            ({'availability_zone': self.zone}, 'abdefh'),
            ({'access_ip_v4': '192.0.2.1'}, 'adg'),
            ({'power_state': 1}, ACTIVE),
            ({'locked': True}, 'h'))

    @base.promised('a filter finds no build that does not match it')
    @decorators.idempotent_id('e1b75aba-f53e-4e86-8f62-7011a6b90c29')
    @decorators.attr(type='held')
    def test_what_is_not_known_yet(self):
        self.assert_found(
            ({'changes-since': '2100-01-01T00:00:00Z'}, ''),
            ({'changes-before': '2000-01-01T00:00:00Z'}, ''),
            ({'changes-before': '2100-01-01T00:00:00Z'}, ACTIVE),
            ({'changes-since': '2000-01-01T00:00:00Z'}, ACTIVE),
            ({'launched_at': '20'}, ACTIVE),
            ({'node': self.node_of('b')}, 'bf'))

    def node_of(self, letter):
        server, = self.listed(name=self.prefix + letter)
        return server['OS-EXT-SRV-ATTR:hypervisor_hostname']


@decorators.serial
class PageTest(ListTest):

    def assert_pages(self, keys, limit=3):
        """Check that the pages are what is listed without any.

        :param keys: each is sorted by, in both directions
        """
        for key in keys:
            for direction in DIRECTIONS:
                query = {'sort_key': key, 'sort_dir': direction}
                listed = letters(self.listed(**query))
                self.assertEqual(ALL, ''.join(sorted(listed)), query)
                self.assertEqual(
                    listed, letters(self.pages(limit=limit, **query)), query)

    @decorators.idempotent_id('ea91965f-a07a-46e6-84f7-4ba7ae677d6f')
    @decorators.attr(type=['held', 'smoke'])
    def test_pages(self):
        self.assert_pages(SORT_KEYS)

    @decorators.idempotent_id('1266daa1-e1bc-4fe4-8f5a-ee4cd23d19d4')
    @decorators.attr(type='held')
    def test_lengths(self):
        for limit in (1, 2, 7, 8, 9):
            self.assert_pages(['display_name'], limit)

    @decorators.idempotent_id('a2595bd6-572d-4dd2-ab6f-93df4f2f359c')
    @decorators.attr(type='held')
    def test_filtered(self):
        for status, those in (('BUILD', BUILDING), ('ACTIVE', ACTIVE)):
            for limit in (1, 3, 4):
                self.assertEqual(those, letters(self.pages(
                    status=status, limit=limit, sort_key='display_name',
                    sort_dir='asc')))

    @base.promised('servers can be sorted by what some of them have not got')
    @decorators.idempotent_id('1966080a-4ea8-42fe-b0d1-2a9700e8bd90')
    @decorators.attr(type='held')
    def test_null(self):
        self.assert_pages(
            tuple(NULL_KEYS) + ('access_ip_v4', 'updated_at'))

    @base.promised('a build stands in a list where its server will stand')
    @decorators.idempotent_id('6c953cec-8a97-4ca8-9166-bab01be7dcaa')
    @decorators.attr(type='held')
    def test_order(self):
        for key, field in dict(SORT_KEYS, **NULL_KEYS).items():
            for direction in DIRECTIONS:
                self.assert_sorted(
                    [server[field] for server in self.listed(
                        sort_key=key, sort_dir=direction)],
                    direction == 'desc')

    def assert_sorted(self, values, reverse):
        """Check an order; what is None has to stand together at one end."""
        known = [value for value in values if value is not None]
        unknown = [None] * (len(values) - len(known))
        known.sort(reverse=reverse)
        self.assertIn(values, (known + unknown, unknown + known))

    @decorators.idempotent_id('d74325fa-7f84-4ff8-8c9a-df062efeba39')
    @decorators.attr(type='held')
    def test_marker(self):
        """What follows a marker is what follows it without."""
        for direction in DIRECTIONS:
            query = {'sort_key': 'display_name', 'sort_dir': direction}
            servers = self.listed(**query)
            for number, server in enumerate(servers):
                self.assertEqual(
                    letters(servers[number + 1:]),
                    letters(self.listed(marker=server['id'], **query)))

    @decorators.idempotent_id('70826cda-c91d-4abe-89b8-8cfe38b75f13')
    @decorators.attr(type=['held', 'negative'])
    def test_marker_is_gone(self):
        server = self.servers[0]
        self.servers_client.delete_server(server['id'])
        self.assertRaises(lib_exc.BadRequest, self.page, marker=server['id'])


@decorators.serial
class LandingTest(ListTest):
    """The order of a list is the same when all of it is active."""

    @base.promised('a build stands in a list where its server will stand')
    @decorators.idempotent_id('1cfa4f97-14b7-4b64-b272-2ca762dd3081')
    @decorators.attr(type='held')
    def test_same_order(self):
        queries = [{'sort_key': key, 'sort_dir': direction} for key in (
            'created_at', 'display_name', 'uuid', 'key_name', 'image_ref',
            'display_description') for direction in DIRECTIONS]
        building = [letters(self.listed(**query)) for query in queries]
        self.land()
        self.assertEqual(
            building, [letters(self.listed(**query)) for query in queries])

    @base.promised('nothing is lost between two pages when servers get a cell '
                   'meanwhile')
    @decorators.idempotent_id('6323f132-ef3d-4f00-ba9e-c8cb82afae1a')
    @decorators.attr(type='held')
    def test_between_pages(self):
        self.assertEqual(ALL, letters(self.pages(
            self.land, limit=3, sort_key='display_name', sort_dir='asc')))
