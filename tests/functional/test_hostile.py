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

"""A row that is damaged harms nobody but its own server."""

import os
import warnings

import fixtures
import hypothesis
from hypothesis import strategies
from oslo_config import cfg
from oslo_serialization import jsonutils
from oslo_versionedobjects import exception as ovo_exc

from nova import exception as nova_exc
from nova.tests.functional.api import client

from nova_cells_persist.objects import damage
from nova_cells_persist.objects import primitive

from tests.functional import base
from tests.functional import command
from tests.functional import test_list_servers
from tests import hostile

CONF = cfg.CONF

EXAMPLES = int(os.environ.get('HOSTILE_EXAMPLES', '30'))

#: Longer than that is what somebody else has put into the log.
LINE = 4000


def examples(*drawn):
    """Decorate a function that is called for each example."""
    def decorator(function):
        return hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])(
            hypothesis.given(*drawn)(function))
    return decorator


class HostileTestCase(command.CommandMixin, test_list_servers.ListTestCase):

    def setUp(self):
        super().setUp()
        self.undo_file = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'undo')
        # What Nova's tests alone make an error of: a uuid that is none, and
        # an answer that is not as its schema has it.
        warnings.filterwarnings('ignore', category=FutureWarning)
        if 'response_validation' in CONF.api:
            self.flags(response_validation='ignore', group='api')

    def fitting(self, text, column='spec'):
        return hostile.fitting(text, self.engine().dialect.name, column)

    def damage(self, table, column, server_id, text):
        self.execute('UPDATE %s SET %s = :text WHERE instance_uuid = :uuid' %
                     (table, column), uuid=server_id,
                     text=self.fitting(text, column))

    def logged(self, since):
        """Return what was logged, without where it comes from."""
        return self.stdlog.logger.output[since:]

    def codes(self, server_id):
        """Return the codes of what audit finds of a server."""
        status, rows = self.listed('audit', '--older-than', '0s')
        self.assertEqual(int(bool(rows)), status)
        return [row['Code'] for row in rows if row['Server'] == server_id]

    def commands(self, server_id):
        """Run what only looks; it says what is wrong, and on one line."""
        for words in (('spec', 'show'), ('spec', 'history'),
                      ('spec', 'diff'), ('build', 'show'),
                      ('build', 'explain')):
            status, _, stderr = self.command(*words, server_id)
            self.assertIn(status, (0, 1, 2), stderr)
            if status == 2:
                self.assertIn(server_id, stderr)
            self.assertLess(len(stderr), LINE)
        for words in (('build', 'list'), ('heal', '--older-than', '0s')):
            status, _, stderr = self.command(*words)
            self.assertIn(status, (0, 1), stderr)


class HostileBuildTest(HostileTestCase):
    """Of the rows of a build."""

    PLACES = {
        'ours': ('build_request', 'request_obj'),
        'instance': ('build_requests', 'instance'),
        'mappings': ('build_requests', 'block_device_mappings'),
        'tags': ('build_requests', 'tags'),
        'spec': ('request_specs', 'spec'),
        'revision': ('request_spec', 'spec'),
    }
    TABLES = ('request_specs', 'build_requests', 'instance_mappings',
              'request_spec', 'build_request', 'build_request_item')

    def setUp(self):
        super().setUp()
        self.landed = self.boot(host='host1', name='landed')
        self.let_go = self.enterContext(self.held_builds())
        self.good = self.accept({'name': 'good'})
        self.bad = self.accept({
            'name': 'bad', 'metadata': {'role': 'web'}, 'tags': ['one']})
        self.whole = {table: self.rows(table, self.bad['id'])
                      for table in self.TABLES}

    def restore(self):
        for table in self.TABLES:
            self.execute('DELETE FROM %s WHERE instance_uuid = :uuid' % table,
                         uuid=self.bad['id'])
        for table, rows in self.whole.items():
            for row in rows:
                self.insert(table, row)

    def test_lists(self):
        @examples(strategies.data())
        def run(data):
            places = data.draw(strategies.lists(
                strategies.sampled_from(sorted(self.PLACES)), min_size=1,
                max_size=3, unique=True))
            self.restore()
            for place in places:
                table, column = self.PLACES[place]
                good = self.whole[table][0][column]
                self.damage(table, column, self.bad['id'],
                            data.draw(hostile.texts(good)))
            if data.draw(strategies.booleans()):   # of a node without us
                self.execute('DELETE FROM build_request WHERE '
                             'instance_uuid = :uuid', uuid=self.bad['id'])
            self.check()

        run()

    def test_only_what_nova_has_of_the_build_is_left(self):
        for place in ('ours', 'spec', 'revision'):
            self.damage(*self.PLACES[place], self.bad['id'], '{broken')
        self.check()
        self.assertNotEqual({}, self.everything(self.bad['id']))

    def test_nested_as_deeply_as_the_stack_may_be(self):
        """nova-api has more on it than audit, and must not see less."""
        tags, = self.whole['build_requests']
        text = primitive.dumps(dict(
            jsonutils.loads(tags['tags']), **{primitive.DATA: 'NESTED'}))
        for depth in (320, 150):
            self.restore()
            self.damage('build_requests', 'tags', self.bad['id'],
                        text.replace('"NESTED"', hostile.nested(depth)))
            self.execute('DELETE FROM build_request WHERE '
                         'instance_uuid = :uuid', uuid=self.bad['id'])
            self.assertIn('unreadable-build', self.codes(self.bad['id']))
            self.check()

    def check(self):
        since = len(self.stdlog.logger.output)
        for detail in (False, True):
            found = {server['name'] for server in self.api.get_servers(
                detail=detail)}
            self.assertLessEqual({'landed', 'good'}, found)
            self.assertLessEqual(len(found), 3)
        self.assertEqual('good', self.api.get_server(
            self.good['id'])['name'])
        said = self.logged(since)
        if len(found) < 3:
            line = [line for line in said.splitlines()
                    if 'heal unreadable-build' in line][0]
            self.assertIn(self.bad['id'], line)
            self.assertIn('API database', line)
            self.assertLess(len(line), LINE)
            self.assertIn('unreadable-build', self.codes(self.bad['id']))
        self.commands(self.bad['id'])
        self.mend()

    def mend(self):
        if 'unreadable-build' not in self.codes(self.bad['id']):
            return
        before = self.everything(self.bad['id'])
        _, (*_, row) = self.listed(
            'heal', 'unreadable-build', '--server', self.bad['id'],
            '--older-than', '0s', '--yes', '--undo-file', self.undo_file)
        if 'another Nova may have written it' in row['Repair']:
            self.assertEqual(before, self.everything(self.bad['id']))
            return
        self.assertNotIn('unreadable-build', self.codes(self.bad['id']))
        # Written anew, it is shown; else it is gone.
        try:
            found = self.api.get_server(self.bad['id'])['id']
        except client.OpenStackApiNotFoundException:
            self.assertEqual({}, self.everything(self.bad['id']))
        else:
            self.assertEqual(self.bad['id'], found)


