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

"""InstanceMapping and InstanceMappingList: where a request spec follows to.

Stands in for nova/objects/instance_mapping.py.
"""

from sqlalchemy.orm import exc as orm_exc

from nova import exception as nova_exc
from nova.objects import base
from nova.objects import instance_mapping as stock

from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import database
from nova_cells_persist.db import instance_mapping as db_mapping
from nova_cells_persist.db import models
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist.objects import landing


class InstanceMapping(stock.InstanceMapping):
    """Which cell a server is in; its request spec follows."""

    @base.remotable
    def save(self):
        """As Nova's of nova/objects/instance_mapping.py, and land the server.

        :raises: InstanceMappingNotFound if the server was deleted meanwhile
        """
        cell = ('cell_mapping' in self.obj_what_changed() and
                self.cell_mapping)
        if not cell:
            return super().save()
        changed = {name: getattr(self, name)
                   for name in self.obj_what_changed()}
        save = super().save

        def save_mapping():
            for name, value in changed.items():
                setattr(self, name, value)
            save()

        try:
            landing.land(self._context, self.instance_uuid, cell,
                         save_mapping)
        except orm_exc.StaleDataError:
            # As in Nova's save(), which cannot see it: the row went while
            # the transaction that is now around it was open.
            raise nova_exc.InstanceMappingNotFound(uuid=self.instance_uuid)

    @staticmethod
    def _destroy_in_db(context, instance_uuid):
        """Delete the mapping; of a server that was never built, all else.

        Nova's schedule_and_build_instances() finds that a server was deleted
        before it had a cell, so that its build is gone; it deletes the
        mapping and leaves the request spec. The map_instances of nova-manage
        deletes one of no server.
        """
        with database.api_writer(context) as session:
            cells = db_mapping.cell_uuids(session, [instance_uuid])
            stock.InstanceMapping._destroy_in_db(context, instance_uuid)
            if (cells.get(instance_uuid) is None and
                    database.has_table(session, models.build_request) and
                    not db_build.in_flight(session, instance_uuid)):
                db_build.delete(session, instance_uuid)
                db_spec.delete_nova_spec(session, instance_uuid)
                db_spec.delete(session, [instance_uuid])


# The name in Nova's module is ours while the plugin is on.
_StockList = stock.InstanceMappingList


class InstanceMappingList(_StockList):
    """Mappings of servers that nova-manage archives."""

    @staticmethod
    def _destroy_bulk_in_db(context, instance_uuids):
        # nova-manage db archive_deleted_rows destroys the mappings first and
        # the request specs after them. Now is the last moment to know in
        # which cells those have their revisions. Who lives there, since it
        # was in two cells, keeps its own: it is rebuilt from them.
        landing.forget(context, instance_uuids, db_spec.delete_strays)
        with database.api_writer(context) as session:
            if database.has_table(session, models.build_request):
                # Of a server that a conductor without the plugin has built.
                db_build.delete_all(session, instance_uuids)
            return _StockList._destroy_bulk_in_db(context, instance_uuids)
