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

"""Make the request spec true before Nova reads it to move a server."""

from oslo_log import log as logging

from nova import objects

from nova_cells_persist.db import database
from nova_cells_persist.db import reason
from nova_cells_persist.objects import instance_group
from nova_cells_persist.objects import restore
from nova_cells_persist.objects import revision

LOG = logging.getLogger(__name__)


def reload(context, instance_uuid, instance=None):
    """Make what Nova is about to read the newest there is, and true.

    Nova's row and the newest revision in the cell are reconciled; what then
    does not describe the server as it is, is restored.

    Fails no operation that stock Nova would complete: whatever goes wrong is
    logged, and Nova reads what it would have read.

    :param context: of a process at the API level
    :param instance: the Instance as it was read from its cell just now; None
        if it is not known, or not at rest
    """
    try:
        seen = restore.look(context, instance_uuid)
        if seen and not revision.agrees(seen.history, seen.text):
            revision.reconcile(seen.home, instance_uuid)
            seen = restore.look(context, instance_uuid)
        if seen and instance is not None and instance.task_state is None:
            restore.settle(seen, instance, restore.of_abandoned_unshelve(
                seen.history, instance))
        if seen and seen.text and instance_group.is_deleted(
                context, seen.text):
            # What Nova reads is without it. What the conductor of the cell
            # reads, if the move comes to it, is what was saved.
            objects.RequestSpec.get_by_instance_uuid(
                context, instance_uuid).save()
    except database.FAILURES as exc:
        # Not as below: a driver's error has in it what was to be written.
        LOG.warning('The request spec of server %(uuid)s could not be '
                    'compared with the copy in its cell; the one in the API '
                    'database is used: %(reason)s',
                    {'uuid': instance_uuid, 'reason': reason.of(exc)})
    except Exception:
        LOG.exception('The request spec of server %s could not be compared '
                      'with the copy in its cell; the one in the API '
                      'database is used.', instance_uuid)
