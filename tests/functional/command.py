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

"""The command line inside a process in which Nova runs already."""

import contextlib
import io
import json
import logging
from unittest import mock

import fixtures

from nova_cells_persist.cmd import main

# The services that run in this process are not the command.
OF_SERVICES = logging.getLogger('oslo_messaging.rpc.server')


class CommandMixin:

    def command(self, *argv):
        """Run nova-cells-persist with the configuration that is in use.

        :returns: (exit status, standard output, standard error)
        """
        stdout, stderr = io.StringIO(), io.StringIO()
        root = logging.getLogger('')
        level, handlers = root.level, list(root.handlers)
        try:
            with contextlib.redirect_stdout(stdout), \
                    contextlib.redirect_stderr(stderr), \
                    mock.patch.object(OF_SERVICES, 'disabled', True), \
                    fixtures.MonkeyPatch(
                        'nova_cells_persist.cmd.main._configure',
                        lambda options: None):
                status = main.main(list(argv))
        finally:
            root.setLevel(level)
            root.handlers[:] = handlers
        self.assertNotIn('Traceback', stderr.getvalue())
        return status, stdout.getvalue(), stderr.getvalue()

    def listed(self, *argv):
        """Run a command that lists something.

        :returns: (exit status, what it shows)
        """
        status, stdout, stderr = self.command(*argv, '-f', 'json')
        self.assertTrue(stdout, stderr)
        return status, json.loads(stdout)

    def asked(self, *argv):
        """Run a command that must succeed, and return what it shows."""
        status, stdout, stderr = self.command(*argv, '-f', 'json')
        self.assertEqual((0, ''), (status, stderr))
        return json.loads(stdout)
