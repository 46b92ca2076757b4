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

"""All that is persisted of one server's request spec, as it stands.

Nothing is written for it: what Nova's objects would land, adopt or heal while
they read is what an operator wants to see.
"""

from typing import NamedTuple

from sqlalchemy import engine

from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist import exception
from nova_cells_persist.objects import cells
from nova_cells_persist.objects import damage
from nova_cells_persist.reconcile import answers
from nova_cells_persist.reconcile import facts


class Revision(NamedTuple):
    """A row of the table request_spec, and the name of where it is."""

    row: engine.Row
    database: str


class Server:
    """One server in the API database and in its cell's.

    :ivar instance_uuid: its uuid
    :ivar cell: its CellMapping, None if it has no cell or this process serves
        one cell
    :ivar nova_spec: the JSON in Nova's own row, None if there is none or this
        process serves one cell
    :ivar revisions: a list of Revision, oldest first
    """

    def __init__(self, context, instance_uuid):
        """Read it.

        :param context: an admin context, not targeted
        :raises: UnknownServer if no database has a request spec of it,
            DatabaseError if one of them does not answer
        """
        self.instance_uuid = instance_uuid
        self.cell = self.nova_spec = None
        self.revisions: list[Revision] = []
        if not database.is_cell_level():
            self._read_api(context)
        if self._has_home():
            self._read_revisions(*self._home(context))
        if self.nova_spec is None and not self.revisions:
            raise exception.UnknownServer(instance_uuid=instance_uuid)
        self.revisions.sort(key=lambda each: each.row.revision)

    def revision(self, number: int) -> Revision:
        """Return one Revision.

        :raises: UnknownRevision
        """
        for each in self.revisions:
            if each.row.revision == number:
                return each
        raise exception.UnknownRevision(
            instance_uuid=self.instance_uuid, number=number,
            known=', '.join(str(each.row.revision)
                            for each in self.revisions) or 'none')

    def instance(self, context):
        """Return the server itself.

        :param context: an admin context, not targeted
        :returns: (an Instance with its flavor, PCI requests and image; its
            InstanceGroup or None, facts.UNKNOWN in a process that serves one
            cell)
        :raises: NoInstance if it is in no cell, UnreadableRow, DatabaseError
        """
        if not self._has_home():
            raise exception.NoInstance(instance_uuid=self.instance_uuid,
                                       database='database of any cell')
        name, cctxt = self._home(context)
        try:
            with answers.of(name):
                instance = objects.Instance.get_by_uuid(
                    cctxt, self.instance_uuid,
                    expected_attrs=['flavor', 'pci_requests',
                                    'system_metadata'])
        except nova_exc.InstanceNotFound:
            raise exception.NoInstance(instance_uuid=self.instance_uuid,
                                       database=name)
        except damage.UNREADABLE as exc:
            raise exception.UnreadableRow(
                table='instances or instance_extra', database=name,
                instance_uuid=self.instance_uuid, reason=exc)
        return instance, self._group(context)

    def task(self, context):
        """Return the task of it that runs, None if none does.

        :param context: an admin context, not targeted
        :raises: DatabaseError
        """
        if not self._has_home():
            return None
        name, cctxt = self._home(context)
        with answers.session(name, database.reader, cctxt) as session:
            found = db_instance.task(session, self.instance_uuid)
        return found and found.task_state

    def _has_home(self):
        return database.is_cell_level() or self.cell is not None

    def _home(self, context):
        """Return (its name, a context for it) of the database it is in."""
        if database.is_cell_level():
            return database.OWN_DATABASE, context
        return (database.name_of(self.cell),
                answers.targeted(context, self.cell))

    def _group(self, context):
        if database.is_cell_level():
            return facts.UNKNOWN
        try:
            with answers.of(database.API_DATABASE):
                return objects.InstanceGroup.get_by_instance_uuid(
                    context, self.instance_uuid)
        except nova_exc.InstanceGroupNotFound:
            return None

    def _read_api(self, context):
        with answers.opening(database.API_DATABASE):
            self.cell = cells.of_server(context, self.instance_uuid)
        with answers.session(database.API_DATABASE, database.api_reader,
                             context) as session:
            self.nova_spec = db_spec.nova_spec(session, self.instance_uuid)
        self._read_revisions(database.API_DATABASE, context)

    def _read_revisions(self, name, context):
        with answers.session(name, database.reader, context) as session:
            self.revisions += [
                Revision(row, name) for row in
                db_spec.revisions(session, self.instance_uuid)]
