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

"""Saving: the database is chosen by the context."""

import fixtures
from sqlalchemy import exc as sa_exc

from nova import context as nova_context
from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.db import models
from nova_cells_persist import exception
from nova_cells_persist.objects import operation
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import reload
from nova_cells_persist.objects import revision

from tests.functional import base
from tests.functional import saving

FOLLOW = 'nova_cells_persist.objects.revision.follow'


class SaveTest(saving.SpecTestCase):
    """At the API level."""

    def test_targeted_and_untargeted(self):
        server = self.boot(host='host1')
        with self.targeted('cell1') as cctxt:
            self.save_az(server, 'one', cctxt)
        self.save_az(server, 'two')
        self.assertEqual([(1, 'create'), (2, 'save'), (3, 'save')],
                         self.revisions(server['id'], 'cell1'))
        self.assertEqual([], self.revisions(server['id']))
        self.assertEqual('two', self.az_persisted(server))

    def test_targeted_at_the_cell_that_was_left(self):
        server = self.boot(host='host1')
        with self.targeted('cell2') as cctxt:
            self.save_az(server, 'one', cctxt)
        self.assertEqual([], self.revisions(server['id'], 'cell2'))
        self.assertEqual('one', self.az_of_newest(server))

    def test_before_it_has_a_cell(self):
        with self.held_builds() as let_go:
            server = self.accept(host='host1')
            self.save_az(server, 'one')
            self.assertEqual([(1, 'create'), (2, 'save')],
                             self.revisions(server['id']))
            self.assertEqual('BUILD',
                             self.api.get_server(server['id'])['status'])
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual([(1, 'create'), (2, 'save')],
                         self.revisions(server['id'], 'cell1'))

    def test_server_from_before_the_plugin(self):
        server = self.boot(host='host1')
        self.execute('DELETE FROM request_spec', cell='cell1')
        self.save_az(server, 'one')
        self.assertEqual([(1, 'adopt'), (2, 'save')],
                         self.revisions(server['id'], 'cell1'))
        self.assertEqual('one', self.az_of_newest(server))

    def test_forced_destination_that_was_reset(self):
        """Nova resets it for one move, saves something else, schedules."""
        server = self.boot(host='host1')
        spec = self.spec(server['id'])
        spec.force_hosts = ['host1']
        spec.save()
        spec.reset_forced_destinations()
        spec.availability_zone = 'one'
        spec.save()
        self.assertIsNone(spec.force_hosts)
        self.assertEqual(set(), spec.obj_what_changed())
        spec = self.spec(server['id'])
        self.assertEqual(['host1'], spec.force_hosts)
        self.assertEqual('one', spec.availability_zone)

    def test_field_that_was_deleted(self):
        server = self.boot(host='host1')
        spec, other = self.spec(server['id']), self.spec(server['id'])
        del spec.is_bfv
        spec.save()
        self.assertNotIn('is_bfv', self.spec(server['id']))
        # Nor does one come back that somebody else has read before.
        other.availability_zone = 'one'
        other.save()
        self.assertNotIn('is_bfv', self.spec(server['id']))

    def test_nothing_changed(self):
        server = self.boot(host='host1')
        self.spec(server['id']).save()
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell1'))

    def test_nothing_changed_of_a_flavor_with_extra_specs(self):
        self.api.post_extra_spec(self.flavors[0]['id'], {
            'extra_specs': {'hw:cpu_policy': 'shared'}})
        server = self.boot(host='host1')
        spec = self.spec(server['id'])
        self.assertEqual(set(), spec.obj_what_changed())
        spec.save()
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell1'))

    def test_cell_that_cannot_be_written(self):
        server = self.boot(host='host1')
        self.execute('DROP TABLE request_spec', cell='cell1')
        self.save_az(server, 'one')
        self.assertEqual('one', self.az_persisted(server))
        line, *_ = [line for line in self.stdlog.logger.output.splitlines()
                    if 'is left to be healed' in line]
        self.assertIn('it has no table request_spec, run '
                      '"nova-cells-persist db sync" first', line)
        # Nothing of what was asked, and with which values.
        self.assertNotIn('[parameters', self.stdlog.logger.output)
        self.assertNotIn('[SQL', self.stdlog.logger.output)

    def test_two_writers(self):
        """The second applies what he has changed to what the first saved."""
        server = self.boot(host='host1')
        first, second = self.spec(server['id']), self.spec(server['id'])
        first.availability_zone = 'one'
        second.scheduler_hints = {'colour': ['blue']}
        first.save()
        second.save()
        spec = self.spec(server['id'])
        self.assertEqual('one', spec.availability_zone)
        self.assertEqual({'colour': ['blue']}, spec.scheduler_hints)
        self.assertEqual('one', self.az_of_newest(server))
        self.assertEqual('one', second.availability_zone)

    def test_a_newer_nova_was_the_other_writer(self):
        server = self.boot(host='host1')
        spec = self.spec(server['id'])
        row, = self.rows('request_specs', server['id'])
        self.execute('UPDATE request_specs SET spec = :spec',
                     spec=row['spec'].replace('"nova_object.version":"1.',
                                              '"nova_object.version":"9.'))
        for zone in ('one', 'two'):
            spec.availability_zone = zone
            spec.save()
            row, = self.rows('request_specs', server['id'])
            self.assertIn('"nova_object.version":"9.', row['spec'])
            self.assertEqual(
                zone, primitive.data(row['spec'])['availability_zone'])
            self.assertEqual(zone, self.az_of_newest(server))

    def test_another_writer_is_faster_in_the_cell(self):
        """Both wrote Nova's row, and the cell in the other order."""
        server = self.boot(host='host1')
        slow = self.spec(server['id'])
        slow.scheduler_hints = {'colour': ['blue']}
        follow = revision.follow

        def overtaken(*args, **kwargs):
            overtaking.cleanUp()
            self.save_az(server, 'one')
            return follow(*args, **kwargs)

        overtaking = fixtures.MonkeyPatch(
            'nova_cells_persist.objects.revision.follow', overtaken)
        overtaking.setUp()
        slow.save()
        newest = self.rows('request_spec', server['id'], 'cell1')[-1]
        nova = self.rows('request_specs', server['id'])[0]
        self.assertEqual(primitive.digest(nova['spec']),
                         primitive.digest(newest['spec']))
        data = primitive.data(nova['spec'])
        self.assertEqual('one', data['availability_zone'])
        self.assertEqual({'colour': ['blue']}, data['scheduler_hints'])

    def test_too_large(self):
        server = self.boot(host='host1')
        before = self.rows('request_specs', server['id'])
        spec = self.spec(server['id'])
        spec.scheduler_hints = {'x': ['y' * models.MEDIUMTEXT_BYTES]}
        exc = self.assertRaises(exception.SpecTooLarge, spec.save)
        self.assertIn(server['id'], str(exc))
        self.assertEqual(before, self.rows('request_specs', server['id']))
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell1'))


