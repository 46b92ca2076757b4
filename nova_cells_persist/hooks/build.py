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

"""The build of a server in the conductor."""

from nova_cells_persist.hooks import base
from nova_cells_persist.objects import build_request


class ExistenceCheck(base.Hook):
    """Wraps functions of ComputeTaskManager of nova.conductor.manager.

    Before they write a server into its cell, and when they have, they ask for
    its BuildRequest to see that nobody has deleted it, and to delete it.
    """

    module = 'nova.conductor.manager'
    attributes = ('ComputeTaskManager.schedule_and_build_instances',
                  'ComputeTaskManager._destroy_build_request')

    def call(self, wrapped, instance, args, kwargs):
        return _build(wrapped, *args, **kwargs)


def _build(wrapped, context, *args, **kwargs):
    with build_request.only_existence(context):
        return wrapped(context, *args, **kwargs)
