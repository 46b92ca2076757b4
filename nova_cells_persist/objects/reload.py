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

"""Bring Nova's row and the cell's newest revision together before a move."""

from oslo_log import log as logging

from nova_cells_persist.db import database
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist import exception
from nova_cells_persist.objects import landing
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import revision

LOG = logging.getLogger(__name__)


def reload(context, instance_uuid):
    """Make what Nova is about to read the newest there is.

    - The cell has a pending revision, and Nova's row is what that is based
      on: it is written to Nova's row.
    - Nova's row has changed since: it wins. The pending revision stays in
      the history, a warning names both.
    - The cell has none, or an older one: it gets a revision of Nova's row.

    Fails no operation that stock Nova would complete: whatever goes wrong is
    logged, and Nova reads what it would have read.

    :param context: of a process at the API level
    """
    try:
        home, number = landing.home(context, instance_uuid)
        if home is not None and not database.is_api(home):
            _reload(home, instance_uuid, number)
    except Exception:
        LOG.exception('The request spec of server %s could not be compared '
                      'with the copy in its cell; the one in the API '
                      'database is used.', instance_uuid)


def _reload(home, instance_uuid, number):
    newest = revision.newest(home, instance_uuid) if number else None
    with database.api_writer(home) as session:
        text = db_spec.nova_spec(session, instance_uuid,
                                 lock=bool(newest and newest.pending))
        if text is None:
            return   # reading it will find the copy
        digest = _digest(text, instance_uuid)
        if digest is None:
            return
        same = newest and primitive.digest(newest.spec) == digest
        promote = (newest and newest.pending and not same and
                   newest.base_digest == digest)
        if promote:
            db_spec.update_nova_spec(session, instance_uuid, newest.spec)
    if same or promote:
        if newest.pending:
            revision.settle(home, instance_uuid, newest.revision)
        return
    if newest and newest.pending:
        LOG.warning(
            'The request spec of server %(uuid)s was changed both in the API '
            'database and, as revision %(revision)d, in the %(database)s. '
            'The API database wins; revision %(revision)d stays in the '
            'history, revision %(next)d follows it.',
            {'uuid': instance_uuid, 'revision': newest.revision,
             'database': database.name(home), 'next': newest.revision + 1})
    revision.follow(home, instance_uuid, number, primitive.compact(text),
                    'reload')


def _digest(text, instance_uuid):
    try:
        return primitive.digest(text)
    except ValueError as exc:
        LOG.error('%s', exception.UnreadableRow(
            table='request_specs', database='API database',
            instance_uuid=instance_uuid, reason=exc))
        return None
