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

"""The time in which an accepted server has no cell yet."""

import shlex
import subprocess

import fixtures

from tempest import config

CONF = config.CONF


class CommandFailed(Exception):

    def __init__(self, option, command, reason):
        super().__init__('[cells_persist] %s, "%s": %s' % (
            option, command, reason))
        self.option = option
        self.command = command
        self.reason = reason


class Window(fixtures.Fixture):
    """The time in which an accepted server stays without a cell.

    :param settle: a function that returns once nothing is being built
    """

    def __init__(self, settle):
        super().__init__()
        self._settle = settle

    def _setUp(self):
        # A conductor that is stopped in a transaction keeps its locks.
        self._settle()
        self.is_open = True
        # Before it is opened: what has failed may have been half done.
        self.addCleanup(self.close)
        self._run('hold_command')

    def close(self):
        """Have the builds go on; again does nothing."""
        if self.is_open:
            self._run('release_command')
            self.is_open = False

    @staticmethod
    def _run(option):
        command = CONF.cells_persist[option]
        try:
            subprocess.run(
                shlex.split(command), check=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=CONF.cells_persist.command_timeout)
        except subprocess.CalledProcessError as exc:
            raise CommandFailed(option, command, 'exit status %d: %s' % (
                exc.returncode, exc.output.decode(errors='replace')))
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise CommandFailed(option, command, exc)
