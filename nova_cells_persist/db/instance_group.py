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

"""Statements on Nova's server groups.

Each function takes the session of a transaction in the API database.
"""

from sqlalchemy import orm

from nova.db.api import models as api_models

_Group = api_models.InstanceGroup


def are_there(session, uuids):
    """Return which of these server groups there are, of whatever project.

    :returns: a set of uuids
    """
    if not uuids:
        return set()
    return {uuid for uuid, in session.query(_Group.uuid).filter(
        _Group.uuid.in_(uuids))}


def by_uuid(session, uuids, project_id=None):
    """Return server groups with their members and policies.

    In three statements, however many there are.

    :param project_id: only those of this project; of all if None
    :returns: {uuid: Nova's InstanceGroup of nova/db/api/models.py}
    """
    if not uuids:
        return {}
    query = session.query(_Group).options(
        orm.selectinload(_Group._policies),
        orm.selectinload(_Group._members)).filter(_Group.uuid.in_(uuids))
    if project_id is not None:
        query = query.filter(_Group.project_id == project_id)
    return {group.uuid: group for group in query}
