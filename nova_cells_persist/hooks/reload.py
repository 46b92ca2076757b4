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

"""The move paths: reconcile the request spec before Nova reads it."""

from nova_cells_persist.hooks import base
from nova_cells_persist.objects import reload


class ReloadSpec(base.Hook):
    """Wraps the methods of nova.compute.api.API that read a spec to act.

    Each has just been given an instance that was read from its cell, so the
    cell is up. What the cell knows better is brought to the API database
    first; Nova's own read then finds the truth.
    """

    module = 'nova.compute.api'
    attributes = (
        'API.resize',           # and cold migrate
        'API.revert_resize',
        'API.live_migrate',
        'API.evacuate',
        'API.unshelve',
        'API.rebuild',
    )

    def call(self, wrapped, instance, args, kwargs):
        _reload(*args, **kwargs)
        return wrapped(*args, **kwargs)


def _reload(context, instance, *args, **kwargs):
    reload.reload(context, instance.uuid)
