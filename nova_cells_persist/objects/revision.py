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

import itertools

from oslo_config import cfg
from oslo_db import exception as db_exc
from oslo_log import log as logging

from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance
from nova_cells_persist.db import models
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist import exception
from nova_cells_persist.objects import cells
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import primitive

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

_PROJECT_LENGTH = models.request_spec.c.project_id.type.length

#: How often a writer tries again behind one that did not wait for him.
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
    :raises: ValueError if it cannot be told whose that is
    """
    project = primitive.data(text).get('project_id')
    if project is not None and not (
            isinstance(project, str) and len(project) <= _PROJECT_LENGTH):
        raise ValueError('its project_id is not one')
    return {
        'instance_uuid': instance_uuid,
        'project_id': project,
        'revision': number,
        'event': event,
        'spec': text,
        'pending': pending,
        'base_digest': base_digest,
    }


def from_nova_row(instance_uuid, event, text):
    """Return Nova's row as the first revision of a server that has none.

    :param text: the JSON in that row
    :returns: as row(); None if it cannot be read, which is logged
    """
    # With a copy that is alike nobody would find the damage any more.
    reason = damage.of_one_of_many(text)
    if reason is None:
        try:
            return row(instance_uuid, 1, event, primitive.compact(text))
        except ValueError as exc:
            reason = exc
    LOG.warning('%s', unreadable(instance_uuid, reason))
    return None


def newest(context, instance_uuid):
    """Return the newest revision in the database that the context names.

    :returns: a row of the table request_spec, or None
    """
    with database.reader(context) as session:
        return db_spec.newest(session, instance_uuid)


def history(context, instance_uuid):
    """Return the revisions of a server where the context names, oldest first.

    :returns: a list of rows of the table request_spec
    """
    with database.reader(context) as session:
        return db_spec.revisions(session, instance_uuid)


#: As history(); False if the database cannot be read.
history_if_read = cells.fail_softly('reading its revisions')(history)


def copies(session, instance_uuid):
    """Return the revisions of a server, to be inserted elsewhere.

    :returns: a list of dicts, as of row(), oldest first
    """
    rows = [dict(one._mapping)
            for one in db_spec.revisions(session, instance_uuid)]
    for one in rows:
        del one['id']
    return rows


@cells.fail_softly('reading its newest revision')
def newest_mark(context, instance_uuid):
    """Return (number, pending) of the newest revision where context names.

    :returns: (0, False) if there is none, False if the database cannot be
        read
    """
    with database.reader(context) as session:
        return db_spec.newest_mark(session, instance_uuid)


def as_nova_row(revision):
    """Return a revision as the row of request_specs it stands for."""
    return {'id': revision.id, 'instance_uuid': revision.instance_uuid,
            'spec': revision.spec}


def append_pending(context, instance_uuid, edit, event):
    """Save in a process that cannot reach the API database.

    The revision is made of the newest one, whoever wrote that. It is pending
    until a process at the API level has brought it to Nova's row.

    :param edit: a function of the JSON of the newest revision, None if there
        is none; returns the JSON to save, or None to leave all as it is
    :returns: the number of the revision, None if nothing was written
    :raises: TooManyWriters if others were faster each time
    """
    return _unless_overtaken(
        context, instance_uuid,
        lambda: _append_pending(context, instance_uuid, edit, event))


@cells.retry_on_deadlock
def _append_pending(context, instance_uuid, edit, event):
    with database.writer(context) as session:
        db_instance.lock(session, instance_uuid)
        last = db_spec.newest(session, instance_uuid)
        text = edit(last and last.spec)
        if text is None:
            return None
        check_size(instance_uuid, text)
        number, base = 1, None
        if last:
            number = last.revision + 1
            base = (last.base_digest if last.pending
                    else primitive.digest_if_readable(last.spec))
        _insert(session, row(instance_uuid, number, event, text,
                             pending=True, base_digest=base))
    return number


def _unless_overtaken(context, instance_uuid, write):
    """Return what write() returns, once nobody else is faster.

    :raises: TooManyWriters if others were faster each time
    """
    for _ in range(ATTEMPTS):
        try:
            return write()
        except db_exc.DBDuplicateEntry:
            continue   # somebody else has written that revision
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
    :returns: the number of the revision that has this content; None if there
        is none: another writer's is in Nova's row by now, that is damaged, or
        the server was deleted; False if the database fails
    """
    try:
        _append(context, row(instance_uuid, number + 1, event, text))
        return number + 1
    except db_exc.DBDuplicateEntry:
        # Another writer was between us and our revision.
        return _unless_overtaken(
            context, instance_uuid,
            lambda: _catch_up(context, instance_uuid, text, event))


