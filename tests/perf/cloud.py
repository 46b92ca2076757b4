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

"""The cloud that is measured, stock or with the plugin.

It is the cloud of the demo, on any database, without what only a test has.
"""

import logging
import math

import fixtures
from futurist import _thread as futurist_thread
from nova.compute import api as compute_api
from nova import context
from nova import objects
from nova.tests.functional.api import client
from oslo_utils import fixture as utils_fixture

from tests import counting
from tests import databases
from tests.perf import equipment
from tests.perf import scenarios
from tools.demo import cloud as demo_cloud

#: Of a user who is no administrator.
ROLES = ['reader', 'member']

#: How many flavors and images a variety of servers has.
FLAVORS, IMAGES = 7, 3


def _migrate(kind, engine):
    """Make the tables of the plugin, with its migrations."""
    from nova_cells_persist.db import migration
    migration.Schema(kind, kind, engine).sync()


class Cloud(demo_cloud.Cloud):
    """A cloud of two cells, each a zone.

    :param plugin: whether nova-cells-persist is on
    :param urls: as of databases.Databases; None for SQLite files, as Nova's
        tests have
    :param log_file: where everything that Nova logs goes
    """

    def __init__(self, plugin, urls, log_file):
        super().__init__(plugin, log_file, say=lambda text: None)
        self._urls = urls

    def setUp(self):
        idle = futurist_thread.ThreadWorker.MAX_IDLE_FOR
        if self._urls:
            self.useFixture(databases.Databases(self._urls))
        self.useFixture(equipment.PromptBus())
        self.managers = self.useFixture(equipment.Managers())
        super().setUp()
        # Nova's tests have idle threads look round a hundred times a second,
        # and format what nobody will read.
        futurist_thread.ThreadWorker.MAX_IDLE_FOR = idle
        root = logging.getLogger()
        root.handlers[:] = [self._handler]
        root.setLevel(logging.INFO)
        for quota in ('server_groups', 'server_group_members'):
            self.flags(group='quota', **{quota: 1000})
        self._client = client.TestOpenStackClient(
            'user', self._client.base_url, self._client.project_id, ROLES)
        self._client.microversion = 'latest'
        self._api = compute_api.API()
        self.databases = self.engines()

    def _log_to_file(self):
        self._handler = super()._log_to_file()
        return self._handler

    def _load_plugin(self):
        if self.plugin:
            # As in production; the fixture has a faster way.
            self.useFixture(fixtures.MonkeyPatch(
                'nova_cells_persist.fixture.make_tables', _migrate))
        super()._load_plugin()

    def _set_up_neighbours(self):
        # Reports of services would be among the statements that are counted.
        self.flags(report_interval=0, service_down_time=24 * 3600)
        super()._set_up_neighbours()

    def _set_up_catalogue(self):
        super()._set_up_catalogue()
        images = [self.glance.image1, self.glance.image2, self.glance.image3]
        flavors = [self._create_flavor(number) for number in range(FLAVORS)]
        # What each server of a variety has, none as the one before it.
        self.variety = [{
            'flavorRef': flavors[number % FLAVORS],
            'imageRef': images[number % IMAGES]['id']}
            for number in range(math.lcm(FLAVORS, IMAGES))]

    def _create_flavor(self, number):
        """Return the id of a flavor like no other one."""
        return self.rest('POST', '/flavors', {'flavor': {
            'name': 'variety-%d' % number, 'vcpus': 1, 'ram': 512 + number,
            'disk': 1}}, expect=200).body['flavor']['id']

    @property
    def side(self):
        return scenarios.PLUGIN if self.plugin else scenarios.STOCK

    @property
    def project_id(self):
        return self._client.project_id

    def count(self):
        """Return a Count of what all databases are sent."""
        return counting.Count(self.databases.values())

    # What a user does

    def accept(self, zone, group=None, **more):
        """Post a server.

        :param zone: 'alpha' is cell1, 'beta' is cell2
        :param group: the uuid of a server group, if it is to be in one
        :param more: what the request has beside, or instead
        :returns: its uuid
        """
        body = {'server': {
            'name': 'server', 'imageRef': self.image['id'],
            'flavorRef': self.flavors['small'], 'networks': 'none',
            'availability_zone': zone, 'metadata': {'role': 'web'}, **more}}
        if group:
            body['os:scheduler_hints'] = {'group': group}
        return self.rest(
            'POST', '/servers', body, expect=202).server['id']

    def accept_only(self, group=None, **more):
        """As accept(), and nobody is told: the server stays a build."""
        with fixtures.MonkeyPatch(
                'nova.conductor.api.ComputeTaskAPI.'
                'schedule_and_build_instances',
                lambda *args, **kwargs: None):
            return self.accept('alpha', group, **more)

    def accept_variety(self):
        """As accept_only(), a variety of servers; return their uuids."""
        with utils_fixture.TimeFixture():   # none is older than another one
            return [self.accept_only(**kind) for kind in self.variety]

    def boot(self, zone):
        """As accept(), and return as soon as the server is ACTIVE."""
        with self.managers.until('_do_build_and_run_instance'):
            return self.accept(zone)

    def resize(self, uuid):
        """Resize a server and return as soon as that is to be verified."""
        with self.managers.until('finish_resize'):
            self.rest('POST', '/servers/%s/action' % uuid, {
                'resize': {'flavorRef': self.flavors['medium']}}, expect=202)

    def expect(self, uuid, status):
        """Wait until all is done, and make sure that it went well."""
        self.managers.wait_until_idle()
        found = self.rest('GET', '/servers/%s' % uuid).server.get('status')
        assert found == status, 'Server %s is %s' % (uuid, found)

    def delete(self, uuid):
        with self.managers.until('terminate_instance'):
            self.rest('DELETE', '/servers/%s' % uuid, expect=204)
        self.managers.wait_until_idle()

    def create_group(self):
        """Return the uuid of a new server group."""
        return self.rest('POST', '/os-server-groups', {'server_group': {
            'name': 'group', 'policy': 'soft-anti-affinity'}},
            expect=200).body['server_group']['id']

    # What nova-api does for him

    def get(self, uuid):
        return self._api.get(
            self._context(self.project_id), uuid, expected_attrs=['flavor'])

    def list_builds(self, project_id, limit):
        return objects.BuildRequestList.get_by_filters(
            self._context(project_id),
            {'deleted': False, 'project_id': project_id}, limit=limit)

    def get_spec(self, uuid):
        return objects.RequestSpec.get_by_instance_uuid(
            self._context(self.project_id), uuid)

    def get_specs(self, uuids):
        return objects.RequestSpec.get_by_instance_uuids(
            self._context(self.project_id), uuids)

    def _context(self, project_id):
        return context.RequestContext('user', project_id, roles=ROLES)
