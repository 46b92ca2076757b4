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

"""No project can tell from a list whether others have builds.

Whatever it asks for: the answer, and the statements that it takes, are the
same with and without them.
"""

import os
import re
from urllib import parse

import hypothesis
from hypothesis import strategies
from oslo_utils import uuidutils
import sqlalchemy as sa

from nova import context as nova_context
from nova import objects
from nova import quota
from nova.tests.functional.api import client

from tests.functional import test_list_servers

EXAMPLES = int(os.environ.get('ISOLATION_EXAMPLES', '60'))

MINE, OTHERS = (uuidutils.generate_uuid(dashed=False) for _ in range(2))

#: What a build leaves in the API database.
TABLES = ('request_specs', 'build_requests', 'instance_mappings',
          'request_spec', 'build_request', 'build_request_item')

UPDATED = re.compile(r'"updated": "[^"]*"')

TIMES = ('2000-01-01T00:00:00Z', '2100-01-01T00:00:00Z')
SWITCH = ('0', '1', 'true', 'false', '')


#: What may be asked, beside markers. Nova ignores or refuses what is not for
#: everybody.
ASKED = {
    'all_tenants': SWITCH,
    'project_id': (MINE, OTHERS, ''),
    'tenant_id': (MINE, OTHERS, ''),
    'user_id': ('me', 'others'),
    'limit': ('0', '1', '2', '3', '10'),
    'sort_key': ('created_at', 'display_name', 'uuid', 'project_id',
                 'access_ip_v4', 'launched_at', 'host', 'user_id'),
    'sort_dir': ('asc', 'desc'),
    'name': ('.*', '^build', 'secret', 'b|s', '(', '%', '_', "'"),
    'changes-since': TIMES,
    'changes-before': TIMES,
    'status': ('BUILD', 'ACTIVE', 'ERROR'),
    'deleted': SWITCH,
    'tags': ('t', 'secret', 't,secret'),
    'tags-any': ('t', 'secret', 't,secret'),
    'not-tags': ('t', 'secret'),
    'ip': ('.*', '10'),
    'access_ip_v4': ('10.0.0.1', '.*'),
    'locked': SWITCH,
    'host': ('host1', 'host3'),
    'reservation_id': ('r-', '.*'),
    'availability_zone': ('nova',),
}

queries = strategies.lists(
    strategies.sampled_from(sorted(ASKED)), max_size=4, unique=True).flatmap(
        lambda names: strategies.fixed_dictionaries({
            name: strategies.sampled_from(ASKED[name]) for name in names}))


class Record:
    """What a database is asked in a ``with`` statement, with parameters."""

    def __init__(self, engine):
        self.statements = []
        self._engine = engine

    def __enter__(self):
        sa.event.listen(self._engine, 'before_cursor_execute', self._note)
        return self

    def __exit__(self, *exc_info):
        sa.event.remove(self._engine, 'before_cursor_execute', self._note)

    def _note(self, connection, cursor, statement, parameters, *args):
        self.statements.append((statement, parameters))


