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

"""BuildRequestList: builds in flight, filtered, sorted and paged in SQL.

Stands in for nova/objects/build_request.py. What a filter means, Nova's own
query of instances says; only what it returns is read and hydrated.
"""

import contextlib
import time
import weakref

from oslo_db import exception as db_exc
from oslo_log import log as logging
from sqlalchemy import exc as sa_exc

from nova.db.main import api as main_db_api
from nova import exception as nova_exc
from nova.objects import build_request as stock

from nova_cells_persist.db import as_instances
from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import database
from nova_cells_persist.db import reason
from nova_cells_persist import exception
from nova_cells_persist.objects import build_request
from nova_cells_persist.objects import build_row
from nova_cells_persist.objects import cells
from nova_cells_persist.objects import copies
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import remotable

LOG = logging.getLogger(__name__)


class BuildRequestList(stock.BuildRequestList):
    """Builds in flight: Nova's filters them in Python, this one in SQL."""

    @remotable.remotable_classmethod
    def get_all(cls, context):
        return cls.get_by_filters(context, {}, sort_keys=['id'],
                                  sort_dirs=['asc'])

    @remotable.remotable_classmethod
    def get_by_filters(cls, context, filters, limit=None, marker=None,
                       sort_keys=None, sort_dirs=None):
        """Return the builds of servers that have no cell and match.

        :param filters: as for instance_get_all_by_filters_sort() of
            nova/db/main/api.py
        :param marker: the uuid of the last server of the page before
        :raises: MarkerNotFound if that is not one of these builds
        """
        if (limit == 0 or filters.get('deleted') or
                filters.get('cleaned') or is_merging(context)):
            if marker:
                raise nova_exc.MarkerNotFound(marker=marker)
            return cls(context, objects=[])
        paging = {'limit': limit, 'sort_keys': sort_keys,
                  'sort_dirs': sort_dirs}
        adopt_new(context)
        try:
            found = page(context, filters, marker=marker, **paging)
        except nova_exc.MarkerNotFound:
            # Nova takes the uuid in the instance, which is that of the row
            # but in some of its tests.
            with database.api_reader(context) as session:
                key = db_build.key_of_instance(session, marker)
            if key in (None, marker):
                raise
            found = page(context, filters, marker=key, **paging)
        return cls(context, objects=hydrate(context, rows_of(found)))


@contextlib.contextmanager
def merging(context):
    """Have lists of builds be empty for this context, while it is open.

    So API.get_all() of nova/compute/api.py puts none in front of the
    instances: listing.merge() puts each where it belongs.
    ``context.merges_builds`` notes the records of markers meanwhile.
    """
    context.merges_builds = {}
    try:
        yield
    finally:
        context.merges_builds = None


def is_merging(context):
    """Whether builds are merged into the list that is made in a context."""
    return getattr(context, 'merges_builds', None) is not None


class Build(dict):
    """The instance that a build will be: what a list is sorted by.

    :ivar row: as of db.build_request.get(); None if it has just gone
    """

    row = None


def rows_of(builds):
    """Return the rows of those Builds that are there still."""
    return [build.row for build in builds if build.row is not None]


def page(context, filters, criterion=None, **paging):
    """Return the builds of servers that have no cell and match.

    :param criterion: as of db.order, what they have to meet as well
    :returns: a list of Build
    """
    if 'system_metadata' in filters:
        filters = _by_system_metadata(context, filters)
    return _page(context, filters, criterion, **paging)


def _page(context, filters, criterion=None, marker=None, **paging):
    # Nova takes the values of a marker off the instance.
    columns = None if marker else list(dict.fromkeys(
        ['uuid', *(paging.get('sort_keys') or ())]))
    with as_instances.query(context, criterion, columns) as own:
        try:
            servers = main_db_api.instance_get_all_by_filters_sort(
                own, filters, columns_to_join=[], marker=marker, **paging)
        except (db_exc.DBError, sa_exc.DBAPIError) as exc:
            if not reason.is_of_filter(exc):
                raise
            # A regular expression that this database cannot read. What a
            # cell cannot answer does not fail a list either.
            LOG.warning('No build in flight is listed, the API database '
                        'cannot filter them by %(filters)s: %(reason)s',
                        {'filters': filters, 'reason': reason.of(exc)})
            return []
    with database.api_reader(context) as session:
        rows = db_build.get_all(session, [each['uuid'] for each in servers])
    builds = [Build(server) for server in servers]
    for build in builds:
        build.row = rows.get(build['uuid'])
    return builds


