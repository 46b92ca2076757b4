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

"""The ground of the tests of audit, heal and undo.

Each finding is made by Nova itself, by letting it lose what can be lost; then
audit names it, heal mends it, and a second audit finds nothing.
"""

import datetime
import os
import threading

import fixtures

from nova import objects

from nova_cells_persist.db import rows as db_rows

from tests.functional import base
from tests.functional import command

#: No grace: what is audited here has been written just now.
NOW = ('--older-than', '0s')


class Killed(Exception):
    """A process ends here."""


class AuditTestCase(command.CommandMixin, base.CloudTestCase):

    def setUp(self):
        super().setUp()
        self.undo_file = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'undo')
        # Nor for what has just landed.
        self.useFixture(fixtures.MonkeyPatch(
            'nova_cells_persist.cmd.audit.LANDING', datetime.timedelta()))

    def audit(self, *argv):
        """Return [(code, uuid)] of what audit finds."""
        status, rows = self.listed('audit', *NOW, *argv)
        self.assertEqual(int(bool(rows)), status)
        return [(row['Code'], row['Server']) for row in rows]

    def heal(self, *argv, status=0):
        """Heal and return [(code, result)]."""
        done, rows = self.listed('heal', *NOW, '--yes', '--undo-file',
                                 self.undo_file, *argv)
        self.assertEqual(status, done, rows)
        return [(row['Code'], row['Result']) for row in rows]

    def assert_healed(self, server_id, *codes):
        """Make sure that a server has these findings, and none once healed."""
        before = self.everything(server_id)
        self.assertEqual([(code, server_id) for code in codes], self.audit())
        status, rows = self.listed('heal', *NOW)
        self.assertEqual((1, ['proposed'] * len(codes)),
                         (status, [row['Result'] for row in rows]))
        self.assertEqual(before, self.everything(server_id))
        for code, result in self.heal():
            self.assertEqual('mended', result, code)
        self.assertEqual([], self.audit())

    def undo(self, *argv):
        status, stdout, stderr = self.command('undo', self.undo_file, *argv)
        self.assertEqual(0, status, stderr)
        return stdout

    def force(self):
        """Undo what has changed since.

        :returns: standard output, standard error
        """
        self.forced = self.undo_file + '-forced'
        status, stdout, stderr = self.command(
            'undo', self.undo_file, '--force', '--undo-file', self.forced)
        self.assertEqual(0, status, stderr)
        return stdout, stderr

    def lose(self, *argv, **kwargs):
        """Let the cast of a build be lost, and return the server's id."""
        with self.held_builds():
            return self.accept(*argv, **kwargs)['id']

    def built_by_a_conductor_killed_in(self, method, host='host1'):
        """Return the id of a server in whose build a conductor is killed."""
        with self.held_builds() as let_go:
            server_id = self.accept(az='nova:' + host)['id']
            self.kill_in(method, let_go)
        return server_id

    def built_on_no_host(self):
        """Return the id of a server in cell1 that its host did not get."""
        sent = threading.Event()
        with fixtures.MonkeyPatch(
                'nova.compute.rpcapi.ComputeAPI.build_and_run_instance',
                lambda *args, **kwargs: sent.set()):
            server_id = self.accept(az='nova:host1')['id']
            self.assertTrue(sent.wait(60))
        return server_id

    def kill_in(self, method, do):
        """Kill the conductor in a method, while it does what it is sent."""
        died = threading.Event()

        def die(*args, **kwargs):
            died.set()
            raise Killed()

        with fixtures.MonkeyPatch('nova.conductor.manager.ComputeTaskManager.'
                                  + method, die):
            do()
            self.assertTrue(died.wait(60))

    def saved(self, server_id, context=None, **fields):
        """Save fields of a request spec."""
        spec = self.spec(server_id, context)
        for name, value in fields.items():
            setattr(spec, name, value)
        spec.save()

    def service_id(self, host):
        return self.api.get_services(host=host,
                                     binary='nova-compute')[0]['id']

    def flavor(self, number):
        return objects.Flavor.get_by_flavor_id(
            self.context, self.flavors[number]['id'])

    def of_server(self, server_id, cell):
        """Return all that a cell has of a server, but when it was written."""
        with self.engine(cell).connect() as connection:
            found = db_rows.read_instance(connection, server_id)
        for row in found.get('instances', ()):
            del row['updated_at']
        return found

    def confirm(self, server_id):
        self.api.post_server_action(server_id, {'confirmResize': None},
                                    check_response_status=[204])

    def resize(self, server_id):
        self.api.post_server_action(
            server_id, {'resize': {'flavorRef': self.flavors[1]['id']}})

    def deleted(self):
        """Return the id of a server of which something is left."""
        server_id = self.lose()
        self.api.delete_server(server_id)
        return server_id


class NeighboursTestCase(AuditTestCase):

    def setUp(self):
        super().setUp()
        # Others, which stay as they are.
        self.neighbours = {
            server['id']: self.everything(server['id'])
            for server in (self.boot(host='host1'), self.boot(host='host3'))}

    def assert_healed(self, server_id, *codes):
        super().assert_healed(server_id, *codes)
        for neighbour, before in self.neighbours.items():
            self.assertEqual(before, self.everything(neighbour))