class IsolationTest(test_list_servers.ListTestCase):

    def setUp(self):
        super().setUp()
        self.me, self.other = [
            client.TestOpenStackClient(
                user, self.api.base_url.replace(
                    self.api.project_id, project), project_id=project,
                roles=['reader', 'member'])
            for user, project in (('me', MINE), ('others', OTHERS))]
        for api in (self.me, self.other):
            api.microversion = 'latest'
        self.let_go = self.enterContext(self.held_builds())
        self.mine = [self.build(self.me, 'build-%s' % letter,
                                tags=['t'], metadata={'k': 'v'})
                     for letter in 'bac']
        self.others = [self.build(self.other, 'secret-%s' % letter,
                                  tags=['secret'], metadata={'k': 'secret'},
                                  accessIPv4='10.0.0.1')
                       for letter in 'abcd']
        # What an API node without the plugin has accepted.
        self.execute('DELETE FROM build_request WHERE instance_uuid = :uuid',
                     uuid=self.others[-1])
        self.hidden = {
            table: [row for uuid in self.others
                    for row in self.rows(table, uuid)] for table in TABLES}

    def build(self, api, name, **body):
        server = self._build_server(
            networks='none', flavor_id=self.flavors[0]['id'])
        return api.post_server({
            'server': dict(server, name=name, **body)})['id']

    def hide(self):
        """Let there be no builds of others."""
        for table in reversed(TABLES):
            for uuid in self.others:
                self.execute('DELETE FROM %s WHERE instance_uuid = :uuid' %
                             table, uuid=uuid)

    def reveal(self):
        """Let them be there again, as they were."""
        self.hide()
        for table, rows in self.hidden.items():
            for row in rows:
                self.insert(table, row)

    def answer(self, path):
        """Return (status, body) of a GET, and what was asked for it."""
        with Record(self.engine()) as asked:
            response = self.me.api_request(path, check_response_status=None)
        return (response.status_code, response.text), asked.statements

    def path(self, data):
        query = dict(data.draw(queries))
        marker = data.draw(strategies.sampled_from(
            [None, None, 'mine', 'others', 'nobody']))
        if marker:
            query['marker'] = {
                'mine': self.mine[0], 'others': self.others[0],
                'nobody': uuidutils.generate_uuid()}[marker]
        detail = data.draw(strategies.booleans())
        return self.path_of(query, detail)

    def path_of(self, query, detail=True):
        return '/servers%s?%s' % (
            '/detail' if detail else '', parse.urlencode(query))

    def assert_same(self, *paths):
        """Make sure that answers are the same without the builds of others.

        :returns: the status of the last one
        """
        self.reveal()
        there = [self.answer(path) for path in paths]
        self.hide()
        for path, with_others in zip(paths, there):
            self.assert_alike(path, with_others, self.answer(path))
        return there[-1][0][0]

    def assert_alike(self, path, with_others, alone):
        (status, body), asked = with_others
        for uuid in self.others:
            if uuid not in path:
                self.assertNotIn(uuid, body, path)
        self.assertNotIn('secret-', body, path)
        self.assertNotEqual(500, status, body)
        # A server that nobody has changed yet is shown as changed just now.
        self.assertEqual(*[
            (code, UPDATED.sub('', text))
            for (code, text), _ in (alone, with_others)], path)
        self.assertEqual(*[
            [statement for statement, _ in each[1]]
            for each in (alone, with_others)], path)
        for statement, parameters in asked:
            if statement.startswith('WITH instances'):
                _, _, query = statement.rpartition(') SELECT ')
                self.assertRegex(query, r'instances\.project_id\W')
                self.assertIn(MINE, str(parameters))
                self.assertNotIn(OTHERS, str(parameters))

    def test_lists(self):
        @hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
        @hypothesis.given(strategies.data())
        def run(data):
            self.assert_same(self.path(data))

        run()

    def test_each_filter_by_itself(self):
        self.assert_same(*[
            self.path_of({name: value}) for name, values in ASKED.items()
            for value in values])

    def test_markers(self):
        self.assertEqual(200, self.assert_same(
            self.path_of({'marker': self.mine[0]})))
        for marker in (self.others[0], self.others[-1],
                       uuidutils.generate_uuid()):
            self.assertEqual(400, self.assert_same(
                self.path_of({'marker': marker})))

    def test_what_is_mine_is_listed(self):
        """The test would notice if nothing were."""
        self.reveal()
        self.assertEqual(set(self.mine), {
            server['id'] for server in self.me.get_servers(detail=False)})
        self.assertEqual(set(self.others), {
            server['id'] for server in self.other.get_servers(detail=False)})

    def test_quotas(self):
        for path in ('/limits', '/os-quota-sets/%s/detail' % MINE):
            self.assertEqual(200, self.assert_same(path))

    def test_members_of_a_group(self):
        """Nova counts them in the lists of builds, too."""
        context = nova_context.RequestContext('me', MINE)
        group = objects.InstanceGroup(
            members=self.mine[:1] + self.others, project_id=MINE)
        self.reveal()
        for user, count in (('me', 1), ('others', 0)):
            self.assertEqual(
                {'user': {'server_group_members': count}},
                quota._server_group_count_members_by_user_legacy(
                    context, group, user))
