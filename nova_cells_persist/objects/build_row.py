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

"""A build in flight as a row, and as what Nova makes a BuildRequest of.

The JSON in the row has what stands nowhere else: the parts of the instance
that the request spec has too, word for word, and those that fill a column of
the row are left out of it, and put back when it is read.
"""

import types

from oslo_serialization import jsonutils

from nova_cells_persist.db import models
from nova_cells_persist import exception
from nova_cells_persist.objects import primitive

#: Fields of the same name in an Instance and in a RequestSpec, worth sharing.
SHARED = ('flavor', 'numa_topology', 'pci_requests')

#: Fields of an Instance that may be long, and stand in columns alone.
LONG = ('key_data', 'user_data')

#: Fields of a BuildRequest that Nova keeps as JSON.
PARTS = ('instance', 'block_device_mappings', 'tags')


def columns(updates, spec):
    """Return what the row of a build says, column to value.

    :param updates: what Nova would write into build_requests: the JSON of
        ``instance``, ``block_device_mappings`` and ``tags``
    :param spec: the JSON of the request spec, or None if it is not known
    :raises: BuildTooLarge if the row would not hold it
    """
    parts = {part: primitive.without_changes(jsonutils.loads(updates[part]))
             for part in PARTS if updates.get(part) is not None}
    values = _typed(parts.get('instance'))
    for name in LONG:
        if values[name] is not None:
            del parts['instance'][primitive.DATA][name]
    parts['shared'] = _take_out(parts.get('instance'), spec)
    values['request_obj'] = primitive.dumps(parts)
    size = max(len(values[name] or '') for name in LONG + ('request_obj',))
    if size > models.MEDIUMTEXT_BYTES:
        raise exception.BuildTooLarge(
            instance_uuid=updates.get('instance_uuid'), size=size,
            limit=models.MEDIUMTEXT_BYTES)
    return values


def written(row_id, values, spec):
    """Return what was inserted just now as of db.build_request.get().

    :param values: as of columns()
    :param spec: as for columns()
    """
    return types.SimpleNamespace(
        id=row_id, spec=spec, mirror_updated_at=values['updated_at'],
        **values)


def items(instance_uuid, updates):
    """Return the rows of the tags and the metadata of a build.

    :param updates: as for columns()
    :returns: a list of dicts, column to value
    """
    pairs = [('tag', tag, None) for tag in _tags(updates.get('tags'))]
    if updates.get('instance'):
        metadata = primitive.data(updates['instance']).get('metadata') or {}
        pairs.extend(('metadata', *pair) for pair in metadata.items())
    return [{'instance_uuid': instance_uuid, 'kind': kind, 'name': name,
             'value': value} for kind, name, value in pairs]


def is_stale(row):
    """Whether a node without the plugin has changed the mirror since.

    :param row: as of db.build_request.get()
    """
    theirs, ours = row.mirror_updated_at, row.updated_at
    return theirs is not None and (ours is None or theirs > ours)


def plain(row):
    """Return what is no JSON of a row of build_request, as Nova's has it.

    :param row: as of db.build_request.get() or mark()
    """
    return {
        'id': row.mirror_id or row.id,
        'instance_uuid': row.instance_uuid,
        'project_id': row.project_id,
        'created_at': row.created_at,
        'updated_at': row.updated_at,
    }


def nova_row(row):
    """Return a row of build_request as the row Nova would have read.

    :param row: as of db.build_request.get()
    :returns: a dict like a row of Nova's table build_requests
    :raises: ValueError if the row cannot be read
    """
    try:
        parts = jsonutils.loads(row.request_obj)
        instance = parts.get('instance')
        _put_back(instance, parts.pop('shared'), row.spec)
        for name in LONG:
            value = getattr(row, name)
            if value is not None:
                instance[primitive.DATA][name] = value
    except (TypeError, KeyError, AttributeError) as exc:
        raise ValueError('request_obj is not what it should be: %r' % exc)
    result = plain(row)
    result.update((part, jsonutils.dumps(parts[part])
                   if part in parts else None) for part in PARTS)
    return result


def _typed(instance):
    fields = instance[primitive.DATA] if instance else {}
    values = {name: fields.get(name) for name in models.INSTANCE_COLUMNS}
    values['locked'] = bool(fields.get('locked'))
    return values


def _tags(text):
    if not text:
        return []
    return [tag[primitive.DATA]['tag'] for tag in
            primitive.data(text)['objects']]


def _take_out(instance, spec):
    if not instance or not spec:
        return []
    fields = instance[primitive.DATA]
    contract = primitive.without_changes(primitive.data(spec))
    shared = [name for name in SHARED
              if fields.get(name) and fields[name] == contract.get(name)]
    for name in shared:
        del fields[name]
    return shared


def _put_back(instance, shared, spec):
    if not shared:
        return
    if spec is None:
        raise ValueError('the request spec, of which it needs %s, is gone' %
                         ', '.join(shared))
    contract = primitive.data(spec)
    for name in shared:
        instance[primitive.DATA][name] = contract[name]
