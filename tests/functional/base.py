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

"""A cloud of two cells on Nova's own fixtures, with the plugin on it."""

import contextlib
import io
import os
import warnings

import fixtures
from oslo_config import cfg
from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import enginefacade
from oslo_serialization import jsonutils
import sqlalchemy as sa

from nova.cmd import manage
from nova.conductor import api as conductor_api
from nova import context as nova_context
from nova.db.api import api as api_db_api
from nova.db.main import api as main_db_api
from nova import objects
from nova.objects import instance_mapping as stock_mapping
from nova.policies import base as base_policies
from nova.policies import servers as servers_policies
from nova.tests import fixtures as nova_fixtures
from nova.tests.functional import integrated_helpers

from nova_cells_persist.db import rows
from nova_cells_persist import fixture

from tests import databases
from tests import patience
from tests import sharing

CONF = cfg.CONF

#: The kind of database server to run on, one of servers.KINDS; SQLite if it
#: is not set.
KIND = os.environ.get('TEST_DATABASE')

sharing.share_statements()


class DeadDatabase:
    """The enginefacade of a database that is not there."""

    def __getattr__(self, name):
        raise db_exc.DBConnectionError('nothing answers')


class PluggedMixin:
    """Put the plugin on one of Nova's test cases, and look what it wrote."""

    def setUp(self):
        if KIND:
            self.useFixture(databases.OfServer(KIND))
        # With each connection SQLite reads the schema anew; oslo.db keeps
        # none.
        self.useFixture(fixtures.MonkeyPatch(
            'sqlalchemy.pool.NullPool', sa.pool.QueuePool))
        self.useFixture(sharing.SharedRoutes())
        super().setUp()
        self.context = nova_context.get_admin_context()

    def _setup_cells(self):
        # Of nova.test.TestCase: the databases are there after it and no
        # service has started.
        super()._setup_cells()
        self.useFixture(fixture.CellsPersistFixture())

    # What stands where

    def rows(self, table, server_id, cell=None):
        """Return the rows of a server.

        :param cell: the name of the cell; the API database if None
        :returns: a list of dicts
        """
        column = 'uuid' if table == 'instances' else 'instance_uuid'
        query = sa.text('SELECT * FROM %s WHERE %s = :uuid ORDER BY id' %
                        (table, column))
        with self.engine(cell).connect() as connection:
            return [dict(row._mapping) for row in
                    connection.execute(query, {'uuid': server_id})]

    def execute(self, statement, cell=None, **values):
        """Execute a statement in the API database or in a cell's."""
        with self.engine(cell).begin() as connection:
            return connection.execute(sa.text(statement), values).rowcount

    def insert(self, table, row, cell=None):
        """Insert a row, as rows() returns it."""
        self.execute('INSERT INTO %s (%s) VALUES (%s)' % (
            table, ', '.join(row), ', '.join(':' + name for name in row)),
            cell, **row)

    def put_in_two_cells(self, server_id):
        """Have a server of cell1 be in cell2 too."""
        row = dict(self.rows('instances', server_id, 'cell1')[0], id=100)
        row.pop('compute_id', None)
        self.insert('instances', row, 'cell2')

    def lose_instance(self, server_id, cell):
        """Delete a server from a cell, with all that refers to it."""
        with self.engine(cell).begin() as connection:
            rows.delete_instance(connection, server_id)

    def engine(self, cell=None):
        if cell is None:
            return api_db_api.get_engine()
        with self.targeted(cell) as cctxt:
            return main_db_api.get_engine(context=cctxt)

    def targeted(self, cell):
        return nova_context.target_cell(
            self.context, self.cell_mappings[cell])

    def revisions(self, server_id, cell=None):
        """Return [(revision, event)] of a server in one database."""
        return [(row['revision'], row['event'])
                for row in self.rows('request_spec', server_id, cell)]

    def flavor_of(self, row):
        """Return the flavorid in a row of request_spec or request_specs."""
        spec = jsonutils.loads(row['spec'])['nova_object.data']
        return spec['flavor']['nova_object.data']['flavorid']

    def flavor_persisted(self, server_id):
        """Return the flavorid in Nova's own row."""
        return self.flavor_of(self.rows('request_specs', server_id)[0])

    def wait_until_buried(self, server):
        """Wait for the end of a build for which there is no host.

        The server is shown as ERROR a little before its build goes.

        :returns: the server
        """
        server = self._wait_for_state_change(server, 'ERROR')
        self._wait_for_assert(lambda: self.assertEqual(
            [], self.rows('build_request', server['id'])))
        return server

    def everything(self, server_id):
        """Return {(database, table): number of rows}, of all that has any.

        Of the tables that a server leaves something in while it is built.
        """
        found = {}
        for table in ('request_specs', 'build_requests', 'instance_mappings',
                      'request_spec', 'build_request',
                      'build_request_item'):
            found['api', table] = len(self.rows(table, server_id))
        for cell in self.cell_mappings:
            for table in ('instances', 'request_spec'):
                found[cell, table] = len(self.rows(table, server_id, cell))
        return {place: count for place, count in found.items() if count}

    @contextlib.contextmanager
    def cell_level(self, cell):
        """Be a process of that cell, which knows no API database.

        Yields a context such as one that came over the message bus.
        """
        facade = self.engine_facade(cell)
        connection = CONF.api_database.connection
        CONF.set_override('connection', None, group='api_database')
        put_back = api_db_api.context_manager.patch_factory(
            enginefacade.transaction_context())
        try:
            with fixtures.MonkeyPatch('nova.db.main.api.get_context_manager',
                                      lambda context: facade):
                yield nova_context.get_admin_context()
        finally:
            put_back()
            CONF.clear_override('connection', group='api_database')
            self.assertEqual(connection, CONF.api_database.connection)

    def dead_cell(self, cell):
        """Return a context manager in which that cell does not answer."""
        set_target_cell = nova_context.set_target_cell

        def targeted(cctxt, mapping):
            set_target_cell(cctxt, mapping)
            if mapping and mapping.uuid == self.cell_mappings[cell].uuid:
                cctxt.db_connection = DeadDatabase()

        return fixtures.MonkeyPatch('nova.context.set_target_cell', targeted)

    def engines(self):
        """Return {name: Engine}, of all cells, and of the API as ``api``."""
        return dict({cell: self.engine(cell) for cell in self.cell_mappings},
                    api=self.engine())

    def engine_facade(self, cell):
        with self.targeted(cell) as cctxt:
            return cctxt.db_connection

    def spec(self, server_id, context=None):
        return objects.RequestSpec.get_by_instance_uuid(
            context or self.context, server_id)


