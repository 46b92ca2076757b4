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

"""From accepted to landed: which row stands where, and what a show says."""

import fixtures
from oslo_db import exception as db_exc
from oslo_utils.fixture import uuidsentinel as uuids

from nova.cmd import manage
from nova.conductor import manager
from nova import exception as nova_exc
from nova import objects
from nova.tests.functional.api import client as api_client
from nova_cells_persist import conf as plugin_conf
from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import models
from nova_cells_persist import exception
from tests.functional import base

ACCEPTED = {
    ('api', 'request_specs'): 1,
    ('api', 'build_requests'): 1,
    ('api', 'instance_mappings'): 1,
    ('api', 'request_spec'): 1,
    ('api', 'build_request'): 1,
}


def landed_in(cell):
    return {('api', 'request_specs'): 1, ('api', 'instance_mappings'): 1,
            (cell, 'instances'): 1, (cell, 'request_spec'): 1}


class CreateTest(base.CloudTestCase):

    def test_rows_from_accepted_to_landed(self):
        with self.held_builds() as let_go:
            server = self.accept(host='host3')
            self.assertEqual(ACCEPTED, self.everything(server['id']))
            self.assertEqual([(1, 'create')], self.revisions(server['id']))
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual(landed_in('cell2'), self.everything(server['id']))
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell2'))

    def test_tags_and_metadata(self):
        self.api.microversion = 'latest'
        with self.held_builds() as let_go:
            server = self.accept({'tags': ['t', 'u'],
                                  'metadata': {'k': 'v'}}, host='host1')
            self.assertEqual({**ACCEPTED, ('api', 'build_request_item'): 3},
                             self.everything(server['id']))
            let_go()
            server = self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual(landed_in('cell1'), self.everything(server['id']))
        with self.held_builds():
            server = self.accept({'tags': ['t']})
            self.api.delete_server(server['id'])
        self.assertEqual([], self.rows('build_request', server['id']))
        self.assertEqual([], self.rows('build_request_item', server['id']))

    def test_refused_by_the_scheduler(self):
        flavor = self._create_flavor(memory_mb=40 * 1024)
        server = self._create_server(
            flavor_id=flavor, networks='none', expected_state='ERROR')
        self._wait_for_assert(lambda: self.assertEqual(
            landed_in('cell0'), self.everything(server['id'])))

    def test_multi_create(self):
        with self.held_builds() as let_go:
            server = self.accept(name='many')
            first = self.api.get_servers(search_opts={'name': 'many'})
            request = self._build_server(
                networks='none', flavor_id=self.flavors[0]['id'])
            request.update(name='many', min_count=2, max_count=2)
            self.api.post_server({'server': request})
            servers = self.api.get_servers(search_opts={'name': 'many'})
            self.assertEqual(1, len(first))
            self.assertEqual(3, len(servers))
            for one in servers:
                self.assertEqual(ACCEPTED, self.everything(one['id']))
            let_go()
            for one in servers:
                self._wait_for_state_change(one, 'ACTIVE')
        self.assertIn(server['id'], [one['id'] for one in servers])
        for one in servers:
            self.assertNotIn(('api', 'build_request'),
                             self.everything(one['id']))

    def test_all_or_nothing(self):
        """Our rows are in Nova's transaction, with no commit of their own."""
        def fail(*args, **kwargs):
            raise db_exc.DBError('no mapping today')

        self.useFixture(fixtures.MonkeyPatch(
            'nova.objects.instance_mapping.InstanceMapping._create_in_db',
            fail))
        self.assertRaises(api_client.OpenStackApiException, self.accept)
        for table in ('request_specs', 'build_requests', 'request_spec',
                      'build_request'):
            self.assertEqual(
                0, self.execute('DELETE FROM %s' % table), table)

    def test_spec_too_large(self):
        """It says so before anything is written."""
        server = self.boot()
        spec = self.spec(server['id'])
        large = type(spec)(self.context, **{
            name: getattr(spec, name) for name in spec.fields
            if name in spec and name not in ('id', 'instance_uuid')})
        large.instance_uuid = uuids.large
        large.scheduler_hints = {'x': ['y' * models.MEDIUMTEXT_BYTES]}
        exc = self.assertRaises(exception.SpecTooLarge, large.create)
        self.assertIn(uuids.large, str(exc))
        self.assertEqual({}, self.everything(uuids.large))

    def test_what_is_not_whole_can_be_written(self):
        """A row is only looked at when it is read."""
        objects.RequestSpec(self.context, instance_uuid=uuids.bare).create()
        self.assertEqual({('api', 'request_specs'): 1,
                          ('api', 'request_spec'): 1},
                         self.everything(uuids.bare))

    def test_what_has_no_cell_is_looked_for_in_none(self):
        def nothing(context):
            return base.DeadDatabase()

        self.useFixture(fixtures.MonkeyPatch(
            'nova.db.main.api.get_context_manager', nothing))
        self.assertRaises(nova_exc.RequestSpecNotFound, self.spec,
                          uuids.nowhere)

    def test_the_spec_is_a_field_of_the_build(self):
        with self.held_builds():
            server = self.accept()
            build = objects.BuildRequest.get_by_instance_uuid(
                self.context, server['id'])
        self.assertEqual(server['id'], build.request_spec.instance_uuid)
        self.assertEqual(self.flavors[0]['id'],
                         build.request_spec.flavor.flavorid)
        # Not on the wire, where nothing may change.
        self.assertNotIn('request_spec', build.obj_to_primitive()[
            'nova_object.data'])


