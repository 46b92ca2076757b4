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

"""What is asked of the API database, and what is not."""

from nova import context as nova_context
from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.objects import build_request
from tests import counting
from tests.functional import base


class StatementsTest(base.CloudTestCase):

    microversion = 'latest'

    def asked(self):
        """Return a Count of what the API database is asked."""
        return counting.Count([self.engine()])

    def test_specs_of_many_groups(self):
        if not hasattr(objects.RequestSpec, 'get_by_instance_uuids'):
            self.skipTest('this Nova reads one at a time')
        counts, uuids = set(), []
        with self.held_builds():
            for number in range(3):
                uuids.append(self.accept(
                    hints={'group': self.create_group()})['id'])
                with self.asked() as asked:
                    specs = objects.RequestSpec.get_by_instance_uuids(
                        self.context, uuids)
                self.assertEqual(number + 1, len({
                    spec.instance_group.uuid for spec in specs}))
                self.assertEqual(
                    [[spec.instance_uuid] for spec in specs],
                    [spec.instance_group.members for spec in specs])
                counts.add(len(asked.statements))
        self.assertEqual({4}, counts)   # specs, groups, members, policies

    def test_specs_are_the_same_one_by_one(self):
        """What they have alike is copied, and each has its own of it."""
        if not hasattr(objects.RequestSpec, 'get_by_instance_uuids'):
            self.skipTest('this Nova reads one at a time')
        self.api.post_extra_spec(self.flavors[0]['id'], {
            'extra_specs': {'hw:cpu_policy': 'shared'}})
        group = self.create_group()
        with self.held_builds():
            uuids = sorted(self.accept(hints={'group': group})['id']
                           for _ in range(3))
        specs = objects.RequestSpec.get_by_instance_uuids(
            self.context, uuids)
        specs.sort(key=lambda spec: spec.instance_uuid)
        for uuid, spec in zip(uuids, specs, strict=True):
            self.assertEqual(self.spec(uuid).obj_to_primitive(),
                             spec.obj_to_primitive())
        first, *others = specs
        first.flavor.extra_specs['hw:cpu_policy'] = 'dedicated'
        first.image.properties.hw_machine_type = 'q35'
        first.scheduler_hints['group'] = []
        first.instance_group.members.append(uuids[0])
        for spec in others:
            self.assertEqual(self.spec(spec.instance_uuid).obj_to_primitive(),
                             spec.obj_to_primitive())

    def test_group_of_a_spec_is_gone(self):
        if not hasattr(objects.RequestSpec, 'get_by_instance_uuids'):
            self.skipTest('this Nova reads one at a time')
        group = self.create_group()
        with self.held_builds():
            server = self.accept(hints={'group': group})
            self.api.delete_server_group(group)
            spec, = objects.RequestSpec.get_by_instance_uuids(
                self.context, [server['id']])
        self.assertIsNone(spec.instance_group)

    def test_specs_of_groups_that_are_gone(self):
        if not hasattr(objects.RequestSpec, 'get_by_instance_uuids'):
            self.skipTest('this Nova reads one at a time')
        groups = [self.create_group() for _ in range(3)]
        user = nova_context.RequestContext(
            'user', self.api.project_id, is_admin=False)
        counts = []
        with self.held_builds():
            uuids = [self.accept(hints={'group': group})['id']
                     for group in groups]
            for group in groups[:2]:
                self.api.delete_server_group(group)
            for context in (self.context, user):
                with self.asked() as asked:
                    specs = objects.RequestSpec.get_by_instance_uuids(
                        context, uuids)
                self.assertEqual({groups[2]}, {
                    spec.instance_group.uuid for spec in specs
                    if spec.instance_group})
                counts.append(len(asked.statements))
        # Of a user's it is asked too whether others than he can see them.
        self.assertEqual([4, 5], counts)

    def test_boot_and_archive_lock_in_one_order(self):
        """MySQL would have one of them begin again, which is an HTTP 500."""
        with self.held_builds():
            with self.asked() as boot:
                server_id = self.accept()['id']
            with self.asked() as archive:
                objects.RequestSpec.destroy_bulk(self.context, [server_id])
        for asked, verb in ((boot, 'INSERT INTO'), (archive, 'DELETE FROM')):
            self.assertEqual(['request_specs', 'request_spec'], [
                table for statement in asked.statements
                for table in ('request_specs', 'request_spec')
                if statement.startswith('%s %s ' % (verb, table))], verb)

    def test_existence_of_a_build(self):
        """The conductor reads no JSON of a build to see that it is there."""
        with self.held_builds() as let_go:
            server = self.accept(host='host1')
            with self.asked() as asked:
                let_go()
                self._wait_for_assert(lambda: self.assertEqual(
                    [], self.rows('build_request', server['id'])))
        self._wait_for_state_change(server, 'ACTIVE')
        asked = [each for each in asked.statements
                 if 'SELECT build_request.id' in each.replace('\n', ' ')]
        self.assertNotEqual([], asked)
        for each in asked:
            self.assertNotIn('request_obj', each)

    def test_what_else_of_a_build(self):
        with self.held_builds():
            server = self.accept({'name': 'a'})
            with build_request.only_existence(self.context):
                build = objects.BuildRequest.get_by_instance_uuid(
                    self.context, server['id'])
            self.assertEqual('a', build.instance.display_name)
            self.assertEqual(1, len(build.block_device_mappings))
            with build_request.only_existence(self.context):
                build = objects.BuildRequest.get_by_instance_uuid(
                    self.context, server['id'])
            build.destroy()
            self.assertRaises(nova_exc.BuildRequestNotFound,
                              getattr, build, 'instance')
            with build_request.only_existence(self.context):
                self.assertRaises(
                    nova_exc.BuildRequestNotFound,
                    objects.BuildRequest.get_by_instance_uuid,
                    self.context, server['id'])