class HostileSpecTest(HostileTestCase):
    """Of the request spec of a server in a cell, and its copies there."""

    PLACES = {
        'spec': ('request_specs', None),
        'first': ('request_spec', 'cell1'),
        'newest': ('request_spec', 'cell1'),
    }

    def setUp(self):
        super().setUp()
        self.good = self.boot(host='host1', name='good')
        self.bad = self.boot(host='host1', name='bad')
        spec = self.spec(self.bad['id'])
        spec.scheduler_hints = {'colour': ['blue']}
        spec.save()
        self.before = {
            ('request_specs', None): self.rows('request_specs',
                                               self.bad['id']),
            ('request_spec', 'cell1'): self.rows('request_spec',
                                                 self.bad['id'], 'cell1')}

    def restore(self):
        for (table, cell), rows in self.before.items():
            self.execute('DELETE FROM %s WHERE instance_uuid = :uuid' % table,
                         cell, uuid=self.bad['id'])
            for row in rows:
                self.insert(table, row, cell)

    def test_lists_and_repairs(self):
        good = self.before['request_specs', None][0]['spec']

        @examples(strategies.lists(strategies.sampled_from(
            sorted(self.PLACES)), min_size=1, unique=True),
            hostile.texts(good), strategies.booleans())
        def run(places, text, pending):
            self.restore()
            for place in places:
                table, cell = self.PLACES[place]
                self.execute(
                    'UPDATE %s SET spec = :text WHERE instance_uuid = :uuid'
                    '%s' % (table, {'first': ' AND revision = 1',
                                    'newest': ' AND revision = 2'}.get(
                                        place, '')),
                    cell, uuid=self.bad['id'], text=self.fitting(text))
            if pending:
                self.execute('UPDATE request_spec SET pending = :yes '
                             'WHERE revision = 2', 'cell1', yes=True)
            self.check(text)

        run()

    def test_an_image_without_fields(self):
        """Nova makes an object of it, and cannot use that."""
        def spoil(data):
            data['image'][primitive.DATA] = []
        self.check(self.spoilt(spoil))

    def test_a_pci_request_that_is_none(self):
        def spoil(data):
            data['pci_requests'][primitive.DATA]['requests'] = [None]
        self.check(self.spoilt(spoil))

    def test_without_a_copy(self):
        """Nothing makes one of it, which would be alike for ever."""
        def spoil(data):
            data['flavor'][primitive.DATA]['vcpus'] = 'many'
        text = self.spoilt(spoil)
        self.execute('DELETE FROM request_spec WHERE instance_uuid = :uuid',
                     'cell1', uuid=self.bad['id'])
        self.assertEqual(['unreadable-spec'], self.codes(self.bad['id']))
        self.command('backfill')
        self.assertEqual([], self.revisions(self.bad['id'], 'cell1'))
        self.check(text)

    def test_of_a_project_that_is_none(self):
        """The servers behind it get their copies."""
        def spoil(data):
            data['project_id'] = {'a': 1}
        self.spoilt(spoil)
        self.execute('DELETE FROM request_spec', 'cell1')
        self.command('backfill')
        self.assertEqual([], self.revisions(self.bad['id'], 'cell1'))
        self.assertEqual([(1, 'backfill')],
                         self.revisions(self.good['id'], 'cell1'))

    def test_flavor_of_the_server(self):
        """Nova cannot show that one; no command ends at it."""
        spec = self.spec(self.bad['id'])
        spec.availability_zone = 'elsewhere'
        spec.save()
        self.execute('UPDATE instance_extra SET flavor = :text '
                     'WHERE instance_uuid = :uuid', 'cell1',
                     uuid=self.bad['id'], text='{"cur"')
        self.execute('DELETE FROM request_specs WHERE instance_uuid = :uuid',
                     uuid=self.good['id'])
        self.assertEqual(['missing-spec'], self.codes(self.good['id']))
        self.assertEqual(['spec-differs'], self.codes(self.bad['id']))
        status, found = self.listed(
            'heal', '--older-than', '0s', '--yes', '--undo-file',
            self.undo_file)
        self.assertEqual(2, status)
        result, = [row['Result'] for row in found
                   if row['Server'] == self.bad['id']]
        self.assertIn('of server %s cannot be read' % self.bad['id'], result)
        self.assertEqual([], self.codes(self.good['id']))

    def spoilt(self, spoil):
        """Have the request spec of the bad one changed, and its copies.

        :param spoil: what changes it, a function of its fields
        :returns: the JSON that is there now
        """
        whole = jsonutils.loads(
            self.before['request_specs', None][0]['spec'])
        spoil(whole[primitive.DATA])
        text = jsonutils.dumps(whole)
        self.execute('UPDATE request_specs SET spec = :text '
                     'WHERE instance_uuid = :uuid', uuid=self.bad['id'],
                     text=text)
        self.execute('UPDATE request_spec SET spec = :text '
                     'WHERE instance_uuid = :uuid', 'cell1',
                     uuid=self.bad['id'], text=text)
        return text

    def check(self, text):
        # What names it comes first: to list it may mend it.
        self.commands(self.bad['id'])
        for detail in (False, True):
            self.assertEqual({'good', 'bad'}, {
                server['name'] for server in
                self.api.get_servers(detail=detail)})
        self.assertEqual('good', self.api.get_server(
            self.good['id'])['name'])
        with self.cell_level('cell1') as context:
            self.spec(self.good['id'], context)
        if not self.is_of_another_nova(text):
            self.heal()
            self.assertEqual('bad', self.api.get_server(
                self.bad['id'])['name'])

    def is_of_another_nova(self, text):
        """Whether a newer Nova has written it: nobody writes over that."""
        try:
            damage.spec(text)
        except ovo_exc.IncompatibleObjectVersion:
            return True
        except damage.UNREADABLE:
            pass
        return False

    def heal(self):
        self.command('heal', '--older-than', '0s', '--yes', '--undo-file',
                     self.undo_file, '--server', self.bad['id'])
        self.assertEqual([], self.codes(self.bad['id']))


