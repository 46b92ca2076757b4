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

"""GET /servers while servers are being built."""

import contextlib

import fixtures
from oslo_utils import uuidutils

from nova.compute import instance_list
from nova.conductor import manager
from nova import exception as nova_exc
from nova import objects
from nova import quota
from nova.tests.functional.api import client

from nova_cells_persist.db import build_request as db_build
from tests.functional import base


class ListTestCase(base.CloudTestCase):

    microversion = 'latest'

    def setUp(self):
        super().setUp()
        self.flags(instances=-1, cores=-1, group='quota')
        self.api = self.admin_api
        self.api.microversion = 'latest'

    def listed(self, **query):
        """Return the names in one page."""
        return [server['name'] for server in self.page(**query)]

    def page(self, **query):
        return self.api.get_servers(detail=True, search_opts=query)

    def pages(self, between=lambda: None, **query):
        """Return the names in all pages; between() is called after each."""
        names, marker = [], {}
        while True:
            page = self.page(**query, **marker)
            if not page:
                return names
            names += [server['name'] for server in page]
            marker = {'marker': page[-1]['id']}
            between()

    def no_host(self):
        def refuse(*args, **kwargs):
            raise nova_exc.NoValidHost(reason='of the test')

        return fixtures.MonkeyPatch(
            'nova.scheduler.client.query.SchedulerQueryClient.'
            'select_destinations', refuse)

    def before(self, step, function):
        """Have a function called before a step of the super-conductor."""
        stock = vars(manager.ComputeTaskManager)[step]

        def first(*args, **kwargs):
            function()
            return getattr(stock, '__func__', stock)(*args, **kwargs)

        if isinstance(stock, staticmethod):
            first = staticmethod(first)
        return fixtures.MonkeyPatch(
            'nova.conductor.manager.ComputeTaskManager.' + step, first)

    def named(self, *names):
        """Accept servers of these names."""
        return [self.accept({'name': name}) for name in names]


