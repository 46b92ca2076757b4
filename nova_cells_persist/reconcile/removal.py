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

"""What repairs remove: what is left of a server, or one that is too many.

As in reconcile/repair.py, which has the others: each takes the Cloud, the
Case, the Finding and the entry of the undo file.
"""

from nova import objects

from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import database
from nova_cells_persist.db import instance_mapping as db_mapping
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist.db import rows
from nova_cells_persist import exception
from nova_cells_persist.reconcile import allocations
from nova_cells_persist.reconcile import codes


def of_everything(cloud, case, finding, entry):
    """Remove what the API database and placement have, and all copies.

    The repair of a server that no cell has; arguments and what is returned
    are those of every repair, see repair.py.
    """
    allocated = allocations.get(cloud.context, case.uuid)
    entry.begin(**_noted(allocated))
    return _remove_rows(cloud, case, allocated)


def of_deleted(cloud, case, finding, entry):
    """As of_everything(), and what a conductor has put into cells."""
    allocated = allocations.get(cloud.context, case.uuid)
    begin_deletion(cloud, case.uuid, finding.cells, entry,
                   **_noted(allocated))
    for cell in finding.cells:
        if not delete_instance(cloud, case.uuid, cell, hosted=False):
            return codes.GONE
    return _remove_rows(cloud, case, allocated)


def _noted(allocated):
    """Return what an entry has of allocations, a dict."""
    return {'allocations': allocated} if allocated else {}


def _remove_rows(cloud, case, allocated):
    context = cloud.context
    # Once the rows are gone nobody would find these.
    is_left = allocated is None or (
        allocated and not allocations.delete(context, case.uuid))
    for cell in case.copies():
        _delete_copies(cloud, case.uuid, cell)
    with database.api_writer(context) as session:
        db_build.delete_all(session, [case.uuid])
        db_build.delete_mirror(session, case.uuid)
        db_mapping.delete(session, case.uuid)
        db_spec.delete(session, [case.uuid])
        db_spec.delete_nova_spec(session, case.uuid)
    # Not raised, so that the transaction around it is committed.
    return (exception.AllocationsLeft(instance_uuid=case.uuid) if is_left
            else None)


def of_build(cloud, case, finding, entry):
    """Remove both rows of a build; its server has landed."""
    entry.begin()
    with database.api_writer(cloud.context) as session:
        db_build.delete_all(session, [case.uuid])
        db_build.delete_mirror(session, case.uuid)


def of_spare(cloud, case, finding, entry):
    """Delete a server from the cell that it is not mapped to.

    :raises: SharedDatabase if the two cells have the very same rows
    """
    require_two(cloud, case, case.cell, finding.cells[0])
    begin_deletion(cloud, case.uuid, finding.cells, entry)
    if not delete_instance(cloud, case.uuid, finding.cells[0],
                           hosted=False):
        return codes.GONE


def require_two(cloud, case, home, other):
    """Raise SharedDatabase if two cells have the very same rows."""
    if (_of_instance(cloud, case.uuid, home) ==
            _of_instance(cloud, case.uuid, other)):
        raise cloud.shared_database(home, other)


def begin_deletion(cloud, uuid, cells, entry, **more):
    """Write to the undo file what is about to be deleted from cells.

    :param cells: their ids
    :param entry: a journal.Entry
    :param more: what else the entry has
    """
    entry.begin(gone={
        cloud.cells[cell].uuid: _of_instance(cloud, uuid, cell)
        for cell in cells}, **more)


def _of_instance(cloud, uuid, cell):
    with cloud.reading(cell) as session:
        return rows.read_instance(session, uuid)


def delete_instance(cloud, uuid, cell, hosted=True):
    """Delete a server from a cell that it is not, or never was, to run in.

    Not only marked: archive_deleted_rows would take away its mapping too, and
    a server cannot move to a cell that has anything of it.

    :param hosted: also if it is on a host
    :returns: whether it is deleted
    """
    with cloud.acting(cell, uuid) as context:
        instance = objects.Instance.get_by_uuid(context, uuid)
        if instance.host is not None and not hosted:
            return False
        # Of one on no host, Nova sees to it that it is on none still.
        instance.destroy(hard_delete=True)
        return True


def of_copies(cloud, case, finding, entry):
    """Remove the revisions in the cells that do not have the server."""
    entry.begin()
    for cell in finding.cells:
        _delete_copies(cloud, case.uuid, cell)


def _delete_copies(cloud, uuid, cell):
    with cloud.writing(cell, uuid) as session:
        db_spec.delete_strays(session, [uuid])
