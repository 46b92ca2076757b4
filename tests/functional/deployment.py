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

"""The databases of a deployment, and the commands as an operator runs them."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import uuid
import warnings

import fixtures
from oslo_config import cfg
from oslo_db.sqlalchemy import enginefacade
from oslotest import base
import sqlalchemy as sa

from nova.db.api import api as api_db_api
from nova.db.api import models as api_models
from nova.db.main import api as main_db_api
from nova.db.main import models as main_models
from nova import rpc

from nova_cells_persist.cmd import main
from nova_cells_persist import plugin

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

CELL0 = '00000000-0000-0000-0000-000000000000'
API_DATABASE = 'API database'
CELLS = ['database of cell %s' % name for name in ('cell0', 'cell1', 'cell2')]
ALL = [API_DATABASE] + CELLS

# Port 1 is reserved: nothing answers there.
DEAD = 'mysql+pymysql://nova:s3cret@127.0.0.1:1/nova'
# Its password has an @ that should have been written as %40.
AT = 'mysql+pymysql://nova:geh@s3cret@127.0.0.1:1/nova'


class CommandTestCase(base.BaseTestCase):
    """An API database and the databases of cell0, cell1 and cell2."""

    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.write_conf(('api_database', self.url('api')),
                        ('database', self.url('cell0')))
        engine = self.engine('api')
        api_models.CellMapping.__table__.create(engine)
        self.cells = {}
        for name in ('cell0', 'cell1', 'cell2'):
            self.map_cell(name, self.url(name))

    # The deployment

    def url(self, name):
        return 'sqlite:///' + os.path.join(self.folder, name)

    def engine(self, name):
        engine = sa.create_engine(self.url(name))
        self.addCleanup(engine.dispose)
        return engine

    def write_conf(self, *connections):
        self.conf = os.path.join(self.folder, 'nova.conf')
        with open(self.conf, 'w') as conf:
            conf.write('[DEFAULT]\ntransport_url = fake:/\n')
            for section, connection in connections:
                conf.write('[%s]\nconnection = %s\n' % (section, connection))

    def map_cell(self, name, connection, transport='fake:/'):
        self.cells[name] = CELL0 if name == 'cell0' else str(uuid.uuid4())
        with self.engine('api').begin() as connected:
            connected.execute(
                api_models.CellMapping.__table__.insert().values(
                    uuid=self.cells[name], name=name, transport_url=transport,
                    database_connection=connection, disabled=False))

    def tables(self, name):
        """Return the names of our tables in a database, without versions."""
        return set(sa.inspect(self.engine(name)).get_table_names()) & {
            'request_spec', 'build_request'}

    def execute(self, name, statement):
        with self.engine(name).begin() as connection:
            connection.execute(sa.text(statement))

    def make_nova_tables(self):
        api_models.BASE.metadata.create_all(self.engine('api'))
        for name in self.cells:
            for model in (main_models.Instance, main_models.Service):
                model.__table__.create(self.engine(name))

    # The command

    def status(self, *argv):
        run = subprocess.run(
            [sys.executable, '-m', 'nova_cells_persist.cmd.status',
             '--config-file', self.conf, *argv],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=120)
        self.assertNotIn('Traceback', run.stdout + run.stderr)
        return run

    def command(self, *argv, answer=''):
        """Run it in this process.

        :returns: (exit status, standard output, standard error)
        """
        stdout, stderr = io.StringIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.callback(self.as_before())
            stack.enter_context(warnings.catch_warnings())
            stack.enter_context(fixtures.MonkeyPatch(
                'sys.stdin', io.StringIO(answer)))
            stack.enter_context(contextlib.redirect_stdout(stdout))
            stack.enter_context(contextlib.redirect_stderr(stderr))
            status = main.main(['--config-file', self.conf, *argv])
        self.assertNotIn('s3cret', stdout.getvalue() + stderr.getvalue())
        self.assertNotIn('Traceback', stderr.getvalue())
        return status, stdout.getvalue(), stderr.getvalue()

    def as_before(self):
        """Return a function that undoes what a run leaves in a process."""
        root = logging.getLogger('')
        level, handlers = root.level, list(root.handlers)
        loaded = plugin.is_loaded()
        undo = [manager.patch_factory(enginefacade.transaction_context())
                for manager in (api_db_api.context_manager,
                                main_db_api.context_manager)]

        def restore():
            for function in undo:
                function()
            if not loaded:
                plugin.unload()
            if rpc.TRANSPORT is not None:
                rpc.cleanup()
            cfg.CONF.reset()
            root.setLevel(level)
            root.handlers[:] = handlers

        return restore

    def succeed(self, *argv, **kwargs):
        """Run it, and return the lines of its output."""
        status, output, errors = self.command(*argv, **kwargs)
        self.assertEqual((0, ''), (status, errors))
        return output.splitlines()

    def fail(self, *argv, **kwargs):
        """Run it, and return the lines of its output and of its errors."""
        status, output, errors = self.command(*argv, **kwargs)
        self.assertEqual(2, status)
        return output.splitlines(), errors.splitlines()

    def listed(self, *argv):
        status, output, errors = self.command(*argv, '-f', 'json')
        self.assertEqual('', errors)
        return json.loads(output)
