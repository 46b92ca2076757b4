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

"""The fields of a request spec, each under a name with dots.

Pure functions of its JSON.
"""

from collections.abc import Iterable
from typing import Any

from oslo_serialization import jsonutils

from nova_cells_persist.objects import primitive


@primitive.reads
def flat(text: str) -> dict[str, Any]:
    """Return what a request spec says, without the frames of objects.

    :param text: the JSON of a RequestSpec
    :returns: {name: None, a str, a number, a bool, or a list of these}, such
        as ``flavor.extra_specs.hw:cpu_policy``; sorted by the names
    :raises: ValueError if it is not the JSON of an object
    """
    found: dict[str, Any] = {}
    for name, value in primitive.data(text).items():
        _collect(found, name, value)
    return dict(sorted(found.items()))


def top_level(names: Iterable[str]) -> list[str]:
    """Return the fields of the RequestSpec that names with dots are of.

    :returns: a sorted list of str
    """
    return sorted({name.partition('.')[0] for name in names})


def differences(before: dict[str, Any],
                after: dict[str, Any]) -> list[str]:
    """Return the names whose values differ.

    :param before: as of flat(), and so is after
    :returns: a sorted list of str
    """
    return sorted(name for name in before.keys() | after.keys()
                  if before.get(name) != after.get(name))


def shown(value: Any) -> str | None:
    """Return a value as a cell of a table."""
    if value is None:
        return value
    if isinstance(value, str):
        # What no terminal can show is spelt out.
        return value.encode('utf-8', 'backslashreplace').decode()
    return jsonutils.dumps(value)


def _collect(found: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, dict):
        inner = value.get(primitive.DATA, value)
        if not inner:
            found[name] = inner
        for key, each in inner.items():
            _collect(found, '%s.%s' % (name, key), each)
    elif isinstance(value, list) and any(
            isinstance(each, (dict, list)) for each in value):
        for number, each in enumerate(value):
            _collect(found, '%s.%d' % (name, number), each)
    else:
        found[name] = value