class CloudTestCase(PluggedMixin, patience.Patient,
                    integrated_helpers.ProviderUsageBaseTestCase):
    """host1 in cell1, host3 in cell2; what needs host2 and host4 adds them.

    A real nova-api, super-conductor, scheduler, placement and computes with
    the fake driver. One conductor serves all.
    """

    NUMBER_OF_CELLS = 2
    compute_driver = 'fake.MediumFakeDriver'
    HOSTS = {'host1': 'cell1', 'host3': 'cell2'}

    def setUp(self):
        super().setUp()
        for host, cell in self.HOSTS.items():
            self._start_compute(host, cell_name=cell)
        self.flavors = sorted(self.api.get_flavors(),
                              key=lambda flavor: flavor['ram'])

    # What a user does

    def boot(self, host=None, flavor=0, **kwargs):
        """Boot a server and wait until it is ACTIVE."""
        return self._create_server(
            host=host, networks='none', flavor_id=self.flavors[flavor]['id'],
            **kwargs)

    def accept(self, body=None, hints=None, **kwargs):
        """Post a server and do not wait; use inside held_builds()."""
        server = self._build_server(
            networks='none', flavor_id=self.flavors[0]['id'], **kwargs)
        return self.api.post_server({
            'server': dict(server, **body or {}),
            'os:scheduler_hints': hints or {}})

    def boot_in_volume(self, body=None, **kwargs):
        """Boot a server from a volume of Nova's CinderFixture."""
        self.useFixture(nova_fixtures.CinderFixture(self))
        return self._wait_for_state_change(self.accept(dict({
            'block_device_mapping_v2': [{
                'uuid': nova_fixtures.CinderFixture.IMAGE_BACKED_VOL,
                'boot_index': 0, 'source_type': 'volume',
                'destination_type': 'volume'}]}, **body or {}), **kwargs),
            'ACTIVE')

    def map_one_instance(self):
        """Run ``nova-manage cell_v2 map_instances`` with more left to do."""
        with warnings.catch_warnings(), contextlib.redirect_stdout(
                io.StringIO()):
            # In the mapping that is its mark it has no uuid.
            warnings.simplefilter('ignore', FutureWarning)
            self.assertEqual(1, manage.CellV2Commands().map_instances(
                self.cell_mappings['cell1'].uuid, max_count=1))

    def create_group(self):
        """Return the uuid of a new server group."""
        return self.api.post_server_groups(
            {'name': 'g', 'policy': 'anti-affinity'})['id']

    @contextlib.contextmanager
    def held_builds(self):
        """Hold back what nova-api casts to the super-conductor for a build.

        Yields a function that lets what was held go: all of it, or as many as
        it is told. What is still held at the end is lost, as a cast can be.
        """
        held = []
        cast = conductor_api.ComputeTaskAPI.schedule_and_build_instances

        def hold(*args, **kwargs):
            held.append((args, kwargs))

        def let_go(count=None):
            for _ in range(len(held) if count is None else count):
                args, kwargs = held.pop(0)
                cast(*args, **kwargs)

        with fixtures.MonkeyPatch(
                'nova.conductor.api.ComputeTaskAPI.'
                'schedule_and_build_instances', hold):
            yield let_go

    def deleted_under_a_conductor_without_the_plugin(self):
        """Delete a build, and return the id of the server.

        The super-conductor then finds it gone, and deletes its mapping as
        stock Nova does.
        """
        with self.held_builds() as let_go:
            server_id = self.accept()['id']
            self.api.delete_server(server_id)
            with fixtures.MonkeyPatch(
                    'nova_cells_persist.objects.instance_mapping.'
                    'InstanceMapping._destroy_in_db',
                    stock_mapping.InstanceMapping._destroy_in_db):
                let_go()
                self._wait_for_assert(lambda: self.assertEqual(
                    [], self.rows('instance_mappings', server_id)))
        return server_id

    def skip_if_stock_cannot(self, action):
        """Skip what stock Nova fails to do on PostgreSQL.

        There it gives columns of integers booleans, when it archives a server
        and when it copies one to another cell.
        """
        if KIND == 'postgresql':
            self.skipTest('Stock Nova cannot %s on PostgreSQL' % action)

    def allow_cross_cell_resize(self):
        self.skip_if_stock_cannot('move a server to another cell')
        self.policy.set_rules({
            servers_policies.CROSS_CELL_RESIZE: base_policies.RULE_ADMIN_API},
            overwrite=False)
        self.flags(rpc_response_timeout=10)
        self.flags(long_rpc_timeout=60)