class ShowBuildTest(base.CloudTestCase):
    """A server without a cell is answered from build_request."""

    def details(self, server):
        """Return the server as show and as list say it."""
        listed = {one['id']: one for one in self.api.get_servers()}
        answers = self.api.get_server(server['id']), listed[server['id']]
        for answer in answers:
            # What was never updated is said to be updated now.
            del answer['updated']
        return answers

    def break_novas(self, server):
        self.assertEqual(1, self.execute(
            "UPDATE build_requests SET instance = '{broken' "
            "WHERE instance_uuid = :uuid", uuid=server['id']))

    def break_ours(self, server, request_obj='{broken'):
        self.assertEqual(1, self.execute(
            'UPDATE build_request SET request_obj = :obj '
            'WHERE instance_uuid = :uuid', uuid=server['id'],
            obj=request_obj))

    def read_by_novas(self, build):
        """Return the same build as a node without the plugin reads it."""
        stock = type(build).__mro__[1]
        return stock._from_db_object(
            self.context, stock(), stock._get_by_instance_uuid_from_db(
                self.context, build.instance_uuid))

    def test_same_object_as_novas(self):
        """In a list too, where what is alike is copied."""
        flavor = self.flavors[0]['id']
        self.api.post_extra_spec(flavor, {
            'extra_specs': {'hw:cpu_policy': 'shared'}})
        with self.held_builds():
            for name in ('a', 'b'):
                self.accept({'name': name, 'tags': [name]}, hints={
                    'group': self.create_group()})
            self.accept({'flavorRef': self.flavors[1]['id']})
            # Its tags are those of the build, whatever the instance says.
            build = objects.BuildRequestList.get_all(self.context)[0]
            build.instance.tags = objects.TagList()
            build.save()
            builds = objects.BuildRequestList.get_all(self.context)
        self.assertEqual(['a'], [tag.tag for tag in builds[0].instance.tags])
        self.assertEqual(3, len(builds))
        for build in builds:
            build.obj_load_attr('block_device_mappings')
            self.assertEqual(self.read_by_novas(build).obj_to_primitive(),
                             build.obj_to_primitive())
            self.assertEqual(set(), build.instance.obj_what_changed())
        first, second, _ = [build.instance.flavor for build in builds]
        first.extra_specs['hw:cpu_policy'] = 'dedicated'
        first.name = 'other'
        self.assertEqual({'hw:cpu_policy': 'shared'}, second.extra_specs)
        self.assertEqual(set(), second.obj_what_changed())

    def test_answer_is_novas(self):
        with self.held_builds():
            server = self.accept(
                name='ünïcødé', body={'tags': ['a', 'b'],
                                      'description': 'döscribed',
                                      'metadata': {'colour': "b'l\\u%e"}})
            ours = self.details(server)
            self.break_novas(server)
            self.assertEqual(ours, self.details(server))
        self.execute('UPDATE build_requests SET instance = NULL')
        self.assertEqual(ours, self.details(server))

    def test_same_answer_from_either_table(self):
        with self.held_builds():
            server = self.accept()
            ours = self.details(server)
            self.execute('DELETE FROM build_request')
            novas = self.details(server)
        self.assertEqual(novas, ours)
        self.assertEqual('BUILD', ours[0]['status'])
        self.assertIsNotNone(ours[1])

    def test_only_novas_row(self):
        """A server that an API node without the plugin has accepted."""
        with self.held_builds() as let_go:
            server = self.accept(host='host1')
            self.execute('DELETE FROM build_request')
            self.execute('DELETE FROM request_spec')
            shown, listed = self.details(server)
            self.assertEqual(server['id'], shown['id'])
            self.assertIsNotNone(listed)
            row, = self.rows('build_request', server['id'])
            # As its instance will have it.
            self.assertNotRegex(str(row['created_at']), r'\.0*[1-9]')
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual(landed_in('cell1'), self.everything(server['id']))
        self.assertEqual([(1, 'adopt')],
                         self.revisions(server['id'], 'cell1'))

    def test_unreadable_row_of_ours(self):
        for request_obj in ('{broken', '[]', '{}', 'null'):
            with self.held_builds():
                server = self.accept()
                expected = self.details(server)
                self.break_ours(server, request_obj)
                self.assertEqual(expected, self.details(server))
            log = self.stdlog.logger.output
            self.assertIn('Table build_request in the API database: the row '
                          'of server %s cannot be read' % server['id'], log)
            self.assertEqual(1, len(self.rows('build_request',
                                              server['id'])))

    def test_one_bad_row_does_not_hide_the_others(self):
        with self.held_builds():
            bad, good = self.accept(), self.accept()
            self.break_ours(bad)
            self.break_novas(bad)
            listed = [one['id'] for one in self.api.get_servers()]
        self.assertEqual([good['id']], listed)
        self.assertEqual(1, len(self.rows('build_request', bad['id'])))

    def test_renamed_while_building(self):
        with self.held_builds() as let_go:
            server = self.accept(host='host1')
            self.api.put_server(server['id'], {'server': {'name': 'other'}})
            self.break_novas(server)
            shown, listed = self.details(server)
            self.assertEqual('other', shown['name'])
            self.assertEqual('other', listed['name'])
            row, = self.rows('build_request', server['id'])
            self.assertEqual('other', row['display_name'])
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')

    def test_renamed_by_a_node_without_the_plugin(self):
        with self.held_builds():
            server = self.accept()
            build = objects.BuildRequest.get_by_instance_uuid(
                self.context, server['id'])
            build = self.read_by_novas(build)
            build.instance.display_name = 'other'
            build.save()
            shown, listed = self.details(server)
        self.assertEqual('other', shown['name'])
        self.assertEqual('other', listed['name'])

    def test_mapped_build_is_not_listed(self):
        """Its instance is; a page is not the shorter for it."""
        with self.held_builds():
            server = self.accept()
            self.execute(
                'UPDATE instance_mappings SET cell_id = '
                '(SELECT id FROM cell_mappings WHERE name = :name) '
                'WHERE instance_uuid = :uuid',
                name='cell1', uuid=server['id'])
            builds = objects.BuildRequestList.get_all(self.context)
        self.assertEqual([], list(builds))

    def test_projects_do_not_see_each_other(self):
        ours = self.api_fixture.api
        other = api_client.TestOpenStackClient(
            'somebody', ours.base_url, 'other-project',
            roles=['reader', 'member'])
        with self.held_builds():
            server = self.accept()
            self.assertEqual([], other.get_servers())
            self.assertEqual([server['id']], [
                one['id'] for one in ours.get_servers()])