class MergeTest(ListTestCase):
    """Builds stand where their instances will stand."""

    def test_among_instances(self):
        for name in ('b', 'd'):
            self.boot(host='host1', name=name)
        with self.held_builds():
            self.named('c', 'a', 'e')
            for limit in (1, 2, 3, 10):
                self.assertEqual(
                    ['a', 'b', 'c', 'd', 'e'], self.pages(
                        limit=limit, sort_key='display_name',
                        sort_dir='asc'))
                self.assertEqual(
                    ['a', 'b', 'c', 'd', 'e'],
                    sorted(self.pages(limit=limit)))

    def test_null_among_values(self):
        """A server in a cell has been launched, one in cell0 never was."""
        self.boot(host='host1', name='launched')
        with self.no_host():
            self.wait_until_buried(self.accept({'name': 'failed'}))
        with self.held_builds():
            self.named('a', 'b')
            for key in ('launched_at', 'updated_at', 'access_ip_v4'):
                for direction in ('asc', 'desc'):
                    for limit in (1, 2, 10):
                        self.assertEqual(
                            ['a', 'b', 'failed', 'launched'],
                            sorted(self.pages(
                                sort_key=key, sort_dir=direction,
                                limit=limit)), (key, direction, limit))
            names = self.listed(sort_key='launched_at', sort_dir='desc')
            self.assertEqual('launched', names[0])

    def test_page_goes_on_behind_null(self):
        """What some of the servers have not got, in cells and out of them."""
        some = {'description': 'some', 'accessIPv4': '192.0.2.1'}
        for number in range(8):
            server = self.accept({
                'name': 'in-%d' % number,
                'host': 'host%d' % (number % 2 * 2 + 1),
                **(some if number % 4 > 1 else {})})
            self._wait_for_state_change(server, 'ACTIVE')
        with self.held_builds():
            for number in range(4):
                self.accept({'name': 'build-%d' % number,
                             **(some if number % 2 else {})})
            for key in ('display_description', 'access_ip_v4', 'host',
                        'launched_at'):
                for direction in ('asc', 'desc'):
                    query = {'sort_key': key, 'sort_dir': direction}
                    listed = self.listed(**query)
                    self.assertEqual(12, len(listed))
                    for limit in (1, 2, 3, 5):
                        self.assertEqual(
                            listed, self.pages(limit=limit, **query),
                            (query, limit))

    def test_lands_between_two_pages(self):
        for key, direction in (('display_name', 'asc'), ('uuid', 'desc'),
                               ('created_at', 'desc'),
                               ('access_ip_v4', 'asc')):
            names = [key + letter for letter in 'bdac']
            with self.held_builds() as let_go:
                waiting = self.named(*names)

                def land():
                    # One at a time: Nova's fixtures lose their way between
                    # the databases of many cells that are used at once.
                    if waiting:
                        let_go(1)
                        self._wait_for_state_change(waiting.pop(0), 'ACTIVE')

                self.assertEqual(sorted(names), sorted(self.pages(
                    land, limit=1, name='^' + key, sort_key=key,
                    sort_dir=direction)))

    def test_lands_during_a_page(self):
        """It is in a cell and still, or not yet, a build."""
        self.boot(host='host1', name='old')
        listed = []
        steps = ('_map_instance_to_cell', '_delete_build_request')
        with contextlib.ExitStack() as stack:
            for step in steps:
                stack.enter_context(self.before(
                    step, lambda: listed.append(self.listed(
                        limit=2, sort_key='display_name', sort_dir='asc'))))
            server = self.accept({'name': 'new'}, host='host1')
            # Without a look at the cells, which the conductor is using.
            self._wait_for_assert(
                lambda: self.assertEqual(len(steps), len(listed)))
        self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual([['new', 'old']] * 2, listed)

    def test_is_deleted_during_a_page(self):
        """Behind the uuids of the builds, and in front of their rows."""
        self.boot(host='host1', name='z')
        get_all = db_build.get_all
        for limit in (1, 2, 3, 10):
            with self.held_builds():
                doomed = [self.named('a', 'b', 'c', 'd')[1]['id']]

                def delete_first(*args):
                    if doomed:
                        self.api.delete_server(doomed.pop())
                    return get_all(*args)

                with fixtures.MonkeyPatch(
                        'nova_cells_persist.db.build_request.get_all',
                        delete_first):
                    names = self.pages(limit=limit, sort_key='display_name',
                                       sort_dir='asc')
                self.assertEqual({'a', 'c', 'd', 'z'}, {*names} - {'b'})
                self.assertEqual(sorted(names), names)
                for server in self.page():
                    if server['name'] != 'z':
                        self.api.delete_server(server['id'])

    def test_cannot_be_read(self):
        """A page is full all the same: who gets less asks for no other."""
        with self.held_builds():
            for server in self.named('a', 'b', 'c', 'd')[::2]:
                self.execute(
                    "UPDATE build_request SET request_obj = 'x' "
                    'WHERE instance_uuid = :uuid', uuid=server['id'])
                self.execute(
                    "UPDATE build_requests SET instance = 'x' "
                    'WHERE instance_uuid = :uuid', uuid=server['id'])
            for limit in (1, 2, 10):
                query = {'limit': limit, 'sort_key': 'display_name',
                         'sort_dir': 'asc'}
                with self.asked() as asked:
                    self.assertEqual(['b', 'd'][:limit], self.listed(**query))
                self.assertIn(len(asked), (1, 2))
                self.assertEqual(['b', 'd'], self.pages(**query))

    @contextlib.contextmanager
    def asked(self):
        """Yield what all cells are asked for, a list."""
        asked, sort = [], instance_list.get_instances_sorted

        def counted(*args, **kwargs):
            asked.append(args)
            return sort(*args, **kwargs)

        with fixtures.MonkeyPatch(
                'nova.compute.instance_list.get_instances_sorted', counted):
            yield asked

    def test_cells_are_asked_once(self):
        """One that hangs is waited for once, wherever builds stand."""
        self.boot(host='host1', name='b')
        self.boot(host='host3', name='d')
        with self.held_builds(), self.asked() as asked:
            self.named('c', 'e')
            for limit, direction in ((3, 'asc'), (3, 'desc'), (10, 'asc')):
                self.listed(limit=limit, sort_key='display_name',
                            sort_dir=direction)
                self.assertEqual(1, len(asked))
                asked.clear()

    def test_database_refuses(self):
        """What a filter has not caused is no empty list."""
        with self.held_builds():
            self.named('a')
            self.execute('DROP TABLE build_request_item')
            self.assertEqual(500, self.assertRaises(
                client.OpenStackApiException, self.page, tags='t',
                name='^a$').response.status_code)

    def test_filters(self):
        self.boot(host='host1', name='landed')
        with self.held_builds():
            self.named('build')
            for query, names in (
                    ({'changes-since': '2100-01-01T00:00:00Z'}, []),
                    ({'changes-before': '2000-01-01T00:00:00Z'}, []),
                    ({'status': 'BUILD'}, ['build']),
                    ({'status': 'ACTIVE'}, ['landed']),
                    ({'launched_at': '20'}, ['landed']),
                    ({'host': 'host1'}, ['landed']),
                    ({'node': 'host'}, ['landed']),
                    ({'name': '^b'}, ['build']),
                    ({'deleted': 'true'}, []),
                    ({'locked': 'false'}, ['build', 'landed'])):
                self.assertEqual(names, sorted(self.listed(**query)), query)


