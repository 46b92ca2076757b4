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

"""nova-cells-persist spec, on the servers of a cloud that runs."""

import json

from nova import objects

from tests.functional import base
from tests.functional import command

NOBODY = '00000000-1111-2222-3333-444444444444'


class SpecTestCase(command.CommandMixin, base.CloudTestCase):

    def in_words(self, cell):
        return 'database of cell %s' % cell

    def history(self, server_id):
        return [(row['Revision'], row['Event'], row['Changed'],
                 row['Database'])
                for row in self.asked('spec', 'history', server_id)]

    def test_in_flight(self):
        with self.held_builds():
            server_id = self.accept()['id']
            self.assertEqual([(1, 'create', '', 'API database')],
                             self.history(server_id))
            shown = self.asked('spec', 'show', server_id)
        self.assertEqual(self.flavors[0]['name'], shown['flavor.name'])
        self.assertEqual('request_specs, API database', shown['stored in'])

    def test_resized(self):
        server = self.boot(host='host1')
        self._start_compute('host2', cell_name='cell1')
        self._resize_server(server, self.flavors[1]['id'])
        self._wait_for_assert(lambda: self.assertEqual(
            ['create', 'resize'],
            [row[1] for row in self.history(server['id'])]))
        history = self.history(server['id'])
        self.assertEqual((1, 'create', '', self.in_words('cell1')),
                         history[0])
        number, _, changed, _ = history[-1]
        self.assertIn('flavor', changed)
        self.assertNotIn('image', changed)

        flavor = [self.asked('spec', 'show', server['id'], *revision)[
                  'flavor.flavorid'] for revision in (
                      (), ('--revision', str(number)), ('--revision', '1'))]
        self.assertEqual([self.flavors[1]['id'], self.flavors[1]['id'],
                          self.flavors[0]['id']], flavor)

    def differs(self, *argv):
        """Return {field: the two values} that spec diff finds."""
        status, stdout, stderr = self.command('spec', 'diff', *argv,
                                              '-f', 'json')
        self.assertEqual('', stderr)
        rows = json.loads(stdout)
        self.assertEqual(int(bool(rows)), status)
        return {row.pop('Field'): list(row.items()) for row in rows}

    def member(self, group):
        return self._wait_for_state_change(
            self.accept(hints={'group': group}), 'ACTIVE')

    def test_diff_of_a_server_as_it_was_asked_for(self):
        group = self.create_group()
        for server in (
                self.boot(host='host1'),
                self._create_server(
                    az='nova:host3', networks='none',
                    flavor_id=self.flavors[1]['id']),
                self.member(group)):
            self.assertEqual({}, self.differs(server['id']))

    def test_diff_of_revisions(self):
        server = self.boot(host='host1')
        spec = self.spec(server['id'])
        spec.scheduler_hints = {'colour': ['blue']}
        spec.save()
        one = {'scheduler_hints.colour': [
            ('Revision 1', None), ('Revision 2', '["blue"]')]}
        found = self.differs(server['id'], '1', '2')
        self.assertEqual(one['scheduler_hints.colour'],
                         found['scheduler_hints.colour'])
        self.assertEqual({}, self.differs(server['id'], '2', '2'))
        self.assertEqual({}, self.differs(server['id'], '2'))
        self.assertEqual(
            [('Revision 1', None), ('Request spec', '["blue"]')],
            self.differs(server['id'], '1')['scheduler_hints.colour'])

    def test_diff_from_the_server(self):
        group = self.create_group()
        server = self.member(group)
        spec = self.spec(server['id'])
        spec.flavor = objects.Flavor.get_by_flavor_id(
            self.context, self.flavors[1]['id'])
        spec.availability_zone = 'elsewhere'
        spec.save()
        self.api.api_delete('/os-server-groups/%s' % group)
        found = self.differs(server['id'])
        self.assertEqual(
            [('Request spec', self.flavors[1]['name']),
             ('Server', self.flavors[0]['name'])], found['flavor.name'])
        self.assertEqual(
            [('Request spec', 'elsewhere'), ('Server', 'nova')],
            found['availability_zone'])
        self.assertEqual(
            [('Request spec', group), ('Server', None)],
            found['instance_group.uuid'])
        self.assertNotIn('image.id', found)

    def test_diff_in_flight(self):
        with self.held_builds():
            server_id = self.accept()['id']
            self.assertIn('is not in the database of any cell',
                          self.refused('diff', server_id))

    def test_diff_in_the_conductor_of_a_cell(self):
        server = self.member(self.create_group())
        cell = 'cell1' if self.rows('instances', server['id'],
                                    'cell1') else 'cell2'
        with self.cell_level(cell):
            self.assertEqual({}, self.differs(server['id']))

    def done(self, *argv):
        status, stdout, stderr = self.command('spec', *argv)
        self.assertEqual((0, ''), (status, stderr))
        return stdout

    def save(self, server_id, **fields):
        with self.targeted('cell1') as context:
            spec = self.spec(server_id, context)
            for name, value in fields.items():
                setattr(spec, name, value)
            spec.save()

    def test_restore(self):
        server_id = self.boot(host='host1')['id']
        self.assertIn('No revision of the request spec',
                      self.refused('restore', server_id))
        self.save(server_id, scheduler_hints={'colour': ['blue']})
        self.save(server_id, scheduler_hints={'colour': ['red']})
        self.assertEqual('Revision 2 was put back.\n',
                         self.done('restore', server_id))
        self.assertEqual({'colour': ['blue']},
                         self.spec(server_id).scheduler_hints)
        self.assertEqual('Revision 1 was put back.\n',
                         self.done('restore', server_id, '--revision', '1'))
        self.assertEqual({}, self.spec(server_id).scheduler_hints)
        self.assertIn('already', self.done('restore', server_id,
                                           '--revision', '1'))
        self.assertEqual(
            [(1, 'create'), (2, 'save'), (3, 'save'), (4, 'restored'),
             (5, 'restored')], self.revisions(server_id, 'cell1'))

    def test_restore_over_a_damaged_row(self):
        server_id = self.boot(host='host1')['id']
        for argv in ([], ['--revision', '1']):
            self.execute("UPDATE request_specs SET spec = '{'")
            self.assertEqual('Revision 1 was put back.\n',
                             self.done('restore', server_id, *argv))
            self.assertEqual({}, self.spec(server_id).scheduler_hints)

    def damage(self, server_id, number):
        """Take the flavor out of a revision."""
        spec = json.loads(next(
            row['spec'] for row in self.rows('request_spec', server_id,
                                             'cell1')
            if row['revision'] == number))
        del spec['nova_object.data']['flavor']
        self.execute('UPDATE request_spec SET spec = :spec WHERE '
                     'instance_uuid = :uuid AND revision = :number', 'cell1',
                     spec=json.dumps(spec), uuid=server_id, number=number)

    def test_restore_of_a_damaged_revision(self):
        server_id = self.boot(host='host1')['id']
        for colour in ('blue', 'red'):
            self.save(server_id, scheduler_hints={'colour': [colour]})
        self.damage(server_id, 3)
        before = self.rows('request_specs', server_id)
        self.assertEqual(
            'Table request_spec in the database of cell cell1: revision 3 of '
            'server %(id)s cannot be read: it has no flavor. The others are '
            'in "nova-cells-persist spec history %(id)s"; if it is the '
            'newest one, "nova-cells-persist heal unreadable-copy --server '
            '%(id)s --yes" mends it.\n' % {'id': server_id},
            self.refused('restore', server_id, '--revision', '3'))
        self.assertEqual(before, self.rows('request_specs', server_id))
        self.assertEqual('Revision 2 was put back.\n',
                         self.done('restore', server_id))
        self.assertEqual({'colour': ['blue']},
                         self.spec(server_id).scheduler_hints)
        for number in (2, 1):
            self.damage(server_id, number)
        self.assertIn('No revision of the request spec',
                      self.refused('restore', server_id))

    def test_restore_while_it_is_busy(self):
        server_id = self.boot(host='host1')['id']
        self.save(server_id, scheduler_hints={'colour': ['blue']})
        self.execute("UPDATE instances SET task_state = 'resize_prep' "
                     'WHERE uuid = :uuid', 'cell1', uuid=server_id)
        self.assertIn('is in the middle of a task (resize_prep)',
                      self.refused('restore', server_id))
        with self.cell_level('cell1'):
            self.assertIn('is in the middle of a task (resize_prep)',
                          self.refused('restore', server_id))
        self.assertEqual([(1, 'create'), (2, 'save')],
                         self.revisions(server_id, 'cell1'))

    def test_sync(self):
        server_id = self.boot(host='host1')['id']
        self.assertEqual('Nothing differs.\n', self.done('sync', server_id))
        self.assertEqual([(1, 'create')], self.revisions(server_id, 'cell1'))
        self.save(server_id, availability_zone='elsewhere',
                  flavor=objects.Flavor.get_by_flavor_id(
                      self.context, self.flavors[1]['id']))
        self.assertEqual('Changed: az.\n', self.done(
            'sync', server_id, '--field', 'az,image'))
        self.assertIn('flavor.name', self.differs(server_id))
        self.assertEqual('Changed: flavor.\n', self.done('sync', server_id))
        self.assertEqual({}, self.differs(server_id))
        self.assertEqual('sync', self.revisions(server_id, 'cell1')[-1][1])
        status, _, stderr = self.command('spec', 'sync', server_id,
                                         '--field', 'az,colour')
        self.assertEqual(127, status)
        self.assertIn("'colour' is none of flavor, az", stderr)

    def test_sync_while_it_is_busy(self):
        server_id = self.boot(host='host1')['id']
        self.execute("UPDATE instances SET task_state = 'rebuilding' "
                     'WHERE uuid = :uuid', 'cell1', uuid=server_id)
        self.assertIn('is in the middle of a task (rebuilding)',
                      self.refused('sync', server_id))

    def test_reads_only(self):
        server = self.boot(host='host1')
        self.execute('DELETE FROM request_specs WHERE instance_uuid = :uuid',
                     uuid=server['id'])
        before = self.everything(server['id'])
        shown = self.asked('spec', 'show', server['id'])
        self.assertEqual('request_spec, ' + self.in_words('cell1'),
                         shown['stored in'])
        self.history(server['id'])
        self.assertEqual({}, self.differs(server['id']))
        self.assertEqual(before, self.everything(server['id']))

    def test_in_the_conductor_of_a_cell(self):
        server = self.boot(host='host1')
        with self.cell_level('cell1'):
            self.assertEqual([(1, 'create', '', 'database of this cell')],
                             self.history(server['id']))
            shown = self.asked('spec', 'show', server['id'])
        self.assertEqual('request_spec, database of this cell',
                         shown['stored in'])

    def test_zone_in_the_conductor_of_a_cell(self):
        # Which one a host is in stands in the API database.
        server_id = self.boot(host='host1')['id']
        self.save(server_id, availability_zone='elsewhere')
        self.assertEqual(['availability_zone'], list(self.differs(server_id)))
        with self.cell_level('cell1'):
            self.assertEqual({}, self.differs(server_id))
            self.assertEqual('Nothing differs.\n',
                             self.done('sync', server_id))
        self.assertEqual('Changed: az.\n', self.done('sync', server_id))

    def test_zone_of_one_that_is_on_no_host(self):
        self.flags(shelved_offload_time=0)
        server = self.boot(host='host1')
        self.save(server['id'], availability_zone='nova')
        self._shelve_server(server)
        self.assertEqual({}, self.differs(server['id']))
        self.assertEqual('Nothing differs.\n',
                         self.done('sync', server['id']))

    def test_unreadable(self):
        server = self.boot(host='host1')
        self.execute("UPDATE request_specs SET spec = '{' "
                     'WHERE instance_uuid = :uuid', uuid=server['id'])
        self.execute("UPDATE request_spec SET spec = '[]' "
                     'WHERE instance_uuid = :uuid', 'cell1',
                     uuid=server['id'])
        status, stdout, stderr = self.command('spec', 'show', server['id'])
        self.assertEqual((2, ''), (status, stdout))
        self.assertIn('Table request_specs in the API database: the row of '
                      'server %s cannot be read' % server['id'], stderr)
        self.assertEqual('unreadable', self.history(server['id'])[0][2])
        for argv in (('sync', server['id']), ('diff', server['id'])):
            self.assertIn('heal unreadable-spec --server %s' % server['id'],
                          self.refused(*argv))

    def test_unreadable_in_the_conductor_of_a_cell(self):
        server_id = self.boot(host='host1')['id']
        self.execute("UPDATE request_spec SET spec = '[]'", 'cell1')
        self.execute("UPDATE instances SET availability_zone = 'x'", 'cell1')
        with self.cell_level('cell1'):
            for argv in (('sync', server_id), ('diff', server_id),
                         ('show', server_id), ('show', server_id,
                                               '--revision', '1')):
                self.assertIn(
                    'Table request_spec in the database of this cell: '
                    'revision 1 of server %s cannot be read' % server_id,
                    self.refused(*argv))

    def refused(self, *argv):
        status, stdout, stderr = self.command('spec', *argv)
        self.assertEqual((2, ''), (status, stdout))
        return stderr

    def test_unknown(self):
        for verb in ('show', 'history'):
            self.assertIn('No request spec of server %s' % NOBODY,
                          self.refused(verb, NOBODY))
        server = self.boot(host='host1')
        self.assertIn('has no revision 7; its revisions are: 1.',
                      self.refused('show', server['id'], '--revision', '7'))

    def test_dead_cell(self):
        server = self.boot(host='host1')
        with self.dead_cell('cell1'):
            self.assertEqual(
                'The database of cell cell1 cannot be used: nothing answers. '
                'Mend that, then run the command again.\n',
                self.refused('show', server['id']))
