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

"""RequestSpec, with its revisions.

Stands in for nova/objects/request_spec.py. What is overridden is where rows
are written and read; what a RequestSpec is, stays with Nova.
"""

import contextvars
import copy
import functools

from oslo_log import log as logging
from oslo_serialization import jsonutils
from oslo_versionedobjects import exception as ovo_exc

from nova import exception as nova_exc
from nova import objects
from nova.objects import base
from nova.objects import request_spec as stock

from nova_cells_persist.db import database
from nova_cells_persist.db import models
from nova_cells_persist.db import request_spec as db_spec
from nova_cells_persist import exception
from nova_cells_persist.objects import copies
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import heal
from nova_cells_persist.objects import instance_group
from nova_cells_persist.objects import landing
from nova_cells_persist.objects import operation
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import record
from nova_cells_persist.objects import remotable
from nova_cells_persist.objects import revision
from nova_cells_persist.objects import scope

LOG = logging.getLogger(__name__)

#: The Copies of all specs that are read at once in this thread, or None.
_alike = contextvars.ContextVar('nova_cells_persist_specs', default=None)

#: Whether one that was read is being made into an object in this thread.
_hydrating = contextvars.ContextVar('nova_cells_persist_hydrating',
                                    default=False)

#: Fields that Nova resets on an object it goes on using, and does not mean to
#: save: see reset_forced_destinations().
RESET = ('force_hosts', 'force_nodes')


