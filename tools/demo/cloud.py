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

"""The cloud of the demo: one process, real Nova services, two cells.

Everything here is Nova's own test equipment, which its wheel ships: nova-api
behind a WSGI interceptor, one conductor (super-conductor and cell conductor
at once), the scheduler, placement, an API database, cell0, and two cells with
two fake-driver computes each. The databases are SQLite files, and the
services run in native threads, Nova's default.
"""

import contextlib
import io
import json
import logging
import os
import sys
import threading
import time

import fixtures
from nova.api.openstack import api_version_request
from nova.cmd import manage
from nova.conductor import manager as conductor_manager
from nova import context
from nova.db.api import api as api_db
from nova.db.main import api as main_db
from nova import exception
from nova import objects
from nova.scheduler import manager as scheduler_manager
from nova import test
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import fixtures as func_fixtures

from tools.demo import errors

# host -> cell; each cell is an availability zone, as many operators have it,
# so that the story can choose where a server lands.
HOSTS = {
    'alpha-1': 'cell1',
    'alpha-2': 'cell1',
    'beta-1': 'cell2',
    'beta-2': 'cell2',
}
ZONES = {'cell1': 'alpha', 'cell2': 'beta'}

# The fake hosts have 8 GiB each, and the quota is 50 GiB: "giant" is allowed,
# and fits nowhere.
FLAVORS = {
    'small': {'vcpus': 1, 'ram': 512, 'disk': 1},
    'medium': {'vcpus': 2, 'ram': 1024, 'disk': 2},
    'large': {'vcpus': 4, 'ram': 2048, 'disk': 4},
    'giant': {'vcpus': 8, 'ram': 40960, 'disk': 8},
}


class Answer:
    """What the REST API said to one request."""

    def __init__(self, method, path, status, body):
        self.method = method
        self.path = path
        self.status = status
        self.body = body

    @property
    def server(self):
        """The server in the body, {} when there is none."""
        return self.body.get('server', {})


class Gate(fixtures.Fixture):
    """Holds the scheduler, so that a server stays without a cell.

    A build is held where it is held in a busy cloud: the super-conductor has
    taken the cast and waits for the scheduler's answer.
    """

    def __init__(self):
        super().__init__()
        self._open = threading.Event()
        self._open.set()
        self._arrived = threading.Event()

    def _setUp(self):
        select_destinations = (
            scheduler_manager.SchedulerManager.select_destinations)

        def held(manager, *args, **kwargs):
            self._arrived.set()
            self._open.wait()
            return select_destinations(manager, *args, **kwargs)

        self.useFixture(fixtures.MonkeyPatch(
            'nova.scheduler.manager.SchedulerManager.select_destinations',
            held))
        # A story that fails with the gate shut must not hang the shutdown.
        self.addCleanup(self.open)

    def shut(self):
        self._arrived.clear()
        self._open.clear()

    def open(self):
        self._open.set()

    def wait_for_arrival(self, timeout):
        """Wait until a request stands before the gate; False if none came."""
        return self._arrived.wait(timeout)


