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

"""The move paths: a move runs under the request spec as it is true.

Before one, the API database and the cell are reconciled; Nova's own read then
finds the truth. What is saved in it is called after it, and is taken back if
it fails before anybody else could see that it has.
"""

from nova_cells_persist.db import database
from nova_cells_persist.hooks import base
from nova_cells_persist.objects import operation
from nova_cells_persist.objects import reload
from nova_cells_persist.objects import restore


class Move(base.Hook):
    """Wraps the methods of nova.compute.api.API that read a spec to act.

    Each has just been given an instance that was read from its cell, so the
    cell is up.
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
        return _move(wrapped, *args, **kwargs)


def _move(wrapped, context, instance, *args, **kwargs):
    reload.reload(context, instance.uuid, instance)
    with _operation(wrapped.__name__, context, instance) as move:
        try:
            return wrapped(context, instance, *args, **kwargs)
        except Exception:
            restore.restore_refused(context, instance.uuid, move)
            raise


def _operation(name, context, instance):
    if name == 'revert_resize':
        return operation.during('revert',
                                restore.completion(context, instance))
    return operation.during(name)


class ColdMigrate(base.Hook):
    """Wraps ComputeTaskManager._cold_migrate() of nova.conductor.manager.

    It saves the spec after it has cast the move to a compute, which may have
    failed by then.
    """

    module = 'nova.conductor.manager'
    attributes = ('ComputeTaskManager._cold_migrate',)

    def call(self, wrapped, instance, args, kwargs):
        return _cold_migrate(wrapped, *args, **kwargs)


def _cold_migrate(wrapped, context, instance, flavor, *args, **kwargs):
    with operation.during(_event(instance, flavor)) as move:
        try:
            return wrapped(context, instance, flavor, *args, **kwargs)
        finally:
            if move.revision:
                restore.restore_after_save(context, instance.uuid)


def _event(instance, flavor):
    # A message has it; nothing is to fail here that goes on without it.
    if instance.obj_attr_is_set('flavor') and flavor.id == instance.flavor.id:
        return 'migrate'
    return 'resize'


class Rebuild(base.Hook):
    """Wraps ComputeTaskManager.rebuild_instance() of nova.conductor.manager.

    nova-api has saved the new image. Where it fails here, no host was sent
    anything, so that the server has its old one, also where nothing tells it:
    in a volume.
    """

    module = 'nova.conductor.manager'
    attributes = ('ComputeTaskManager.rebuild_instance',)

    def call(self, wrapped, instance, args, kwargs):
        return _rebuild(wrapped, *args, **kwargs)


def _rebuild(wrapped, context, instance, orig_image_ref, image_ref, *args,
             **kwargs):
    try:
        return wrapped(context, instance, orig_image_ref, image_ref, *args,
                       **kwargs)
    except Exception:
        if image_ref and image_ref != orig_image_ref:
            restore.restore(context, instance.uuid,
                            restore.of_rebuild(image_ref))
        raise


class CrossCellMove(base.Hook):
    """Wraps the end of a cross-cell move in nova.conductor.manager."""

    module = 'nova.conductor.manager'
    attributes = ('ComputeTaskManager.confirm_snapshot_based_resize',
                  'ComputeTaskManager.revert_snapshot_based_resize')

    def call(self, wrapped, instance, args, kwargs):
        _reload(*args, **kwargs)
        return wrapped(*args, **kwargs)


def _reload(context, instance, *args, **kwargs):
    reload.reload(context, instance.uuid)


class StayInCell(base.Hook):
    """Wraps MigrationTask._set_requested_destination_cell().

    Of nova.conductor.tasks.migrate. It asks the API database which cell the
    scheduler has to prefer. A conductor of a cell that cannot reach that
    asks no scheduler: it takes an alternate host that the super-conductor
    was given, in the same cell.
    """

    module = 'nova.conductor.tasks.migrate'
    attributes = ('MigrationTask._set_requested_destination_cell',)

    def call(self, wrapped, instance, args, kwargs):
        if database.is_cell_level():
            return None
        return wrapped(*args, **kwargs)
