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

"""Builds in flight, as they stand in the API database."""

import collections

from oslo_utils import timeutils
from oslo_versionedobjects import exception as ovo_exc

from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import database
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist import exception
from nova_cells_persist.objects import build_request
from nova_cells_persist.objects import heal
from nova_cells_persist.objects import primitive
from nova_cells_persist.reconcile import answers
from nova_cells_persist.reconcile import fields

#: ``age`` is in seconds; ``flavor``, ``image`` and ``zone`` are what was
#: asked for; ``mapping`` says in words which cell it has. ``spec`` is the JSON
#: of its request spec, None if that is gone; ``more`` what only a show needs.
Build = collections.namedtuple(
    'Build', 'uuid accepted_at age project name flavor image zone state '
    'mapping spec more')

# What an instance has of these, in the plugin's columns and in Nova's JSON.
_SHOWN = ('user_id', 'display_description', 'hostname', 'key_name',
          'reservation_id', 'config_drive', 'access_ip_v4', 'access_ip_v6')


def in_flight(context, older_than=None, project_id=None, uuid=None):
    """Return the builds in flight, the oldest first.

    Nothing is written for it: what Nova's objects would adopt stays as it is.

    :param context: an admin context
    :param older_than: a timedelta
    :param project_id: only of this project
    :param uuid: only of this server
    :returns: a list of Build
    :raises: OneCellOnly in a process that serves one cell, DatabaseError
    """
    if database.is_cell_level():
        raise exception.OneCellOnly()
    now = timeutils.utcnow()
    with answers.session(database.API_DATABASE, database.api_reader,
                         context) as session:
        rows = db_build.all_in_flight(
            session, None if older_than is None else now - older_than,
            project_id, uuid)
    return [_build(row, now) for row in rows]


def get(context, uuid):
    """Return one Build.

    :raises: UnknownBuild, DatabaseError
    """
    for build in in_flight(context, uuid=uuid):
        return build
    raise exception.UnknownBuild(instance_uuid=uuid)


def damage(session, context, uuid):
    """Return why a build cannot be shown to its owner.

    :param session: of a transaction in the API database
    :returns: {name of a table: an exception}, of the tables in which it has
        a row that cannot be read
    """
    found = {}
    for table, row in (('build_request', db_build.get(session, uuid)),
                       ('build_requests', db_build.mirror(session, uuid))):
        if row is not None:
            try:
                build_request.require_whole(context, row)
            except build_request.UNREADABLE as exc:
                found[table] = exc
    return found


def saved_spec(session, uuid):
    """Return the request spec that a build has been saved with.

    As objects.heal.rebuild() would take it, but in this transaction.

    :param session: of a transaction in the API database
    :returns: the JSON of the newest revision that can be read; None if there
        is none, or if a newer Nova has written it, and will rebuild it
    """
    try:
        row = heal.newest_readable(db_spec.revisions(session, uuid))
    except ovo_exc.IncompatibleObjectVersion:
        return None
    return row and row.spec


def _build(row, now):
    instance = _instance(row)
    spec = _fields(row.spec)
    user_data = instance.get('user_data') or ''
    return Build(
        row.server, row.accepted_at,
        int((now - row.accepted_at).total_seconds()), row.project,
        instance.get('display_name'),
        spec.get('flavor.name') or instance.get('instance_type_id'),
        instance.get('image_ref') or None, spec.get('availability_zone'),
        '%s/%s' % (instance.get('vm_state'), instance.get('task_state')),
        row.cell or ('no cell' if row.is_mapped else 'missing'), row.spec,
        dict({name: instance.get(name) for name in _SHOWN},
             user_data='%d bytes' % len(str(user_data)),
             table='build_request' if row.id else 'build_requests'))


def _instance(row):
    """Return what is known of the instance, name to value."""
    if row.id is not None:
        return row._mapping
    try:
        return primitive.data(row.mirror) if row.mirror else {}
    except ValueError:   # audit says so
        return {}


def _fields(text):
    try:
        return fields.flat(text) if text else {}
    except ValueError:
        return {}