class RequestSpec(stock.RequestSpec):
    """The request under which a server was scheduled.

    At the API level Nova's own row is the record, and its cell has a copy of
    each revision. In a process that serves one cell, the newest revision in
    that cell is all there is.
    """

    #: The JSON that was written last, None if this object wrote none.
    persisted = None

    #: The names of the fields that were deleted since it was read.
    _deleted = frozenset()

    def __delattr__(self, name):
        super().__delattr__(name)
        if name in self.fields:
            self._deleted |= {name}

    def _get_update_primitives(self):
        # Nova's makes a clone and takes out of that what is not persisted.
        # Nothing in it is changed but what stands at its top.
        self.obj_clone = functools.partial(_copy_of_top, self)
        try:
            updates = super()._get_update_primitives()
        finally:
            del self.obj_clone
        if updates:
            # One text for both tables, Nova's and ours.
            updates['spec'] = primitive.compact(updates['spec'])
            self.persisted = updates['spec']
        return updates

    @staticmethod
    def _create_in_db(context, updates):
        uuid, text = updates['instance_uuid'], updates['spec']
        revision.check_size(uuid, text)
        with database.api_writer(context) as session:
            nova_row = stock.RequestSpec._create_in_db(context, updates)
            db_spec.insert(session, [revision.row(uuid, 1, 'create', text)])
        return nova_row

    @staticmethod
    def _get_by_instance_uuid_from_db(context, instance_uuid):
        if database.is_cell_level():
            newest = revision.newest(context, instance_uuid)
            if newest is None:
                raise nova_exc.RequestSpecNotFound(
                    instance_uuid=instance_uuid)
            return revision.as_nova_row(newest)
        operation.reads(context, instance_uuid)
        with database.api_reader(context) as session:
            found = db_spec.nova_row(session, instance_uuid)
        row = (found._mapping if found is not None else
               heal.rebuild(context, instance_uuid))
        if row is None:
            raise nova_exc.RequestSpecNotFound(instance_uuid=instance_uuid)
        return row

    if hasattr(stock.RequestSpec, 'get_by_instance_uuids'):
        # Nova 29 and newer.

        @remotable.remotable_classmethod
        def get_by_instance_uuids(cls, context, instance_uuids):
            if not instance_uuids:
                return []
            with instance_group.at_once(), scope.of(_alike, copies.Copies()):
                return list(cls._readable(context, (
                    cls._get_by_instance_uuids_from_db(
                        context, instance_uuids))))

        @classmethod
        def _readable(cls, context, rows):
            """Yield the specs of those rows that can be read.

            A bad one must not hide the others in a list of servers.
            """
            for row in rows:
                try:
                    yield cls._from_db_object(context, cls(), row)
                except ovo_exc.IncompatibleObjectVersion as exc:
                    LOG.error('%s', revision.unreadable(
                        row['instance_uuid'], exc))
                except damage.UNREADABLE:
                    pass   # which has been logged

        @staticmethod
        def _get_by_instance_uuids_from_db(context, instance_uuids):
            rows = stock.RequestSpec._get_by_instance_uuids_from_db(
                context, instance_uuids)
            instance_group.load(context, _group_uuids(rows))
            return rows

    @staticmethod
    def _from_db_object(context, spec, row):
        # What has just been written is as whole as its writer has made it.
        is_read = 'instance_uuid' not in spec
        try:
            spec = _hydrate(context, spec, row)
            if is_read:
                damage.require_whole(spec)
        except ovo_exc.IncompatibleObjectVersion:
            raise   # not damaged: a newer Nova has written it
        except damage.UNREADABLE as exc:
            row = _rebuilt(context, row, exc)
            if row is None:
                raise
            spec = _hydrate(context, spec, row)
        spec._deleted = frozenset()
        return spec

    @base.remotable
    def save(self):
        """Save what has changed, and nothing else.

        Stands in for save() and _save_in_db() of nova/objects/request_spec.py,
        which write all of the object over what another has saved meanwhile.
        What Nova has reset and does not mean to save, see RESET, stays so.

        :raises: as record.write()
        """
        if _hydrating.get() and not database.is_cell_level():
            # It was read, and Nova had to migrate it. Its cell, which may be
            # down, has that with the next reload.
            return stock.RequestSpec.save(self)
        fields = self.obj_what_changed()
        # A field that was deleted is a change too, and no object says so.
        dropped = {name for name in self._deleted if name not in self}
        if dropped:
            self._changed_fields.add('instance_uuid')
        updates = self._get_update_primitives()
        if not updates:
            return
        row = self._write(lambda text: _on_top_of(
            text, updates['spec'], fields, dropped, self.instance_uuid))
        kept = {name: getattr(self, name) for name in RESET
                if name in self and name not in fields}
        self._take_over(row)
        for name, value in kept.items():
            setattr(self, name, value)
        self.obj_reset_changes()

    def _take_over(self, row):
        try:
            self._from_db_object(self._context, self, row)
        except ovo_exc.IncompatibleObjectVersion:
            # A newer Nova has saved meanwhile, and this is saved on top. The
            # object is what its owner has made it, as after Nova's save().
            self._deleted = frozenset()

    def _write(self, edit):
        """Save what edit() makes of the JSON that stands there.

        :returns: Nova's row
        """
        under_way = operation.current()

        def change(current):
            text = under_way.complete(edit(current))
            under_way.saved = current and (current, text)
            return text

        row, under_way.revision = record.write(
            self._context, self.instance_uuid, change, under_way.event)
        return row

    @staticmethod
    def _destroy_in_db(context, instance_uuid):
        landing.forget(context, [instance_uuid])
        missing = None
        with database.api_writer(context) as session:
            try:
                stock.RequestSpec._destroy_in_db(context, instance_uuid)
            except nova_exc.RequestSpecNotFound as exc:
                missing = exc   # but what we have of it goes all the same
            db_spec.delete(session, [instance_uuid])
        if missing:
            raise missing

    @staticmethod
    def _destroy_bulk_in_db(context, instance_uuids):
        landing.forget(context, instance_uuids, db_spec.delete_strays)
        with database.api_writer(context) as session:
            # In the order in which a boot writes them. MySQL locks all of a
            # table that is small beside what is deleted from it.
            count = stock.RequestSpec._destroy_bulk_in_db(
                context, instance_uuids)
            if database.has_table(session, models.request_spec):
                db_spec.delete(session, instance_uuids)
            return count


def _copy_of_top(spec):
    """Return a copy whose fields can be set and deleted.

    What the fields have is shared, where obj_clone() copies all of it; but
    not the server group, of which Nova sets fields too.
    """
    top = copy.copy(spec)
    del top.obj_clone
    top._changed_fields = set(spec._changed_fields)
    if 'instance_group' in top and top.instance_group:
        group = copy.copy(top.instance_group)
        group._changed_fields = set(group._changed_fields)
        top.instance_group = group
    return top