class CellLevelSaveTest(saving.SpecTestCase):
    """In a process that serves one cell."""

    HOSTS = dict(base.CloudTestCase.HOSTS, host2='cell1', host4='cell2')

    def test_pending(self):
        server = self.boot(host='host1')
        novas = self.rows('request_specs', server['id'])
        with self.cell_level('cell1') as context:
            self.save_az(server, 'one', context)
            self.save_az(server, 'two', context)
            self.assertEqual(
                'two', self.spec(server['id'], context).availability_zone)
        self.assertEqual(novas, self.rows('request_specs', server['id']))
        self.assertEqual([2, 3], self.pending(server))
        digest = primitive.digest(novas[0]['spec'])
        for row in self.rows('request_spec', server['id'], 'cell1')[1:]:
            self.assertEqual(digest, row['base_digest'])

    def test_two_writers(self):
        server = self.boot(host='host1')
        with self.cell_level('cell1') as context:
            first = self.spec(server['id'], context)
            second = self.spec(server['id'], context)
            first.availability_zone = 'one'
            second.scheduler_hints = {'colour': ['blue']}
            first.save()
            second.save()
            spec = self.spec(server['id'], context)
        self.assertEqual('one', spec.availability_zone)
        self.assertEqual({'colour': ['blue']}, spec.scheduler_hints)

    def test_keeps_the_group(self):
        group = self.create_group()
        server = self._wait_for_state_change(
            self.accept(hints={'group': group}), 'ACTIVE')
        cell = self.HOSTS[server['OS-EXT-SRV-ATTR:host']]
        with self.cell_level(cell) as context:
            spec = self.save_az(server, 'one', context)
            self.assertEqual(group, spec.instance_group.uuid)
            spec = self.spec(server['id'], context)
            self.assertEqual(group, spec.instance_group.uuid)
            self.assertEqual('anti-affinity', spec.instance_group.policy)
            self.assertEqual(set(), spec.obj_what_changed())

    def test_unreadable(self):
        server = self.boot(host='host1')
        self.execute("UPDATE request_spec SET spec = '{broken'", cell='cell1')
        with self.cell_level('cell1') as context:
            self.assertRaises(ValueError, self.spec, server['id'], context)
        self.assertIn('Table request_spec in the database of this cell: the '
                      'row of server %s cannot be read' % server['id'],
                      self.stdlog.logger.output)

    def test_saved_at_the_api_level_after_it(self):
        """The change goes on top of what the cell has saved."""
        server = self.boot(host='host1')
        spec = self.spec(server['id'])
        with self.cell_level('cell1') as context:
            self.save_az(server, 'one', context)
        spec.scheduler_hints = {'colour': ['blue']}
        spec.save()
        self.assertEqual('one', self.az_persisted(server))
        self.assertEqual('one', self.az_of_newest(server))
        self.assertEqual([], self.pending(server))
        self.assertEqual([(1, 'create'), (2, 'save'), (3, 'save')],
                         self.revisions(server['id'], 'cell1'))

    def test_group_that_was_deleted(self):
        """As in Nova's row, where the next save leaves it out."""
        group = self.create_group()
        server = self.boot_in_group(group, 'host1')
        self.api.delete_server_group(group)
        spec = self.spec(server['id'])
        self.assertIsNone(spec.instance_group)
        spec.num_instances = 2
        spec.save()
        for text in (self.rows('request_specs', server['id'])[0]['spec'],
                     self.rows('request_spec', server['id'],
                               'cell1')[-1]['spec']):
            saved = primitive.data(text)
            self.assertIsNone(saved['instance_group'])
            self.assertNotIn('group', saved['scheduler_hints'])
        with self.cell_level('cell1') as context:
            self.assertRaises(
                nova_exc.InstanceGroupNotFound,
                objects.InstanceGroup.get_by_instance_uuid, context,
                server['id'])

    def test_group_of_another_project(self):
        """A user is not shown it, and it is there all the same."""
        group = self.create_group()
        self.execute("UPDATE instance_groups SET project_id = 'another' "
                     'WHERE uuid = :uuid', uuid=group)
        server = self.boot_in_group(group, 'host1')
        before = self.everything(server['id'])
        user = nova_context.RequestContext('user', server['tenant_id'])
        spec = self.spec(server['id'], user)
        self.assertIsNone(spec.instance_group)
        self.assertEqual(set(), spec.obj_what_changed())
        reload.reload(user, server['id'])
        self.assertEqual(before, self.everything(server['id']))

    def test_move_out_of_a_group_that_was_deleted(self):
        """What its cell is asked while it moves knows no group either."""
        self._start_compute('host2', cell_name='cell1')
        group = self.create_group()
        server = self.boot_in_group(group, 'host1')
        self.api.delete_server_group(group)
        self._live_migrate(server)
        newest = self.rows('request_spec', server['id'], 'cell1')[-1]
        self.assertIsNone(primitive.data(newest['spec'])['instance_group'])

    def test_group_is_known_by_its_first_revision(self):
        """Of servers of this cell that are there, whoever asks."""
        group = self.create_group()
        servers = [self.boot_in_group(group, host)
                   for host in ('host1', 'host2', 'host3')]
        gone = self.boot_in_group(group, None)
        self._delete_server(gone)
        no_member = self.accept(hints={'of': group}, host='host1')
        self._wait_for_state_change(no_member, 'ACTIVE')
        with self.cell_level('cell1') as context:
            found = [objects.InstanceGroup.get_by_uuid(context, group)]
            found.append(objects.InstanceGroup.get_by_instance_uuid(
                context, servers[0]['id']))
            context.project_id = servers[0]['tenant_id']
            found.append(objects.InstanceGroup.get_by_hint(
                context, group))
            for each in found:
                self.assertEqual('anti-affinity', each.policy)
                self.assertEqual({servers[0]['id'], servers[1]['id']},
                                 set(each.members))
            self.assertRaises(
                nova_exc.InstanceGroupNotFound,
                objects.InstanceGroup.get_by_uuid, context,
                '11111111-1111-1111-1111-111111111111')
            self.assertRaises(
                nova_exc.InstanceGroupNotFound,
                objects.InstanceGroup.get_by_instance_uuid, context,
                '11111111-1111-1111-1111-111111111111')

    def boot_in_group(self, group, host):
        return self._wait_for_state_change(
            self.accept(hints={'group': group}, host=host), 'ACTIVE')

    def test_knows_no_such_server(self):
        with self.cell_level('cell1') as context:
            self.assertRaises(
                nova_exc.RequestSpecNotFound, self.spec,
                '11111111-1111-1111-1111-111111111111', context)