class MirrorTest(base.CloudTestCase):
    """[cells_persist]mirror_build_requests, and nodes without the plugin."""

    def no_mirror(self):
        self.flags(mirror_build_requests=False,
                   group=plugin_conf.GROUP.name)

    def test_without_a_mirror(self):
        self.no_mirror()
        with self.held_builds() as let_go:
            server = self.accept(host='host1')
            expected = dict(ACCEPTED)
            del expected['api', 'build_requests']
            self.assertEqual(expected, self.everything(server['id']))
            self.assertEqual('BUILD',
                             self.api.get_server(server['id'])['status'])
            self.assertEqual([server['id']], [
                one['id'] for one in self.api.get_servers()])
            self.api.put_server(server['id'], {'server': {'name': 'other'}})
            self.assertEqual('other',
                             self.api.get_server(server['id'])['name'])
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual(landed_in('cell1'), self.everything(server['id']))

    def test_renamed_when_it_is_gone(self):
        """Gone since it was read; then Nova renames the instance."""
        self.flags(mirror_build_requests=False, group='cells_persist')
        update = db_build.update

        def late(session, uuid, values):
            db_build.delete(session, uuid)
            return update(session, uuid, values)

        with self.held_builds():
            server = self.accept()
            build = objects.BuildRequest.get_by_instance_uuid(
                self.context, server['id'])
            build.instance.display_name = 'new'
            self.useFixture(fixtures.MonkeyPatch(
                'nova_cells_persist.db.build_request.update', late))
            self.assertRaises(nova_exc.BuildRequestNotFound, build.save)

    def test_deleted_without_a_mirror(self):
        self.no_mirror()
        with self.held_builds() as let_go:
            server = self.accept()
            self.api.delete_server(server['id'])
            self.assertRaises(nova_exc.BuildRequestNotFound,
                              objects.BuildRequest.get_by_instance_uuid,
                              self.context, server['id'])
            let_go()
            self._wait_for_assert(lambda: self.assertEqual(
                {}, self.everything(server['id'])))

    def test_turned_off_while_building(self):
        with self.held_builds() as let_go:
            server = self.accept(host='host1')
            self.no_mirror()
            self.assertEqual('BUILD',
                             self.api.get_server(server['id'])['status'])
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')
        self.assertEqual(landed_in('cell1'), self.everything(server['id']))

    def test_built_by_a_conductor_without_the_plugin(self):
        """It lands nothing and deletes Nova's row only."""
        with self.held_builds() as let_go:
            server = self.accept(host='host1')
            left = {table: self.rows(table, server['id'])[0]
                    for table in ('build_request', 'request_spec')}
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')
        self.execute('DELETE FROM request_spec', cell='cell1')
        for table, row in left.items():
            self.insert(table, row)
        self.assertEqual([server['id']], [
            one['id'] for one in self.api.get_servers()])
        self.assertRaises(nova_exc.BuildRequestNotFound,
                          objects.BuildRequest.get_by_instance_uuid,
                          self.context, server['id'])
        self._delete_server(server)
        manage.DbCommands().archive_deleted_rows(all_cells=True)
        self.assertEqual({}, self.everything(server['id']))

    def test_id_of_its_mirror_is_given_away_again(self):
        """As by SQLite, and by MySQL 5.7 when it has been restarted."""
        with self.held_builds() as let_go:
            gone = self.accept()
            for table in ('build_requests', 'instance_mappings'):
                self.execute('DELETE FROM %s' % table)   # as stock Nova does
            server = self.accept(host='host1')
            ids = [row['mirror_id'] for one in (gone, server)
                   for row in self.rows('build_request', one['id'])]
            self.assertEqual(1, len(set(ids)), ids)
            self.assertEqual([server['id']], [
                one['id'] for one in self.api.get_servers()])
            let_go()
            self._wait_for_state_change(server, 'ACTIVE')

    def test_deleted_by_a_node_without_the_plugin(self):
        with self.held_builds() as let_go:
            server = self.accept()
            self.execute('DELETE FROM build_requests')   # as stock Nova does
            self.assertRaises(nova_exc.BuildRequestNotFound,
                              objects.BuildRequest.get_by_instance_uuid,
                              self.context, server['id'])
            self.assertEqual([], self.api.get_servers())
            let_go()
            self._wait_for_assert(lambda: self.assertEqual(
                {}, self.everything(server['id'])))