#: What is in the JSON of a request spec that has a server group.
_GROUP = '"InstanceGroup"'


def _group_uuids(rows):
    """Return the uuids of the server groups in rows of request_specs."""
    groups = [instance_group.in_spec(row['spec']) for row in rows]
    return {group['uuid'] for group in groups if group}


def _rebuilt(context, row, reason):
    """Say that a row cannot be read, and return what it is rebuilt to."""
    uuid = row['instance_uuid']
    if not database.is_cell_level():
        LOG.error('%s', revision.unreadable(uuid, reason))
        return heal.rebuild(context, uuid, row['spec'])
    LOG.error('%s', exception.UnreadableRow(
        table='request_spec', database=database.name(context),
        instance_uuid=uuid, reason=reason))
    return None


def _hydrate(context, spec, row):
    # Nova writes into its row what had changed when it was saved, in the
    # objects inside the spec too. Hydrated as it is, those would count as
    # changed by whoever has read it, and his save() would overwrite what
    # another writer has saved meanwhile. Rows of the plugin say no such thing.
    if primitive.CHANGES in row['spec']:
        row = {'id': row['id'], 'instance_uuid': row['instance_uuid'],
               'spec': primitive.compact(row['spec'])}
    hydrate = (_hydrate_in_cell if database.is_cell_level()
               else stock.RequestSpec._from_db_object)
    with scope.of(_hydrating, True):
        spec = _hydrate_alike(hydrate, context, spec, row)
    # One that has extra specs counts them as changed, and so the spec it.
    if 'flavor' in spec:
        spec.flavor.obj_reset_changes()
    if _has_lost_group(spec, row['spec']):
        # Nova writes all of a spec, and so that its group was deleted.
        spec._changed_fields |= {'instance_group', 'scheduler_hints'}
    return spec


def _has_lost_group(spec, text):
    # Most have none, or have it still: nothing is parsed or asked for them.
    if (database.is_cell_level() or 'instance_group' not in spec or
            spec.instance_group is not None or _GROUP not in text):
        return False
    return instance_group.is_deleted(spec._context, text)


def _hydrate_alike(hydrate, context, spec, row):
    alike = _alike.get()
    # Within, Nova may save what it reads, and so read it once more.
    if alike is None or 'obj_from_primitive' in vars(spec):
        return hydrate(context, spec, row)
    # Nova makes what is in it with this method of the object itself.
    spec.obj_from_primitive = functools.partial(
        _from_primitive, type(spec)(), alike)
    try:
        return hydrate(context, spec, row)
    finally:
        del spec.obj_from_primitive


def _from_primitive(blank, alike, primitive):
    alike.hydrate_within(blank, primitive)
    return blank.obj_from_primitive(primitive)


def _hydrate_in_cell(context, spec, row):
    """As RequestSpec._from_db_object(), without the API database.

    Nova's reads the server group from there, to have its policy as it is
    today. The group that the object has, or that was saved, has to do.
    """
    saved = jsonutils.loads(row['spec'])
    group = saved[primitive.DATA].pop('instance_group', None)
    had_group = 'instance_group' in spec
    spec = stock.RequestSpec._from_db_object(
        context, spec, dict(row, spec=jsonutils.dumps(saved)))
    if not had_group:
        spec.instance_group = (
            objects.InstanceGroup.obj_from_primitive(group, context)
            if group else None)
        spec.obj_reset_changes(['instance_group'], recursive=True)
    return spec


def _on_top_of(current, mine, fields, dropped, instance_uuid):
    """Return what stands there with what one writer has changed in it.

    :param fields: the names of the fields that he has changed: what another
        writer has saved meanwhile in other fields stays
    :param dropped: the names of the fields that he has deleted
    """
    if current is None:   # in a cell that has none; else it is refused
        return mine
    try:
        return primitive.reapply(current, mine, fields, dropped)
    except ValueError as exc:
        LOG.error('%s It is overwritten with what is saved now.',
                  revision.unreadable(instance_uuid, exc))
        return mine