class OvertakenTest(saving.SpecTestCase):

    def test_the_revision_of_another_is_not_ours(self):
        """Who fails must not take back what another has saved."""
        server = self.boot(host='host1')
        follow = revision.follow

        def late(*args):
            with fixtures.MonkeyPatch(FOLLOW, follow), operation.during('b'):
                self.save_az(server, 'theirs')
            return follow(*args)

        with operation.during('a') as ours:
            with fixtures.MonkeyPatch(FOLLOW, late):
                self.save_az(server, 'ours')
        self.assertIsNone(ours.revision)
        self.assertEqual('theirs', self.az_of_newest(server))
        self.assertEqual([(1, 'create'), (2, 'b')],
                         self.revisions(server['id'], 'cell1'))

    def test_no_connection_is_free(self):
        server = self.boot(host='host1')

        def no_connection(*args):
            raise sa_exc.TimeoutError('QueuePool limit of size 5 reached')

        with fixtures.MonkeyPatch(
                'nova_cells_persist.db.request_spec.insert', no_connection):
            self.save_az(server, 'zone')
        self.assertEqual('zone', self.az_persisted(server))
        self.assertIn('QueuePool limit', self.stdlog.logger.output)


class DestroyTest(saving.SpecTestCase):

    def test_destroy(self):
        server = self.boot(host='host1')
        spec = self.spec(server['id'])
        spec.destroy()
        self.assertEqual([], self.revisions(server['id'], 'cell1'))
        self.assertEqual([], self.rows('request_specs', server['id']))
        self.assertRaises(nova_exc.RequestSpecNotFound, spec.destroy)

    def test_destroy_takes_our_rows_when_novas_is_gone(self):
        server = self.boot(host='host1')
        spec = self.spec(server['id'])
        self.execute('DELETE FROM request_specs')
        self.assertRaises(nova_exc.RequestSpecNotFound, spec.destroy)
        self.assertEqual([], self.revisions(server['id'], 'cell1'))

    def test_destroy_bulk(self):
        here, there = self.boot(host='host1'), self.boot(host='host3')
        stays = self.boot(host='host1')
        for server, cell in ((here, 'cell1'), (there, 'cell2')):
            self.lose_instance(server['id'], cell)   # it is archived
        self.assertEqual(2, objects.RequestSpec.destroy_bulk(
            self.context, [here['id'], there['id']]))
        self.assertEqual([], self.revisions(here['id'], 'cell1'))
        self.assertEqual([], self.revisions(there['id'], 'cell2'))
        self.assertEqual([(1, 'create')],
                         self.revisions(stays['id'], 'cell1'))
