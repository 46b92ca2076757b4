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

"""The end of a task: what a failed one wanted is taken back."""

from nova.compute import vm_states

from nova_cells_persist.hooks import base
from nova_cells_persist.objects import restore


class EndOfTask(base.Hook):
    """Wraps send_update() of nova.notifications.

    Instance.save() of nova/objects/instance.py calls it in the process that
    has written the row, with the server as it was and as it is: the one
    place where the end of a task can be seen, whoever has ended it.
    """

    module = 'nova.notifications'
    attributes = ('send_update',)

    def call(self, wrapped, instance, args, kwargs):
        result = wrapped(*args, **kwargs)
        _look(*args, **kwargs)
        return result


def _look(context, old, new, *args, **kwargs):
    if old is new:  # Instance.delete_metadata_key(): no row of it was written.
        return
    before, after = old['task_state'], new['task_state']
    if before in restore.MOVING and after not in restore.MOVING:
        restore.restore(context, new['uuid'])
    elif _unshelve_has_failed(old, new):
        restore.restore(context, new['uuid'], restore.of_unshelve)


def _unshelve_has_failed(old, new):
    return (old['vm_state'] == vm_states.SHELVED_OFFLOADED and
            old['task_state'] in restore.UNSHELVING and
            new['vm_state'] != vm_states.ACTIVE and
            (new['task_state'] is None or
             new['vm_state'] == vm_states.ERROR))
