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

"""InstanceGroup: many read at once, or told from what stands in a cell.

Stands in for nova/objects/instance_group.py. A server group is a record of
the API database. A process of a cell that cannot reach that is asked for one
when a move is rescheduled and, late, whether a host keeps its policy. Hosts
belong to a cell, so what the request specs in the cell say is enough.
"""

import contextvars

from oslo_serialization import jsonutils

from nova import exception as nova_exc
from nova.objects import instance_group as stock

from nova_cells_persist.db import database
from nova_cells_persist.db import instance_group as db_group
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import revision
from nova_cells_persist.objects import scope


#: In place of the row of a group that is there, and not shown to the user.
_HIDDEN = object()

#: {uuid: row} of the groups that are read at once in this thread, or None.
#: Of one that is deleted the row is None.
_at_once = contextvars.ContextVar('nova_cells_persist_groups', default=None)


def at_once():
    """Answer from what load() has read in a ``with`` block, not one by one."""
    return scope.of(_at_once, {})


def load(context, uuids):
    """Read these groups now, if within at_once()."""
    groups = _at_once.get()
    if groups is None:
        return
    project_id = None if context.is_admin else context.project_id
    with database.api_reader(context) as session:
        found = db_group.by_uuid(session, uuids, project_id)
        others = set(uuids) - set(found)
        there = (db_group.are_there(session, others)
                 if project_id is not None else set())
    groups.update({uuid: found.get(uuid, _HIDDEN if uuid in there else None)
                   for uuid in uuids})


def is_deleted(context, text):
    """Whether the JSON of a request spec has a server group that is gone.

    One of another project Nova does not show to a user either.
    """
    group = in_spec(text)
    if not group:
        return False
    groups, uuid = _at_once.get() or {}, group['uuid']
    if uuid in groups:
        return groups[uuid] is None
    with database.api_reader(context) as session:
        return not db_group.are_there(session, [uuid])


class InstanceGroup(stock.InstanceGroup):
    """A server group, which many request specs that are read at once share."""

    @staticmethod
    def _get_from_db_by_uuid(context, uuid):
        groups = _at_once.get() or {}
        if uuid in groups:
            if groups[uuid] in (None, _HIDDEN):
                raise nova_exc.InstanceGroupNotFound(group_uuid=uuid)
            return groups[uuid]
        if not database.is_cell_level():
            return stock.InstanceGroup._get_from_db_by_uuid(context, uuid)
        return _from_cell(context, uuid)

    @staticmethod
    def _get_from_db_by_instance(context, instance_uuid):
        if not database.is_cell_level():
            return stock.InstanceGroup._get_from_db_by_instance(
                context, instance_uuid)
        newest = revision.newest(context, instance_uuid)
        group = newest and in_spec(newest.spec)
        if not group:
            raise nova_exc.InstanceGroupNotFound(group_uuid='')
        return _from_cell(context, group['uuid'], group.get('project_id'))


def _from_cell(context, uuid, project_id=None):
    """Return a row as Nova's, of the members that are in this cell.

    A server is put into its group when it is created, so that its first
    revision, which is always kept, says it.
    """
    # A user's group has his project's servers. What an administrator does
    # to them comes with another project.
    group, members = _members(context, uuid, project_id or context.project_id)
    if not members:
        group, members = _members(context, uuid)
    if not members:
        raise nova_exc.InstanceGroupNotFound(group_uuid=uuid)
    return _as_row(group, members)


def _members(context, uuid, project_id=None):
    """Return the fields of a server group, and the uuids of its servers."""
    with database.reader(context) as session:
        rows = db_spec.first_with(session, uuid, project_id)
    # The uuid may be there as something else, in a scheduler hint.
    groups = {row.instance_uuid: group for row, group in
              ((row, in_spec(row.spec)) for row in rows)
              if group and group['uuid'] == uuid}
    return next(iter(groups.values()), None), list(groups)


def in_spec(text):
    """Return the fields of the server group in the JSON of a request spec.

    :returns: a dict with ``uuid``; None if there is no group, or nobody can
        read it
    """
    try:
        group = primitive.data(text).get('instance_group')
        return group and group[primitive.DATA]['uuid'] and group[
            primitive.DATA]
    except damage.UNREADABLE:
        return None   # whoever hydrates it will say so


def _as_row(group, members):
    row = {field: group.get(field) for field in (
        'id', 'uuid', 'name', 'user_id', 'project_id')}
    policy = {'policy': group.get('policy'),
              'rules': jsonutils.dumps(group.get('_rules') or {})}
    return dict(row, members=members, created_at=None, updated_at=None,
                policy=policy if group.get('policy') else None)