class DeleteBuildTest(base.CloudTestCase):

    def test_deleted_before_it_is_scheduled(self):
        with self.held_builds() as let_go:
            server = self.accept()
            self.api.delete_server(server['id'])
            self.assertEqual([], self.rows('build_request', server['id']))
            self.assertEqual([], self.rows('build_requests', server['id']))
            self._wait_until_deleted(server)
            let_go()
            # Stock Nova leaves its row in request_specs for ever.
            self._wait_for_assert(lambda: self.assertEqual(
                {}, self.everything(server['id'])))

    def test_deleted_while_it_lands(self):
        """Its instance is written, its mapping is not yet."""
        map_to_cell = manager.ComputeTaskManager._map_instance_to_cell

        def delete_first(context, instance, cell):
            self.api.delete_server(instance.uuid)
            return map_to_cell(context, instance, cell)

        self.useFixture(fixtures.MonkeyPatch(
            'nova.conductor.manager.ComputeTaskManager.'
            '_map_instance_to_cell', staticmethod(delete_first)))
        server = self.accept(host='host1')
        self._wait_for_assert(lambda: self.assertEqual(
            [True], [row['deleted'] != 0 for row in
                     self.rows('instances', server['id'], 'cell1')]))
        self._wait_for_assert(lambda: self.assertEqual(
            landed_in('cell1'), self.everything(server['id'])))
        # As any deleted server it goes when it is archived.
        manage.DbCommands().archive_deleted_rows(all_cells=True)
        self.assertEqual({}, self.everything(server['id']))

    def test_mapping_of_a_build_in_flight(self):
        """Whoever deletes it does not mean the server."""
        with self.held_builds():
            server = self.accept()
            objects.InstanceMapping.get_by_instance_uuid(
                self.context, server['id']).destroy()
        expected = dict(ACCEPTED)
        del expected['api', 'instance_mappings']
        self.assertEqual(expected, self.everything(server['id']))

    def test_second_delete_finds_nothing(self):
        with self.held_builds():
            server = self.accept()
            build = objects.BuildRequest.get_by_instance_uuid(
                self.context, server['id'])
            again = objects.BuildRequest.get_by_instance_uuid(
                self.context, server['id'])
            build.destroy()
            self.assertRaises(nova_exc.BuildRequestNotFound, again.destroy)

    def test_quota_refused_after_scheduling(self):
        """Nova's _cleanup_build_artifacts() lands the spec and destroys it."""
        with self.held_builds() as let_go:
            server = self.accept()
            self.flags(instances=0, group='quota')
            let_go()
            self._wait_for_state_change(server, 'ERROR')
            self._wait_for_assert(lambda: self.assertEqual(
                {}, {place: count for place, count
                     in self.everything(server['id']).items()
                     if place[1] not in ('instances', 'instance_mappings')}))

    def test_delete_after_landing(self):
        server = self.boot(host='host1')
        self._delete_server(server)
        # As any deleted server, until it is archived.
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell1'))