def find(context, instance_uuid):
    """Return a build of a server that has no cell, as an instance.

    :returns: a dict, None if there is none that the context may see
    """
    with as_instances.query(context) as own:
        try:
            return main_db_api.instance_get_by_uuid(
                own, instance_uuid, columns_to_join=[])
        except nova_exc.InstanceNotFound:
            return None


def _by_system_metadata(context, filters):
    """Return the same filters, with the servers that match by their uuids.

    System metadata stands in the JSON of a build only. No request of the API
    filters by it.
    """
    filters = dict(filters)
    wanted = filters.pop('system_metadata')
    builds = hydrate(context, rows_of(_page(context, filters)))
    filters['uuid'] = [
        build.instance_uuid for build in builds
        if _has(build.instance.system_metadata, wanted)]
    return filters


def _has(metadata, wanted):
    """As nova.db.main.api does: each key and each value is there."""
    wanted = wanted if isinstance(wanted, list) else [wanted]
    return all(key in metadata and value in metadata.values()
               for each in wanted for key, value in each.items())


def hydrate(context, rows, whole=False):
    """Return BuildRequests of rows, of those that can be read.

    :param whole: leave out those that could not be shown, too
    """
    builds, alike = [], copies.Copies()
    for row in rows:
        try:
            build = build_request.BuildRequest._from_db_object(
                context, build_request.BuildRequest(), row, alike)
            if whole:
                damage.require_build(build)
            builds.append(build)
        except build_request.UNREADABLE as exc:
            # One bad row must not hide the others.
            _log_unreadable('build_request', row, exc)
    return builds


def _log_unreadable(table, row, why):
    LOG.error('%s', exception.UnreadableBuild(
        table=table, database=database.API_DATABASE,
        instance_uuid=row.instance_uuid, reason=why))


#: With each list those rows of Nova's table are looked at whose ids are new,
#: or are so little lower. An id is given when a row is inserted, and shows
#: when that is committed: hardly after the cloud has accepted as many servers.
RECENT = 500

#: After so many seconds a list looks at all of them.
PERIOD = 60

#: What comes of a value that a column does not hold: numbers that are too
#: large, texts that are too long, or of letters that it does not know.
REFUSALS = database.FAILURES + (sa_exc.StatementError, OverflowError)

#: {engine: {project, None for all: (when all of its builds were looked at,
#: the highest id that there was)}}
_looked = weakref.WeakKeyDictionary()


def adopt_new(context):
    """Give each build that only Nova's table has a row here.

    An API node without the plugin has accepted it. As long as there is one,
    what it accepts can be asked no other way. Of others than the project that
    asks it is none of its business, and none of its time.
    """
    own = cells.targeted(context, None)
    project_id = None if context.is_admin else context.project_id
    looked = _looked.setdefault(database.api_engine(), {})
    now = time.monotonic()
    when, last_id = looked.get(project_id, (0, 0))
    if now - when > PERIOD:
        when, last_id = now, 0
    with database.api_reader(own) as session:
        newest_id = db_build.last_id_of_nova(session)
        rows = db_build.nova_only(session, last_id - RECENT, project_id)
    for row in rows:
        try:
            adopt(own, row)
        except db_exc.DBDuplicateEntry:
            pass   # another list has been faster
        except (ValueError, exception.BuildTooLarge) as exc:
            _log_unreadable('build_requests', row, exc)
        except REFUSALS as exc:
            # If it is more than this row, the list itself will say so.
            _log_unreadable('build_requests', row, reason.of(exc))
    looked[project_id] = when, newest_id


def adopt(context, row):
    """Give a build a row here.

    :param row: of Nova's table build_requests
    :raises: DBDuplicateEntry if it has one already; BuildTooLarge;
        ValueError if it cannot be read; one of REFUSALS if the database does
        not take what it says
    """
    parts = {part: getattr(row, part) for part in build_row.PARTS}
    values = build_row.columns(parts, None)
    values.update({name: getattr(row, name) for name in (
        'instance_uuid', 'project_id', 'updated_at')})
    values['created_at'] = build_row.as_in_a_cell(row.created_at)
    with database.api_writer(context) as session:
        db_build.insert(session, dict(values, mirror_id=row.id))
        db_build.insert_items(session, build_row.items(
            row.instance_uuid, parts))