class Tasks(fixtures.Fixture):
    """Counts what the conductor has in hand.

    A server's status changes before its conductor is through: a resize is
    ACTIVE again on the destination while the super-conductor still saves the
    spec. Rows are read only when nothing is in hand any more.
    """

    METHODS = ('schedule_and_build_instances', 'migrate_server')

    def __init__(self):
        super().__init__()
        self._in_hand = 0
        self._changed = threading.Condition()

    def _setUp(self):
        for name in self.METHODS:
            self.useFixture(fixtures.MonkeyPatch(
                'nova.conductor.manager.ComputeTaskManager.%s' % name,
                self._counted(getattr(
                    conductor_manager.ComputeTaskManager, name))))

    def _counted(self, method):
        def counted(*args, **kwargs):
            self._add(1)
            try:
                return method(*args, **kwargs)
            finally:
                self._add(-1)
        return counted

    def _add(self, number):
        with self._changed:
            self._in_hand += number
            self._changed.notify_all()

    def wait_until_done(self, timeout):
        """Wait until nothing is in hand; False if that took too long."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._in_hand, timeout)


class Cloud(test.TestCase):
    """A whole cloud, for use in a ``with`` statement.

    It is a TestCase because Nova's set-up of databases, cells, configuration
    and RPC lives in its base TestCase; no test runner is involved.

    :param plugin: whether nova-cells-persist is on
    :param log_file: where everything that Nova logs goes
    :param say: called with a short text before each stage of the set-up
    """

    NUMBER_OF_CELLS = 2
    REQUIRES_LOCKING = True

    def __init__(self, plugin, log_file, say):
        super().__init__('runTest')
        self.plugin = plugin
        self._log_file = log_file
        self._say = say

    def runTest(self):
        """Only here because unittest asks for a method to run."""

    def __enter__(self):
        try:
            self.setUp()
        except BaseException:
            # Ctrl-C too: services that run would keep the process alive.
            self.doCleanups()
            raise
        return self

    def __exit__(self, *exc_info):
        self._say('taking the cloud down')
        self.doCleanups()

    def setUp(self):
        self._say('creating the databases: API, cell0, cell1, cell2')
        handler = self._log_to_file()
        super().setUp()
        # Again: Nova's own logging fixture has put all handlers away.
        self.useFixture(fixtures.LogHandler(handler, nuke_handlers=False))
        self._load_plugin()
        self._say('starting placement, conductor and scheduler')
        self._set_up_neighbours()
        self.tasks = self.useFixture(Tasks())
        self.gate = self.useFixture(Gate())
        self.start_service('conductor')
        self.start_service('scheduler')
        for host, cell_name in HOSTS.items():
            self._say('starting nova-compute on %s in %s' % (host, cell_name))
            self._start_compute(host, cell_name=cell_name)
        self._say('starting nova-api')
        self._set_up_api()
        self._say('creating flavors and availability zones')
        self._set_up_catalogue()

    def _log_to_file(self):
        handler = logging.FileHandler(self._log_file)
        handler.setLevel(logging.INFO)
        handler.setFormatter(logging.Formatter(
            '%(asctime)s %(levelname)s [%(name)s] %(message)s'))
        # For good: the services' threads log to the very end.
        logging.getLogger().handlers[:] = [handler]
        return handler

    def _load_plugin(self):
        if self.plugin:
            self._say('loading the plugin and creating its tables')
            # Imported late: the run on stock Nova must work without it.
            from nova_cells_persist import fixture
            self.useFixture(fixture.CellsPersistFixture())
        # A comparison of the plugin with itself would look fine, and mean
        # nothing.
        stock = (objects.RequestSpec.__module__ ==
                 'nova.objects.request_spec')
        if stock == self.plugin:
            raise errors.DemoError(
                'nova.objects.RequestSpec is %s, but this run was to be %s.' %
                ('Nova\'s own' if stock else 'replaced',
                 'with the plugin' if self.plugin else 'on stock Nova'))

    def _set_up_neighbours(self):
        self.flags(compute_driver='fake.MediumFakeDriver')
        # Nova's services find the first cell's message bus by default; here
        # all buses are one, in memory.
        self.flags(transport_url=self.cell_mappings['cell1'].transport_url)
        self.useFixture(nova_fixtures.RealPolicyFixture())
        self.useFixture(nova_fixtures.NeutronFixture(self))
        self.useFixture(nova_fixtures.CinderFixture(self))
        self.glance = self.useFixture(nova_fixtures.GlanceFixture(self))
        self.useFixture(func_fixtures.PlacementFixture())

    def _set_up_api(self):
        paste = os.path.join(sys.prefix, 'etc', 'nova', 'api-paste.ini')
        if not os.path.exists(paste):
            raise errors.DemoError(
                'Nova\'s wheel installs api-paste.ini as %s, and it is not '
                'there: install Nova into this environment with pip.' % paste)
        self.flags(api_paste_config=paste, group='wsgi')
        api = self.useFixture(nova_fixtures.OSAPIFixture())
        # Administrator, because only he sees hosts; newest microversion, as
        # the pinned zone of a server (2.96) comes from its RequestSpec.
        self._client = api.admin_api
        self._client.microversion = (
            api_version_request.max_api_version().get_string())

    def _set_up_catalogue(self):
        self.image = self.glance.image1
        self.flavors = {}
        for name, size in FLAVORS.items():
            answer = self.rest('POST', '/flavors', {
                'flavor': dict(size, name=name)}, expect=200)
            self.flavors[name] = answer.body['flavor']['id']
        for cell_name, zone in ZONES.items():
            answer = self.rest('POST', '/os-aggregates', {
                'aggregate': {'name': cell_name, 'availability_zone': zone}},
                expect=200)
            for host in HOSTS:
                if HOSTS[host] == cell_name:
                    self.rest(
                        'POST', '/os-aggregates/%s/action' %
                        answer.body['aggregate']['id'],
                        {'add_host': {'host': host}}, expect=200)

    def rest(self, method, path, body=None, expect=None):
        """One request to the REST API.

        :param path: path and query, after the API's version
        :param body: what to send as JSON, or None
        :param expect: the HTTP status without which the demo cannot go on
        :returns: an Answer
        :raises errors.DemoError: the answer has another status than expected
        """
        response = self._client.api_request(
            path, method=method,
            body=None if body is None else json.dumps(body))
        try:
            content = response.json() if response.content else {}
        except ValueError:
            content = {}
        if expect is not None and response.status_code != expect:
            raise errors.DemoError(
                '%s %s was answered with HTTP %s instead of %s: %s' %
                (method, path, response.status_code, expect,
                 response.text[:200]))
        return Answer(method, path, response.status_code, content)

    def wait_for_server(self, server_id, status, timeout=30):
        """Ask for a server until it has a status.

        :param status: the status to wait for; None to wait until the server
            is not found any more
        :returns: the last Answer, whatever it says in the end
        """
        deadline = time.monotonic() + timeout
        # An ERROR that was not waited for does not go away by waiting, while
        # a deleted server may be on its way from any status.
        ends = (status, 'ERROR') if status else ()
        while True:
            answer = self.rest('GET', '/servers/%s' % server_id)
            if (answer.status != 200 or answer.server['status'] in ends or
                    time.monotonic() > deadline):
                return answer
            time.sleep(0.1)

    def failing_hosts(self):
        """Return a context manager: no host can give a server away in it.

        The host finds that out when all else is prepared; the server stays
        where it is, and goes on.
        """
        def refuse(*args, **kwargs):
            raise exception.InstanceFaultRollback(
                exception.ResizeError(reason='the disk could not be copied'))

        return fixtures.MonkeyPatch(
            'nova.virt.fake.FakeDriver.migrate_disk_and_power_off', refuse)

    def archive(self):
        """Run ``nova-manage db archive_deleted_rows`` over all cells.

        :returns: (exit status, what it printed)
        """
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            status = manage.DbCommands().archive_deleted_rows(
                all_cells=True, until_complete=True, purge=True, verbose=True)
        return status, printed.getvalue()

    def engines(self):
        """The engine of each database by its name, the API database first."""
        found = {'API': api_db.get_engine()}
        for name, mapping in sorted(self.cell_mappings.items()):
            with context.target_cell(
                    context.get_admin_context(), mapping) as cctxt:
                found[name] = main_db.get_engine(context=cctxt)
        return found
