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

"""nova-cells-persist backfill, for servers that a stock Nova has built."""

import fixtures
from oslo_db import exception as db_exc

from nova_cells_persist.db import request_spec as db_spec

from tests.functional import base
from tests.functional import command


class BackfillTestCase(command.CommandMixin, base.CloudTestCase):

    def setUp(self):
        super().setUp()
        self.ids = [self.boot(host=host)['id']
                    for host in ('host1', 'host1', 'host1', 'host3')]
        self.cells = ['cell1'] * 3 + ['cell2']
        for cell in self.cell_mappings:
            self.execute('DELETE FROM request_spec', cell)

    def backfill(self, *argv, status=0):
        """Return {cell: (needed, written, failed)}, of those that have any."""
        found, rows = self.listed('backfill', *argv)
        self.assertEqual(status, found, rows)
        return {row.pop('Cell'): tuple(row.values()) for row in rows
                if row['Needed']}

    def copies(self):
        return [self.revisions(*each) for each in zip(self.ids, self.cells)]

    def test_all(self):
        self.assertEqual({'cell1': (3, 3, 0), 'cell2': (1, 1, 0)},
                         self.backfill())
        self.assertEqual([[(1, 'backfill')]] * 4, self.copies())
        for server_id, cell in zip(self.ids, self.cells):
            copy = self.rows('request_spec', server_id, cell)[0]
            row = self.rows('request_specs', server_id)[0]
            self.assertEqual(row['spec'], copy['spec'])
        self.assertEqual({}, self.backfill())
        self.assertEqual((0, []), self.listed('audit', '--older-than', '0'))

    def test_so_many_at_a_time(self):
        self.assertEqual({'cell1': (3, 2, 0), 'cell2': (1, 0, 0)},
                         self.backfill('--max-count', '2', status=1))
        self.assertEqual({'cell1': (1, 1, 0), 'cell2': (1, 1, 0)},
                         self.backfill('--max-count', '2'))
        self.assertEqual({}, self.backfill('--max-count', '2'))
        status, _, stderr = self.command('backfill', '--max-count', '0')
        self.assertEqual(127, status)
        self.assertIn("'0' is no positive number", stderr)

    def test_in_batches(self):
        with fixtures.MonkeyPatch(
                'nova_cells_persist.reconcile.backfill.BATCH', 2):
            self.assertEqual({'cell1': (3, 3, 0), 'cell2': (1, 1, 0)},
                             self.backfill())
        self.assertEqual([[(1, 'backfill')]] * 4, self.copies())

    def test_interrupted(self):
        insert, calls = db_spec.insert, []

        def interrupt(*args):
            calls.append(args)
            if len(calls) == 2:
                raise KeyboardInterrupt()
            insert(*args)

        with fixtures.MonkeyPatch(
                'nova_cells_persist.reconcile.backfill.BATCH', 2), \
                fixtures.MonkeyPatch(
                    'nova_cells_persist.db.request_spec.insert', interrupt):
            status, _, stderr = self.command('backfill', '-f', 'json')
        self.assertEqual(1, status)
        self.assertIn('Interrupted. Run it again', stderr)
        self.assertEqual({'cell1': (1, 1, 0), 'cell2': (1, 1, 0)},
                         self.backfill())
        self.assertEqual([[(1, 'backfill')]] * 4, self.copies())

    def test_deadlock(self):
        insert, calls = db_spec.insert, []

        def give_way(*args):
            calls.append(args)
            if len(calls) == 1:
                raise db_exc.DBDeadlock()
            insert(*args)

        with fixtures.MonkeyPatch('nova_cells_persist.db.request_spec.insert',
                                  give_way):
            self.assertEqual({'cell1': (3, 3, 0), 'cell2': (1, 1, 0)},
                             self.backfill())
        self.assertEqual([[(1, 'backfill')]] * 4, self.copies())

    def test_unreadable(self):
        self.execute("UPDATE request_specs SET spec = '{' "
                     'WHERE instance_uuid = :uuid', uuid=self.ids[0])
        self.assertEqual({'cell1': (3, 2, 1), 'cell2': (1, 1, 0)},
                         self.backfill(status=2))
        self.assertEqual([[]] + [[(1, 'backfill')]] * 3, self.copies())

    def test_saved_meanwhile(self):
        """Nova's own revision is left alone, the others are written."""
        specs = db_spec.nova_specs

        def save_one(session, uuids, cell):
            found = specs(session, uuids, cell)
            if self.ids[1] in found and not self.revisions(self.ids[1],
                                                           'cell1'):
                with self.targeted('cell1') as context:
                    spec = self.spec(self.ids[1], context)
                    spec.num_instances = 2
                    spec.save()
            return found

        with fixtures.MonkeyPatch(
                'nova_cells_persist.db.request_spec.nova_specs', save_one):
            self.assertEqual({'cell1': (3, 2, 0), 'cell2': (1, 1, 0)},
                             self.backfill())
        written = [(1, 'backfill')]
        self.assertEqual([written, [(1, 'adopt'), (2, 'save')], written,
                          written], self.copies())
