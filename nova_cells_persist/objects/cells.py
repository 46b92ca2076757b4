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

"""The cells of servers, and how to reach into one.

What a cell does not answer must not fail what stock Nova would complete.
"""

import functools

from oslo_db import api as oslo_db_api
from oslo_log import log as logging

from nova import context as nova_context
from nova.objects import cell_mapping

from nova_cells_persist.db import database
from nova_cells_persist.db import instance_mapping as db_mapping
from nova_cells_persist.db import reason
from nova_cells_persist import exception

LOG = logging.getLogger(__name__)

# Ours are transactions of few statements; Nova retries its own as often.
retry_on_deadlock = oslo_db_api.wrap_db_retry(
    max_retries=5, retry_on_deadlock=True)


def of_servers(context, instance_uuids):
    """Return {instance uuid: CellMapping or None} of those that are mapped."""
    with database.api_reader(context) as session:
        uuids = db_mapping.cell_uuids(session, instance_uuids)
    cells = {uuid: cell_mapping.CellMapping.get_by_uuid(context, uuid)
             for uuid in set(uuids.values()) if uuid}
    return {server: cells.get(uuid) for server, uuid in uuids.items()}


def of_server(context, instance_uuid):
    """As of_servers(), of one of them."""
    return of_servers(context, [instance_uuid]).get(instance_uuid)


def targeted(context, cell):
    """Return a context of its own that is targeted at the cell.

    Never the caller's: his may be in a transaction, or targeted elsewhere,
    as it is in Nova's cross-cell tasks.

    :param cell: a CellMapping; None for the API database
    """
    cctxt = nova_context.RequestContext.from_dict(context.to_dict())
    nova_context.set_target_cell(cctxt, cell)
    return cctxt


def fail_softly(what, of_api=False):
    """Decorate a function that a dead cell must not make fail.

    Its operation is one that stock Nova would complete without it. The
    decorated function returns False if the database failed, and logs what is
    left undone; its second argument is the uuid of the server, or several.

    :param of_api: it is the API database that it asks, whatever its context
        names
    """
    def decorator(function):
        @functools.wraps(function)
        def wrapper(context, instance_uuid, *args, **kwargs):
            try:
                return function(context, instance_uuid, *args, **kwargs)
            except database.FAILURES + (exception.TooManyWriters,) as exc:
                LOG.warning(
                    'Request spec of %(uuid)s: %(what)s in the %(database)s '
                    'failed and is left to be healed: %(reason)s',
                    {'uuid': instance_uuid, 'what': what,
                     'database': (database.API_DATABASE if of_api
                                  else database.name(context)),
                     'reason': reason.of(exc)})
                return False
        return wrapper
    return decorator