@cells.retry_on_deadlock
def _catch_up(context, instance_uuid, text, event):
    """As follow(), behind whatever other writers have written.

    Whose content is the later one, ours or theirs, cannot be told. Nova's row
    can: it is the record, and they too wrote it first. Who is here waits for
    the others that are, so that nobody has to try again for them.
    """
    with database.writer(context) as session:
        _wait_for_others(context, session, instance_uuid)
        with database.api_reader(context) as api_session:
            there = db_spec.nova_spec(api_session, instance_uuid)
        last = db_spec.newest(session, instance_uuid)
        digest = there and last and _digest(there, instance_uuid)
        if not digest:
            return None   # deleted, or damaged: reading it will rebuild it
        number = last.revision
        # One that is damaged is followed by a new one.
        if primitive.digest_if_readable(last.spec) != digest:
            if last.pending:
                _warn_of_conflict(context, instance_uuid, number)
            number += 1
            _insert(session, row(instance_uuid, number, event,
                                 primitive.compact(there)))
        return number if primitive.digest(text) == digest else None


def agrees(history, text):
    """Whether reconcile() would find nothing to do.

    :param history: the revisions of a server, oldest first
    :param text: the JSON in Nova's row, None if there is none
    """
    if not history or history[-1].pending or text is None:
        return False
    try:
        return primitive.digest(history[-1].spec) == primitive.digest(text)
    except ValueError:
        return False


@cells.fail_softly('reconciling it with the copy')
def reconcile(context, instance_uuid, event='reload'):
    """Bring Nova's row and the newest revision together.

    - The newest revision is pending, and Nova's row is what that is based
      on: it is written to Nova's row.
    - Nova's row has changed since: it wins. The pending revision stays in
      the history, a warning names both.
    - There is no revision, or an older one: Nova's row becomes one.

    :param context: targeted at the cell, in a process at the API level
    :param event: what a new revision is called
    :returns: the number of the newest revision, 0 if there is none, False if
        the cell cannot be read
    """
    last = newest(context, instance_uuid)
    number = last.revision if last else 0
    with database.api_writer(context) as session:
        text = db_spec.nova_spec(session, instance_uuid,
                                 lock=bool(last and last.pending))
        digest = text and _digest(text, instance_uuid)
        if digest is None:
            return number   # reading it will rebuild it
        theirs = last and primitive.digest_if_readable(last.spec)
        same = theirs == digest
        # One that is damaged is followed by a new one.
        promote = bool(last and last.pending and not same and
                       _is_made_of(context, last, digest) and
                       damage.of_spec(last.spec) is None)
        if promote:
            db_spec.update_nova_spec(session, instance_uuid, last.spec)
    if same or promote:
        if last.pending:
            clear_pending(context, instance_uuid, last)
        return number
    if last and last.pending:
        _warn_of_conflict(context, instance_uuid, number)
    return follow(context, instance_uuid, number, primitive.compact(text),
                  event) or number


def _is_made_of(context, last, digest):
    """Whether Nova's row has what a pending revision was made of.

    Or a pending one before it, which has been brought there, by a process
    that has not come to taking the mark off.

    :param last: a row of the table request_spec
    :param digest: of Nova's row
    """
    if last.base_digest == digest:
        return True
    made_of = itertools.takewhile(
        lambda one: one.base_digest == last.base_digest,
        reversed(history(context, last.instance_uuid)))
    return any(primitive.digest_if_readable(one.spec) == digest
               for one in made_of)


def _warn_of_conflict(context, instance_uuid, number):
    LOG.warning(
        'The request spec of server %(uuid)s was changed both in the API '
        'database and, as revision %(revision)d, in the %(database)s. The '
        'API database wins; revision %(revision)d stays in the history, '
        'revision %(next)d follows it.',
        {'uuid': instance_uuid, 'revision': number,
         'database': database.name(context), 'next': number + 1})


def _digest(text, instance_uuid):
    try:
        return primitive.digest(text)
    except ValueError as exc:
        LOG.error('%s', unreadable(instance_uuid, exc))
        return None


def unreadable(instance_uuid, reason):
    """Return an exception that says that Nova's row cannot be read."""
    return exception.UnreadableSpec(
        table='request_specs', database=database.API_DATABASE,
        instance_uuid=instance_uuid, reason=reason)


@cells.fail_softly('taking the mark off a pending revision')
def clear_pending(context, instance_uuid, last):
    """Take the mark *pending* off a revision: Nova's row has its content.

    Off those before it as well, which it was made of.

    :param last: a row of the table request_spec
    """
    with database.writer(context) as session:
        db_spec.clear_pending(session, instance_uuid, last.revision,
                              last.base_digest)
    return True


@cells.retry_on_deadlock
def _append(context, values):
    with database.writer(context) as session:
        _wait_for_others(context, session, values['instance_uuid'])
        _insert(session, values)


def _wait_for_others(context, session, instance_uuid):
    # There is no instance in the API database whose row could be locked. The
    # unique key on (instance_uuid, revision) decides: who loses catches up.
    if not database.is_api(context):
        db_instance.lock(session, instance_uuid)


def _insert(session, values):
    kept = CONF.cells_persist.revisions_kept
    number = values['revision']
    db_spec.insert(session, [values])
    if number > kept + 1:
        db_spec.prune(session, values['instance_uuid'], number - kept + 1)
