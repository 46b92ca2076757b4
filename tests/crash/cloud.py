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


"""A cloud of two cells in one thread, whose services can be killed."""

import contextlib
import datetime
import io
import logging
import os

import fixtures
from oslo_config import cfg
from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova.cmd import manage
from nova.db.main import api as main_db_api
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional.api import client

from nova_cells_persist.db import models

from tests.crash import bus
from tests.crash import ledger
from tests.crash import points
from tests.functional import base
from tests.functional import command

CONF = cfg.CONF


class Cloud(command.CommandMixin, base.CloudTestCase):
    """Computes in two cells, each with a conductor of its cell in effect.

    What a compute does, and the conductor that it casts to, run as a process
    of their cell: without the API database. What is asked by HTTP is done,
    with all that comes of it, when the request returns.

    :cvar STOCK: whether the plugin is left out
    :ivar points: the points.Points of all services
    :ivar bus: the bus.Bus between them
    """

    STOCK = False
    # A service that dies leaves its share of them, for "nova-manage placement
    # audit" to take away: these have enough.
    compute_driver = 'fake.FakeDriver'

    def setUp(self):
        # Nova says more than the result of a test can hold.
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        # Who has died removes no build any more.
        self.useFixture(fixtures.MonkeyPatch(
            'nova_cells_persist.cmd.audit.LANDING', datetime.timedelta()))
        self.points = points.Points()
        self.bus = bus.Bus(self.points, self.level, self.HOSTS.get)
        super().setUp()
        for name, engine in self.engines().items():
            self.points.watch(name, engine)
        sa.event.listen(self.engine(), 'before_cursor_execute',
                        self._out_of_reach)
        # A move to it changes more than the flavor of a request spec.
        self.api.post_extra_spec(self.flavors[1]['id'], {
            'extra_specs': {ledger.NUMA_NODES: '1'}})
        self._placement_is_told()
        self._do_all_at_once()

    def _setup_cells(self):
        # The databases are there after it and no service has started.
        if self.STOCK:
            super(base.PluggedMixin, self)._setup_cells()
        else:
            super()._setup_cells()
        self._cell_databases = main_db_api.get_context_manager.__self__
        self._connection = CONF.api_database.connection
        self._is_of_cell = False
        # Nor does a thread of theirs report that they are up.
        self.flags(report_interval=0, service_down_time=10 ** 9)
        self.useFixture(self.bus)
        self.useFixture(nova_fixtures.SpawnIsSynchronousFixture())

    # Where a service runs

    @contextlib.contextmanager
    def level(self, cell):
        """Be a process of a cell, or one at the API level if it is None."""
        before = self._is_of_cell, main_db_api.get_context_manager
        self._is_of_cell = cell is not None
        CONF.set_override('connection', None if cell else self._connection,
                          group='api_database')
        facade = cell and self.engine_facade(cell)
        main_db_api.get_context_manager = (
            (lambda context: facade) if cell
            else self._cell_databases._wrap_get_context_manager)
        try:
            yield
        finally:
            self._is_of_cell, main_db_api.get_context_manager = before
            CONF.set_override(
                'connection', None if self._is_of_cell else self._connection,
                group='api_database')

    def _out_of_reach(self, connection, cursor, statement, *args):
        if self._is_of_cell and self.points.acting:
            raise db_exc.CantStartEngineError(
                'A process of a cell has no [api_database]connection.')

    # What is done

    def _do_all_at_once(self):
        request = client.TestOpenStackClient.request

        def served(asking, url, method='GET', *args, **kwargs):
            try:
                with self.points.service('api', method):
                    return request(asking, url, method, *args, **kwargs)
            finally:
                self.bus.deliver()

        self.useFixture(fixtures.MonkeyPatch(
            'nova.tests.functional.api.client.TestOpenStackClient.request',
            served))

    def _placement_is_told(self):
        from nova.scheduler.client import report
        for verb in ('put', 'post', 'delete'):
            self._is_point(report.SchedulerReportClient, verb)

    def _is_point(self, owner, verb):
        wrapped = getattr(owner, verb)

        def told(reporter, url, *args, **kwargs):
            self.points.reach('placement', '%s %s' % (
                verb, url.split('/')[1]))
            try:
                return wrapped(reporter, url, *args, **kwargs)
            finally:
                self.points.done()

        self.useFixture(fixtures.MockPatchObject(owner, verb, told))

    def revive(self):
        """Have what was killed begin anew, as a machine restarts a service.

        What was cast in the meantime reaches it then.
        """
        # Nova's fixture does not put this back when a service dies.
        self._cell_databases._last_ctxt_mgr = (
            self._cell_databases._default_ctxt_mgr)
        died = self.points.died
        if died and died.service.startswith('compute'):
            cell = died.service.split()[1]
            for host in self.HOSTS:
                if self.HOSTS[host] == cell:
                    self.computes[host] = self.restart_compute_service(
                        self.computes[host])
        self.bus.deliver()

    # What an operator and a user do afterwards

    def has(self, table):
        """Return whether there is a table of that name, on this side."""
        return not self.STOCK or table not in models.TABLE_NAMES

    def uuids(self):
        """Return the uuids of all servers of which there is a row."""
        found = set()
        for table in ('request_specs', 'instance_mappings', 'build_requests'):
            found.update(self._column(table, 'instance_uuid'))
        for cell in self.cell_mappings:
            found.update(self._column('instances', 'uuid', cell))
        return found

    def _column(self, table, column, cell=None):
        with self.engine(cell).connect() as connection:
            return connection.execute(sa.text(
                'SELECT %s FROM %s' % (column, table))).scalars().all()

    def mend(self):
        """Have the plugin mend what it finds; stock has nothing for that.

        :returns: a list of (ledger.LOST, text), of what it could not mend
        """
        if self.STOCK:
            return []
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'undo')
        found = []
        for name, *argv in (('heal', '--yes', '--undo-file', path),
                            ('audit',)):
            logging.disable(logging.WARNING)   # what a command says, it logs
            status, output, errors = self.command(
                name, '--older-than', '0', '-f', 'value', *argv)
            logging.disable(logging.CRITICAL)
            if status:
                found.append((ledger.LOST, '%s: %s' % (
                    name, output + errors)))
        return found

    def reset_state(self, uuid):
        """Free a server of the task of a service that died.

        Nor can one be confirmed whose confirmation was cut short.

        :returns: whether it was in need of it
        """
        server = self._show(uuid)
        if server is None or server['status'] == 'BUILD':
            return False
        if not (server.get('OS-EXT-STS:task_state') or
                server['status'] == 'ERROR' or
                server['status'] == 'VERIFY_RESIZE' and
                not self._confirm(uuid)):
            return False
        self.api.post_server_action(
            uuid, {'os-resetState': {'state': 'active'}})
        return True

    def _confirm(self, uuid):
        try:
            self.api.post_server_action(uuid, {'confirmResize': None})
        except client.OpenStackApiException:
            return False
        # SHUTOFF if Nova has not seen the guest run since it was unshelved.
        return self._show(uuid)['status'] in ('ACTIVE', 'SHUTOFF')

    def start_guest(self, uuid):
        """Start the guest of a server that may have lost it underway.

        As Nova says to do after a move to another cell that has failed.
        """
        host = self._show(uuid)['OS-EXT-SRV-ATTR:host']
        if uuid not in self.computes[host].manager.driver.instances:
            self.api.post_server_action(uuid, {'reboot': {'type': 'HARD'}})

    def state(self, uuid):
        """Return what a user and an operator see of a server, if they do."""
        server = self._show(uuid)
        return server and [
            server['status'], server.get('OS-EXT-STS:task_state'),
            server['flavor'].get('original_name'),
            self.HOSTS.get(server.get('OS-EXT-SRV-ATTR:host'))]

    def can_be_resized(self, uuid):
        server = self._show(uuid)
        return bool(server and server['status'] == 'ACTIVE' and
                    server['OS-EXT-SRV-ATTR:host'] and
                    server['OS-SRV-USG:launched_at'])

    def try_resize(self, uuid):
        """Resize a server and confirm it.

        :returns: a list of (ledger.LOST, text)
        """
        try:
            self.api.post_server_action(uuid, {
                'resize': {'flavorRef': self.flavors[2]['id']}})
        except client.OpenStackApiException as exc:
            return [(ledger.LOST, 'cannot be resized: %s' % exc)]
        return [] if self._confirm(uuid) else [
            (ledger.LOST, 'its resize cannot be confirmed')]

    def try_delete(self, uuid):
        """Delete a server.

        :returns: a list of (ledger.LOST, text)
        """
        if self._show(uuid) is None:
            return []
        try:
            self.api.delete_server(uuid)
        except client.OpenStackApiException as exc:
            return [(ledger.LOST, 'cannot be deleted: %s' % exc)]
        return [(ledger.LOST, 'deleted, and shown')] if self._show(
            uuid) else []

    def archive(self):
        """Archive the rows of servers that were deleted, and purge them.

        For SQLite gives their ids to new rows, which could not be archived
        beside them.
        """
        with self.points.service('nova-manage'), \
                contextlib.redirect_stdout(io.StringIO()):
            commands = manage.DbCommands()
            commands.archive_deleted_rows(all_cells=True, until_complete=True)
            commands.purge(purge_all=True, all_cells=True)

    def _show(self, uuid):
        try:
            return self.api.get_server(uuid)
        except client.OpenStackApiNotFoundException:
            return None
