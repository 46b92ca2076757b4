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

"""Give a build that no conductor works on any more a server in a cell.

Stands in for what ComputeTaskManager of nova/conductor/manager.py does at
the end of schedule_and_build_instances() and in _bury_in_cell0(), which need
a conductor around them.
"""

from nova.compute import instance_actions
from nova.compute import utils as compute_utils
from nova.compute import vm_states
from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance

EVENT = 'conductor_schedule_and_build_instances'


class BuildLost(nova_exc.NovaException):
    """What the owner of a server is told, as the fault of the server."""

    msg_fmt = 'The build of this server was lost before it had a host.'


def bury(context, build):
    """Write a build into cell0, as a server in ERROR.

    :param context: targeted at cell0
    :param build: a BuildRequest
    :returns: the Instance
    """
    instance = build.get_new_instance(context)
    instance.vm_state = vm_states.ERROR
    instance.task_state = None
    instance.create()
    fail(context, instance, 'cell0')
    complete(context, build)
    return instance


def map_to(context, uuid, cell, instance):
    """Map a server to a cell. Its request spec follows.

    :param context: not targeted
    :param instance: that tells whose it is
    """
    try:
        mapping = objects.InstanceMapping.get_by_instance_uuid(context, uuid)
    except nova_exc.InstanceMappingNotFound:
        mapping = objects.InstanceMapping(
            context, instance_uuid=uuid, project_id=instance.project_id,
            user_id=instance.user_id, cell_mapping=None,
            queued_for_delete=False)
        mapping.create()
    mapping.cell_mapping = cell
    mapping.save()


def complete(context, build):
    """Write what a conductor writes beside the instance, and has not.

    It writes the devices in their order, then the tags.

    :param context: targeted at the cell of the server
    :param build: a BuildRequest
    """
    uuid = build.instance_uuid
    with database.reader(context) as session:
        written = db_instance.number_of_block_devices(session, uuid)
    for mapping in list(build.block_device_mappings)[written:]:
        # A new one, all of whose fields count as changed.
        objects.BlockDeviceMapping(context, **dict({
            name: getattr(mapping, name) for name in mapping.fields
            if mapping.obj_attr_is_set(name)}, instance_uuid=uuid)
        ).update_or_create()
    if build.tags:
        objects.TagList.create(context, uuid, [tag.tag for tag in build.tags])


def fail(context, instance, host):
    """Let the owner of a server see why it is in ERROR.

    :param context: targeted at the cell of the server
    :param host: of the event
    """
    reason = BuildLost()
    objects.InstanceAction.action_start(
        context, instance.uuid, instance_actions.CREATE, want_result=False)
    objects.InstanceActionEvent.event_start(
        context, instance.uuid, EVENT, want_result=False, host=host)
    objects.InstanceActionEvent.event_finish_with_failure(
        context, instance.uuid, EVENT, exc_val=reason, want_result=False)
    compute_utils.add_instance_fault_from_exc(context, instance, reason)
