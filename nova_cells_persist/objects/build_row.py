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

It is a text of four lines, each a JSON or empty, so that none has to be read
for another:

1. the instance without the objects in it;
2. those objects by the names of their fields; null stands for one that the
   request spec has;
3. the block device mappings;
4. the tags.
"""

import collections
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

#: What a row says, of its PARTS: their JSON, None where there is none. What is
#: in the instance and not in its JSON: ``objects``, field to primitive, and
#: ``long``, field to text.
Content = collections.namedtuple('Content', PARTS + ('objects', 'long'))


@primitive.reads
def columns(updates, spec):
    """Return what the row of a build says, column to value.

    :param updates: what Nova would write into build_requests: the JSON of
        ``instance``, ``block_device_mappings`` and ``tags``
    :param spec: the JSON of the request spec, or None if it is not known
    :raises: BuildTooLarge if the row would not hold it, ValueError if they
        are no JSON of such objects
    """
    parts = {part: primitive.without_changes(jsonutils.loads(updates[part]))
             for part in PARTS if updates.get(part) is not None}
    instance = parts.get('instance')
    values = _typed(instance)
    for name in LONG:
        if values[name] is not None:
            del instance[primitive.DATA][name]
    lines = (instance, _take_out(instance, spec),
             *(parts.get(part) for part in PARTS[1:]))
    values['request_obj'] = '\n'.join(
        primitive.dumps(line) if line else '' for line in lines)
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


@primitive.reads
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


def as_in_a_cell(time):
    """Return a time as it is once its server is in a cell, a datetime.

    On its way there it loses what is less than a second.
    """
    return time.replace(microsecond=0)


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


@primitive.reads
def content(row):
    """Return what a row of build_request says, as a Content.

    :param row: as of db.build_request.get()
    :raises: ValueError if the row cannot be read
    """
    lines = row.request_obj.split('\n')
    if len(lines) != 1 + len(PARTS):
        raise ValueError('request_obj has %d lines' % len(lines))
    instance, objects, mappings, tags = lines
    objects = _put_back(jsonutils.loads(objects or '{}'), row.spec)
    values = {name: getattr(row, name) for name in LONG}
    return Content(
        instance or None, mappings or None, tags or None, objects,
        {name: text for name, text in values.items() if text is not None})


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
    """Take the objects out of an instance and return them by their fields."""
    if not instance:
        return {}
    fields = instance[primitive.DATA]
    objects = {name: value for name, value in fields.items()
               if isinstance(value, dict) and primitive.NAME in value}
    contract = primitive.without_changes(primitive.data(spec)) if spec else {}
    for name, value in objects.items():
        del fields[name]
        if name in SHARED and value == contract.get(name):
            objects[name] = None
    return objects


def _put_back(objects, spec):
    shared = [name for name, value in objects.items() if value is None]
    if not shared:
        return objects
    if spec is None:
        raise ValueError('the request spec, of which it needs %s, is gone' %
                         ', '.join(shared))
    contract = primitive.data(spec)
    return dict(objects, **{name: contract[name] for name in shared})
