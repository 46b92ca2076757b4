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

"""The revisions follow the mapping, whatever happens on the way."""

import fixtures
from sqlalchemy.orm import exc as orm_exc

from nova import exception as nova_exc
from nova import objects
from nova_cells_persist.db import database
from nova_cells_persist.db import models
from nova_cells_persist.objects import reload
from nova_cells_persist.objects import revision
from tests.functional import base


FOLLOW = 'nova_cells_persist.objects.revision.follow'


class LandingTest(base.CloudTestCase):

    def mapping(self, server):
        return objects.InstanceMapping.get_by_instance_uuid(
            self.context, server['id'])

    def map_to(self, server, cell):
        mapping = self.mapping(server)
        mapping.cell_mapping = self.cell_mappings[cell]
        mapping.save()

    def test_two_conductors_land_one_build(self):
        with self.held_builds():
            server = self.accept()
            self.map_to(server, 'cell1')
            self.map_to(server, 'cell1')
        self.assertEqual([], self.revisions(server['id']))
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell1'))

    def test_landing_that_was_cut_short(self):
        """One has crashed after it had inserted; what it left is stale."""
        with self.held_builds():
            server = self.accept()
            row, = self.rows('request_spec', server['id'])
            for number in (1, 2):
                left = dict(row, revision=number, event='stale')
                del left['id']
                self.insert('request_spec', left, 'cell1')
            self.map_to(server, 'cell1')
        self.assertEqual([], self.revisions(server['id']))
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell1'))

    def save(self, server, az):
        spec = self.spec(server['id'])
        spec.availability_zone = az
        spec.save()

    def test_saved_while_it_lands(self):
        follow = revision.follow

        def late(*args):
            with fixtures.MonkeyPatch(FOLLOW, follow):
                self.map_to(server, 'cell1')
            return follow(*args)

        with self.held_builds():
            server = self.accept()
            with fixtures.MonkeyPatch(FOLLOW, late):
                self.save(server, 'zone')
        self.assertEqual([], self.revisions(server['id']))
        self.assertEqual([(1, 'create'), (2, 'save')],
                         self.revisions(server['id'], 'cell1'))

    def test_what_was_left_of_a_save_while_it_landed(self):
        """It is not the history, which follows the server."""
        server = self.boot(host='host1')
        left = dict(self.rows('request_spec', server['id'], 'cell1')[0],
                    revision=2)
        del left['id']
        self.insert('request_spec', left)
        for here, there in (('cell1', 'cell2'), ('cell2', 'cell1')):
            self.map_to(server, there)
            self.assertEqual([], self.revisions(server['id']))
            self.assertEqual([], self.revisions(server['id'], here))
            self.assertEqual([(1, 'create')],
                             self.revisions(server['id'], there))

    def test_moves_and_comes_back(self):
        server = self.boot(host='host1')
        for here, there in (('cell1', 'cell2'), ('cell2', 'cell1')):
            self.map_to(server, there)
            self.assertEqual([], self.revisions(server['id'], here))
            self.assertEqual([(1, 'create')],
                             self.revisions(server['id'], there))

    def test_saved_for_another_reason(self):
        server = self.boot(host='host1')
        mapping = self.mapping(server)
        mapping.queued_for_delete = True
        mapping.save()
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell1'))

    def test_cell_without_our_table(self):
        """A cell that cannot be written fails no build of stock Nova's."""
        self.execute('DROP TABLE request_spec', cell='cell1')
        server = self.boot(host='host1')
        self.assertEqual([(1, 'create')], self.revisions(server['id']))
        self.assertIn('its landing in the database of cell %s failed' %
                      self.cell_mappings['cell1'].uuid,
                      self.stdlog.logger.output)
        # It lands with the next save, once the cell can be written.
        models.metadata_of(database.CELL).create_all(self.engine('cell1'))
        spec = self.spec(server['id'])
        spec.availability_zone = 'one'
        spec.save()
        self.assertEqual([], self.revisions(server['id']))
        self.assertEqual([(1, 'create'), (2, 'save')],
                         self.revisions(server['id'], 'cell1'))

    def test_lands_late_before_a_move(self):
        """It was built by a conductor without the plugin."""
        server = self.boot(host='host1')
        row, = self.rows('request_spec', server['id'], 'cell1')
        self.execute('DELETE FROM request_spec', cell='cell1')
        self.insert('request_spec', row)
        with self.targeted('cell1') as cctxt:
            reload.reload(cctxt, server['id'])
        self.assertEqual([], self.revisions(server['id']))
        self.assertEqual([(1, 'create')],
                         self.revisions(server['id'], 'cell1'))

    def test_deleted_while_it_lands(self):
        """Nothing stays in the cell if the mapping could not be saved."""
        with self.held_builds():
            server = self.accept()
            mapping = self.mapping(server)
            self.execute('DELETE FROM instance_mappings')
            mapping.cell_mapping = self.cell_mappings['cell1']
            self.assertRaises(nova_exc.InstanceMappingNotFound, mapping.save)
        self.assertEqual([], self.revisions(server['id'], 'cell1'))
        self.assertEqual([(1, 'create')], self.revisions(server['id']))

    def test_deleted_between_select_and_update(self):
        def stale(*args, **kwargs):
            raise orm_exc.StaleDataError()

        with self.held_builds():
            server = self.accept()
            mapping = self.mapping(server)
            with fixtures.MonkeyPatch(
                    'nova.objects.instance_mapping.InstanceMapping.'
                    '_from_db_object', stale):
                mapping.cell_mapping = self.cell_mappings['cell1']
                self.assertRaises(nova_exc.InstanceMappingNotFound,
                                  mapping.save)

    def test_cross_cell_resize_and_revert(self):
        self.allow_cross_cell_resize()
        server = self.boot(host='host1')
        self.api.post_server_action(server['id'], {
            'resize': {'flavorRef': self.flavors[1]['id']}})
        server = self._wait_for_state_change(server, 'VERIFY_RESIZE')
        self.assertEqual('host3', server['OS-EXT-SRV-ATTR:host'])
        # The super-conductor saves when its task is done, after all that can
        # be seen of the server. Its context is targeted at cell1 still.
        self._wait_for_assert(lambda: self.assertEqual(
            [(1, 'create'), (2, 'resize')],
            self.revisions(server['id'], 'cell2')))
        self.assertEqual(self.flavors[1]['id'],
                         self.flavor_persisted(server['id']))
        self.assertEqual([], self.revisions(server['id'], 'cell1'))

        self._revert_resize(server)
        self.assertEqual([], self.revisions(server['id'], 'cell2'))
        last = self.rows('request_spec', server['id'], 'cell1')[-1]
        self.assertEqual(self.flavors[0]['id'], self.flavor_of(last))
        self.assertEqual(self.flavors[0]['id'],
                         self.flavor_persisted(server['id']))