class AdoptionTest(ListTestCase):
    """Builds that an API node without the plugin has accepted are listed."""

    def accept_without(self, name):
        """Return the uuid of a new build of such a node."""
        server, = self.named(name)
        for table in ('request_spec', 'build_request'):
            self.execute('DELETE FROM %s WHERE instance_uuid = :uuid' % table,
                         uuid=server['id'])
        return server['id']

    def test_at_once(self):
        with self.held_builds():
            for names in (['a'], ['a', 'b']):
                self.accept_without(names[-1])
                self.assertEqual(names, sorted(self.listed()))

    def test_as_a_marker(self):
        """A page before was served by such a node too."""
        with self.held_builds():
            uuid = self.accept_without('a')
            self.accept_without('b')
            self.assertEqual(['b'], self.listed(
                marker=uuid, sort_key='display_name', sort_dir='asc'))

    def test_late(self):
        """Committed when the ids of others have gone far beyond its own."""
        self.useFixture(fixtures.MonkeyPatch(
            'nova_cells_persist.objects.build_list.RECENT', 0))
        with self.held_builds():
            uuid = self.accept_without('late')
            row, = self.rows('build_requests', uuid)
            self.named('other')
            self.execute('DELETE FROM build_requests '
                         'WHERE instance_uuid = :uuid', uuid=uuid)
            self.assertEqual(['other'], self.listed())
            self.insert('build_requests', row)
            self.assertEqual(['other'], self.listed())
            with fixtures.MonkeyPatch(
                    'nova_cells_persist.objects.build_list.PERIOD', 0):
                self.assertEqual(['late', 'other'], sorted(self.listed()))


class CountTest(ListTestCase):
    """What is being built is counted, and once."""

    def members(self, group):
        """Return how many members a group has, as Nova counts them.

        From its mappings; and from builds and instances, which it does as
        long as not all mappings have what it needs.
        """
        group = objects.InstanceGroup.get_by_uuid(self.context, group)
        return [count(self.context, group, self.api.auth_user)['user'][
            'server_group_members'] for count in (
                quota._server_group_count_members_by_user,
                quota._server_group_count_members_by_user_legacy)]

    def test_members_of_a_group(self):
        group = self.create_group()
        seen = []
        with self.held_builds() as let_go:
            server, other = [self.accept(hints={'group': group}, host=host)
                             for host in ('host1', 'host3')]
            self.accept()
            self.assertEqual([2, 2], self.members(group))
            # While it is in a cell and still a build.
            with self.before('_delete_build_request',
                             lambda: seen.append(self.members(group))):
                let_go(1)
                self._wait_for_assert(
                    lambda: self.assertEqual([[2, 2]], seen))
            self._wait_for_state_change(server, 'ACTIVE')
            self.assertEqual([2, 2], self.members(group))
            self.api.delete_server(other['id'])
            self.assertEqual([1, 1], self.members(group))

    def test_quota_of_group_members(self):
        self.flags(server_group_members=1, group='quota')
        for all_mappings_will_do in (True, False):
            group = self.create_group()
            with self.held_builds(), fixtures.MonkeyPatch(
                    'nova.quota.is_qfd_populated',
                    lambda context: all_mappings_will_do):
                self.accept(hints={'group': group})
                exc = self.assertRaises(
                    client.OpenStackApiException, self.accept,
                    hints={'group': group})
                self.assertEqual(403, exc.response.status_code)


#: As much as there may be.
USER_DATA = 'QUFB' * 16383


class BadInputTest(ListTestCase):

    def refused(self, **query):
        exc = self.assertRaises(client.OpenStackApiException, self.page,
                                **query)
        return exc.response.status_code

    def test_unknown_marker(self):
        with self.held_builds():
            self.accept()
            self.assertEqual(400, self.refused(
                marker=uuidutils.generate_uuid()))

    def test_marker_is_deleted(self):
        with self.held_builds():
            server, _ = self.named('a', 'b')
            self.api.delete_server(server['id'])
            self.assertEqual(400, self.refused(marker=server['id']))

    def test_invalid_regex(self):
        with self.held_builds():
            self.accept()
            self.assertEqual(400, self.refused(name='['))

    def test_characters(self):
        names = ["o'x", '"', '100%', '_', 'back\\slash', '\u00e4']
        with self.held_builds():
            for name in names:
                server = self.accept({'name': name,
                                      'user_data': USER_DATA})
                shown = self.api.get_server(server['id'])
                self.assertEqual(name, shown['name'])
                self.assertEqual(USER_DATA,
                                 shown['OS-EXT-SRV-ATTR:user_data'])
            self.assertEqual(sorted(names), sorted(self.listed()))
