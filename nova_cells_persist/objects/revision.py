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

"""Revisions of request specs: what one is, and how they are read and written.

A server's newest revision says what Nova's own row says, in the cell that the
server is in. Where the API database is out of reach it says more, and is
pending until that is brought there.
"""

from oslo_db import exception as db_exc
from oslo_log import log as logging

from nova import context as nova_context

from nova_cells_persist.db import database
from nova_cells_persist.db import models
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist import exception
from nova_cells_persist.objects import cells
from nova_cells_persist.objects import primitive

LOG = logging.getLogger(__name__)

#: How often a writer looks again after another one was faster.
ATTEMPTS = 10


def check_size(instance_uuid, text):
    """Raise SpecTooLarge if no row could hold the JSON of a spec."""
    if len(text) > models.MEDIUMTEXT_BYTES:
        raise exception.SpecTooLarge(
            instance_uuid=instance_uuid, size=len(text),
            limit=models.MEDIUMTEXT_BYTES)


def row(instance_uuid, number, event, text, pending=False, base_digest=None):
    """Return a revision as a dict, column to value.

    :param text: the JSON of the RequestSpec, as of primitive.compact()
    """
    return {
        'instance_uuid': instance_uuid,
        'project_id': primitive.data(text).get('project_id'),
        'revision': number,
        'event': event,
        'spec': text,
        'pending': pending,
        'base_digest': base_digest,
    }


def newest(context, instance_uuid):
    """Return the newest revision in the database that the context names.

    :returns: a row of the table request_spec, or None
    """
    with database.reader(context) as session:
        return db_spec.newest(session, instance_uuid)


@cells.fail_softly('reading its newest revision')
def newest_number(context, instance_uuid):
    """Return the number of the newest revision where the context names.

    :returns: 0 if there is none, False if the database cannot be read
    """
    with database.reader(context) as session:
        return db_spec.newest_number(session, instance_uuid)


def as_nova_row(revision):
    """Return a revision as the row of request_specs it stands for."""
    return {'id': revision.id, 'instance_uuid': revision.instance_uuid,
            'spec': revision.spec}


def from_cell(context, instance_uuid, timeout):
    """Return the newest revision of a server from the cell it is in.

    :param timeout: seconds to wait for the cell
    :returns: a row of the table request_spec, or None if there is none, the
        server has no cell or the cell does not answer
    """
    cell = cells.of_servers(context, [instance_uuid]).get(instance_uuid)
    if cell is None:
        with database.api_reader(context) as session:
            return db_spec.newest(session, instance_uuid)
    answer = nova_context.scatter_gather_cells(
        context.elevated(), [cell], timeout, newest,
        instance_uuid)[cell.uuid]
    if nova_context.is_cell_failure_sentinel(answer):
        LOG.warning('Request spec of %(uuid)s: cell %(cell)s did not give '
                    'its copy within %(timeout)d s.',
                    {'uuid': instance_uuid, 'cell': cell.identity,
                     'timeout': timeout})
        return None
    return answer


def append_pending(context, instance_uuid, text, fields):
    """Save in a process that cannot reach the API database.

    The revision is based on the newest one, whoever wrote that, with what
    this writer has changed applied to it. It is pending until a process at
    the API level has brought it to Nova's row.

    :param text: the JSON of the writer's RequestSpec
    :param fields: the names of the fields that he has changed
    :raises: TooManyWriters if others were faster each time
    """
    for _ in range(ATTEMPTS):
        last = newest(context, instance_uuid)
        if last is None:
            saved, number, base = text, 1, None
        else:
            saved = primitive.reapply(last.spec, text, fields)
            number = last.revision + 1
            base = last.base_digest if last.pending else primitive.digest(
                last.spec)
        check_size(instance_uuid, saved)
        try:
            _insert(context, [row(instance_uuid, number, 'save', saved,
                                  pending=True, base_digest=base)])
            return
        except db_exc.DBDuplicateEntry:
            # Somebody else has written that revision: on top of his, then.
            continue
    raise exception.TooManyWriters(
        instance_uuid=instance_uuid, attempts=ATTEMPTS,
        database=database.name(context))


@cells.fail_softly('writing a new revision')
def follow(context, instance_uuid, number, text, event):
    """Write the content of Nova's row as a new revision.

    :param context: names the database
    :param number: of the newest revision as it was read before Nova's row
        was written
    :param text: the JSON that was written there
    :returns: whether the newest revision has the content of Nova's row
    """
    for _ in range(ATTEMPTS):
        try:
            _insert(context, [row(instance_uuid, number + 1, event, text)])
            return True
        except db_exc.DBDuplicateEntry:
            # Another writer was between us and our revision, and we cannot
            # tell whose content is the later one. Nova's row can: it is the
            # record, and he too wrote it first.
            with database.api_reader(context) as session:
                text = db_spec.nova_spec(session, instance_uuid)
            last = newest(context, instance_uuid)
            if text is None or last is None:   # deleted meanwhile
                return False
            text = primitive.compact(text)
            if primitive.digest(last.spec) == primitive.digest(text):
                return True
            number = last.revision
    raise exception.TooManyWriters(
        instance_uuid=instance_uuid, attempts=ATTEMPTS,
        database=database.name(context))


@cells.fail_softly('taking the mark off a pending revision')
def settle(context, instance_uuid, number):
    """Take the mark *pending* off a revision: Nova's row has its content."""
    with database.writer(context) as session:
        db_spec.settle(session, instance_uuid, number)
    return True


@cells.retry_on_deadlock
def _insert(context, rows):
    with database.writer(context) as session:
        db_spec.insert(session, rows)
