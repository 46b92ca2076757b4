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

"""The record of a request spec: what is written, and in which order.

At the API level Nova's own row is the record; it is written first, and a
revision follows it in the server's cell. In a process that serves one cell
the revision there is all that can be written, and is pending.
"""

from nova import exception as nova_exc

from nova_cells_persist.db import database
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist.objects import landing
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import revision


def write(context, instance_uuid, edit, event):
    """Change the persisted request spec of a server.

    :param edit: a function of the JSON as it stands, None if there is none;
        returns the JSON to save, or None to leave all as it is. It may be
        called more than once.
    :param event: what the revision is called
    :returns: (Nova's row, or what stands for it; the number of the revision,
        None if it was not written). (None, None) if nothing was.
    :raises: RequestSpecNotFound if Nova's row is gone, SpecTooLarge;
        TooManyWriters in a process that serves one cell
    """
    if database.is_cell_level():
        return _write_in_cell(context, instance_uuid, edit, event)
    home = landing.home(context, instance_uuid)
    number = home and home.number
    if home is not None and home.pending:
        # What the cell knows better comes first, and the change on top.
        number = revision.reconcile(
            home.context, instance_uuid) or home.number
    with database.api_writer(context) as session:
        there = db_spec.nova_row(session, instance_uuid, lock=True)
        current = there and there.spec
        text = edit(current)
        if text is None:
            return None, None
        revision.check_size(instance_uuid, text)
        if there is None:
            raise nova_exc.RequestSpecNotFound(instance_uuid=instance_uuid)
        db_spec.update_nova_spec(session, instance_uuid, text)
        row = {'id': there.id, 'instance_uuid': instance_uuid, 'spec': text}
    if home is None:
        return row, None
    if not number:
        number = _adopt(home.context, instance_uuid, current)
    number = revision.follow(home.context, instance_uuid, number, text, event)
    if database.is_api(home.context):
        landing.catch_up(context, instance_uuid)
    return row, number or None


def _write_in_cell(context, instance_uuid, edit, event):
    number = revision.append_pending(context, instance_uuid, edit, event)
    if number is None:
        return None, None
    row = revision.as_nova_row(revision.newest(context, instance_uuid))
    return row, number


def _adopt(home, instance_uuid, text):
    """Make what Nova's row was until now the first revision of a server.

    It has none: it was built without the plugin, or its cell was out of
    reach. A move that fails has to know what was before it.

    :returns: the number of the newest revision
    """
    try:
        text = text and primitive.compact(text)
    except ValueError:   # it has just been overwritten, and the log says so
        text = None
    return text and revision.follow(
        home, instance_uuid, 0, text, 'adopt') or 0
