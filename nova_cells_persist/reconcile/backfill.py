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

"""Give servers from before the plugin their copy of the request spec.

A server's first revision is what Nova's row says. What has one is left alone,
so that this can be interrupted, and be run as often as one likes.
"""

import collections
import time

from oslo_db import exception as db_exc

from nova_cells_persist.db import database
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist.objects import cells
from nova_cells_persist.objects import revision
from nova_cells_persist.reconcile import answers

EVENT = 'backfill'

#: How many servers are read, and written, at once.
BATCH = 500

#: Of one cell: how many servers without a revision were met; how many got
#: one; of how many the request spec cannot be read. The others have none, or
#: are mapped elsewhere, where their revisions are.
Batch = collections.namedtuple('Batch', 'cell found written failed')


def needed(cloud):
    """Return how many servers have no copy, {id of a cell: number}."""
    found = {}
    for number in cloud.cells:
        with cloud.reading(number) as session:
            found[number] = db_spec.count_without_revision(session)
    return found


def run(cloud, count=None, sleep=0):
    """Write what is missing, cell by cell.

    :param cloud: an audit.Cloud
    :param count: of servers to write, all if None
    :param sleep: seconds to wait after each batch
    :returns: an iterator of Batch
    :raises: DatabaseError
    """
    left = count
    for number in cloud.cells:
        after = 0
        while left is None or left > 0:
            with cloud.reading(number) as session:
                servers = db_spec.without_revision(
                    session, after, BATCH if left is None
                    else min(BATCH, left))
            if not servers:
                break
            after = servers[-1].id
            batch = _write(cloud, number, [row.uuid for row in servers])
            left = left if left is None else left - batch.written
            yield batch
            time.sleep(sleep)


def _write(cloud, number, uuids):
    with cloud.reading(None) as session:
        texts = db_spec.nova_specs(session, uuids, number)
    rows = list(filter(None, [
        revision.from_nova_row(uuid, EVENT, text)
        for uuid, text in texts.items()]))
    with answers.of(cloud.name_of(number)):
        written = _insert(cloud.targeted(cloud.cells[number]), rows)
    return Batch(number, len(uuids), written, len(texts) - len(rows))


@cells.retry_on_deadlock
def _insert(context, rows):
    """Insert what is not there by now.

    :returns: how many were inserted
    """
    if not rows:
        return 0
    try:
        with database.writer(context) as session:
            db_spec.insert(session, rows)
        return len(rows)
    except db_exc.DBDuplicateEntry:
        if len(rows) == 1:
            return 0   # Nova has saved it meanwhile
        # So was one of these; look for it by halves.
        half = len(rows) // 2
        return _insert(context, rows[:half]) + _insert(context, rows[half:])