class HostileMoveTest(HostileTestCase):
    """A server whose copies in the cell are damaged can be moved."""

    HOSTS = dict(base.CloudTestCase.HOSTS, host2='cell1')

    def resize(self, text):
        """Resize a new server whose history is that text, as it ended."""
        server = self.boot(host='host1')
        self.execute('UPDATE request_spec SET spec = :text WHERE '
                     'instance_uuid = :uuid', 'cell1', uuid=server['id'],
                     text=self.fitting(text))
        return self._resize_server(server, self.flavors[1]['id'])

    def assert_flavor(self, server, number):
        """Wait until both sides have a flavor, and audit finds nothing."""
        flavor = self.flavors[number]['id']
        self._wait_for_assert(lambda: self.assertEqual(
            [flavor, flavor], [self.flavor_persisted(server['id']),
                               self.flavor_of(self.rows(
                                   'request_spec', server['id'],
                                   'cell1')[-1])]))
        self.assertEqual([], self.codes(server['id']))

    def test_resize_and_revert(self):
        for text in hostile.WHOLE[:3] + (
                hostile.nested(100000), 'x' * 2 ** 24):
            server = self.resize(text)
            self.assert_flavor(server, 1)
            self._revert_resize(server)
            self.assert_flavor(server, 0)
            self._delete_server(server)

    def test_resize_and_confirm(self):
        server = self.resize('{"nova_object.data":{"flavor":7}}')
        self._confirm_resize(server)
        self.assert_flavor(server, 1)

    def test_resize_that_fails(self):
        with fixtures.MonkeyPatch(
                'nova.virt.fake.FakeDriver.migrate_disk_and_power_off',
                self.refuse):
            server = self.boot(host='host1')
            self.execute("UPDATE request_spec SET spec = '{'", 'cell1')
            self.api.post_server_action(server['id'], {
                'resize': {'flavorRef': self.flavors[1]['id']}})
            self._wait_for_state_change(server, 'ERROR')
        self.assert_flavor(server, 0)

    def refuse(self, *args, **kwargs):
        raise nova_exc.MigrationError(reason='of the test')
