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

"""The JSON in which Nova's objects are kept in a database.

Pure functions on text; no object is hydrated for them.
"""

import functools
import hashlib

from oslo_serialization import jsonutils
from oslo_utils import versionutils

CHANGES = 'nova_object.changes'
DATA = 'nova_object.data'
NAME = 'nova_object.name'
VERSION = 'nova_object.version'

#: What comes of reading the JSON of an object that is damaged, beside
#: ValueError: other types than expected, fields that are missing, numbers
#: beyond all bounds, and what is nested more deeply than the stack is.
MALFORMED = (TypeError, LookupError, AttributeError, ArithmeticError,
             RuntimeError)

#: How deeply any object is nested, many times over.
DEEPEST = 100


def reads(function):
    """Decorate a function of JSON: what it cannot read is a ValueError."""
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except MALFORMED as exc:
            raise ValueError('it is not the JSON of an object: %r' % exc)
    return wrapper


@reads
def compact(text):
    """Return the JSON without the lists of changed fields.

    They are a third of a request spec and say nothing once it is saved.

    :raises: ValueError if it is no JSON
    """
    return dumps(without_changes(jsonutils.loads(text)))


@reads
def require_shallow(*texts):
    """Raise ValueError if a JSON is nested more deeply than any object is.

    Who has more on the stack can read less: nova-api less than audit.

    :param texts: the JSONs; those that are None or empty are left out
    """
    level = [jsonutils.loads(text) for text in texts if text]
    for _ in range(DEEPEST):
        level = [inner for each in level for inner in _within(each)]
    if level:
        raise ValueError('it is nested more deeply than %d times' % DEEPEST)


def _within(value):
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def without_changes(primitive):
    """Return a copy of a primitive without its lists of changed fields.

    A dict that is no object, such as a user's scheduler hints, may have any
    key and keeps it.
    """
    if isinstance(primitive, dict):
        return {key: without_changes(value)
                for key, value in primitive.items()
                if key != CHANGES or NAME not in primitive}
    if isinstance(primitive, list):
        return [without_changes(value) for value in primitive]
    return primitive


def dumps(primitive):
    """Return a primitive as JSON, in ASCII and without spaces."""
    return jsonutils.dumps(primitive, separators=(',', ':'))


@reads
def data(text):
    """Return the fields of the object in the JSON.

    :returns: a dict, name to primitive value
    :raises: ValueError if it is not the JSON of an object
    """
    fields = jsonutils.loads(text)[DATA]
    if not isinstance(fields, dict):
        raise ValueError('it is not the JSON of an object')
    return fields


@reads
def digest(text):
    """Return what is the same for two JSONs of the same content.

    Neither the order of keys counts nor what was changed last.

    :returns: 64 hexadecimal digits
    :raises: ValueError if it is no JSON
    """
    primitive = without_changes(jsonutils.loads(text))
    canonical = jsonutils.dumps(primitive, sort_keys=True,
                                separators=(',', ':'))
    return hashlib.sha256(canonical.encode('utf-8')).hexdigest()


def digest_if_readable(text):
    """As digest(), or None if it is no JSON."""
    try:
        return digest(text)
    except ValueError:
        return None


@reads
def reapply(newest, mine, fields, dropped=()):
    """Apply what one writer has changed to what another one has saved.

    :param newest: the JSON that was saved meanwhile
    :param mine: the JSON of this writer's object
    :param fields: the names of the fields that this writer has changed
    :param dropped: the names of those that he has deleted
    :returns: the JSON of both, of the higher of the two versions
    :raises: ValueError if newest is not the JSON of an object
    """
    ours = jsonutils.loads(mine)
    theirs = jsonutils.loads(newest)
    merged = dict(theirs[DATA])
    ahead = _version(theirs) > _version(ours)
    # A field that is not persisted may be changed and yet not be there.
    merged.update((field, ours[DATA][field]) for field in fields
                  if field in ours[DATA])
    for field in dropped:
        merged.pop(field, None)
    return with_data(theirs if ahead else ours, merged)


def with_data(primitive, data):
    """Return the JSON of an object with other fields, a str.

    :param primitive: of the object, which stays as it is
    :param data: the primitives of all fields
    """
    return dumps(without_changes(dict(primitive, **{DATA: data})))


def _version(primitive):
    return versionutils.convert_version_to_tuple(primitive[VERSION])
