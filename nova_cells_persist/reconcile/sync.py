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

"""Make a request spec say what its server is, or what it said before."""

from oslo_serialization import jsonutils

from nova import exception as nova_exc
from nova import objects

from nova_cells_persist.db import database
from nova_cells_persist import exception
from nova_cells_persist.objects import cells
from nova_cells_persist.objects import contract
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import record
from nova_cells_persist.reconcile import facts
from nova_cells_persist.reconcile import legibility


def _pci(data, instance, group):
    found = contract.of_flavor(data, instance, instance.flavor)
    return {name: found[name] for name in ('pci_requests',) if name in found}


def _zone(data, instance, group):
    return {'availability_zone': facts.zone(
        instance, data.get('availability_zone'))}


def _image(data, instance, group):
    # That of a server in a volume is told by the volume.
    return {'image': instance.image_meta.obj_to_primitive()
            if contract.tells_image(instance, data)
            else data.get('image')}


def _group(data, instance, group):
    if group is None:
        return {'instance_group': None}
    if group is facts.UNKNOWN:
        return {}
    # As Nova persists it, without who is in it.
    group = objects.InstanceGroup.obj_from_primitive(
        group.obj_to_primitive())
    group.members = group.hosts = None
    return {'instance_group': group.obj_to_primitive()}


#: What can be taken from a server: functions of the fields of its request
#: spec, the Instance and the InstanceGroup, which return fields.
FIELDS = {
    'flavor': lambda data, instance, group: contract.of_flavor(
        data, instance, instance.flavor),
    'az': _zone,
    'image': _image,
    'group': _group,
    'pci': _pci,
}


def sync(context, server, names):
    """Make the request spec of a server say what the server is.

    A server for which no availability zone was asked may be in any, and is
    not tied to the one that it is in.

    :param context: an admin context, not targeted
    :param server: a reconcile.server.Server
    :param names: keys of FIELDS
    :returns: those that said something else, a list
    :raises: NoInstance, NoSpec; ServerBusy while a task of it runs;
        UnreadableSpec, UnreadableRevision
    """
    instance, group = server.instance(context)
    _require_idle(server, instance.task_state)
    changed: list[str] = []

    def edit(text):
        if text is None:
            raise exception.NoSpec(instance_uuid=server.instance_uuid)
        with _legible(server):
            return with_all(text)

    def with_all(text):
        changed[:] = []
        for name in names:
            synced = _with(text, FIELDS[name](
                primitive.data(text), instance, group))
            if facts.of_spec(synced) != facts.of_spec(text):
                changed.append(name)
                text = synced
        return text if changed else None

    _write(context, server, edit, 'sync')
    return changed


def restore(context, server, number=None):
    """Put back a revision of the request spec of a server, as a new one.

    :param context: an admin context, not targeted
    :param server: a reconcile.server.Server
    :param number: of the revision; None for the last that says otherwise
        than the request spec does now
    :returns: the number of the revision that was put back; None if the
        request spec says what it does already
    :raises: UnknownRevision, NoFormerRevision, NoSpec; ServerBusy while a
        task of it runs; UnreadableRevision
    """
    _require_idle(server, server.task(context))
    chosen = (_former(server) if number is None
              else _undamaged(server.revision(number))).row
    digest = primitive.digest(chosen.spec)

    def edit(text):
        if (text is not None and
                primitive.digest_if_readable(text) == digest):
            return None
        return primitive.compact(chosen.spec)

    row = _write(context, server, edit, 'restored')
    return chosen.revision if row is not None else None


def _former(server):
    current = primitive.digest_if_readable(
        server.nova_spec or server.revisions[-1].row.spec)
    for each in reversed(server.revisions):
        if (primitive.digest_if_readable(each.row.spec) != current and
                not damage.of_spec(each.row.spec)):
            return each
    raise exception.NoFormerRevision(instance_uuid=server.instance_uuid)


def _undamaged(found):
    reason = damage.of_spec(found.row.spec)
    if reason is not None:
        raise legibility.error(found.row.instance_uuid, found.database,
                               found.row.revision, reason)
    return found


def _require_idle(server, task):
    if task is not None:
        raise exception.ServerBusy(instance_uuid=server.instance_uuid,
                                   task=task)


def _write(context, server, edit, event):
    home = context if server.cell is None else cells.targeted(
        context, server.cell)
    try:
        row, _ = record.write(home, server.instance_uuid, edit, event)
    except nova_exc.RequestSpecNotFound:
        raise exception.NoSpec(instance_uuid=server.instance_uuid)
    return row


def _legible(server):
    """Say of the record, which is edited, that it cannot be read."""
    if not database.is_cell_level():
        return legibility.of_nova_row(server.instance_uuid)
    newest = server.revisions[-1]
    return legibility.of(server.instance_uuid, newest.database,
                         newest.row.revision)


def _with(text, fields):
    whole = jsonutils.loads(text)
    return primitive.with_data(whole, dict(whole[primitive.DATA], **fields))
