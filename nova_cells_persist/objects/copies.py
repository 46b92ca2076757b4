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

"""Copies of objects: what many rows have alike is hydrated once.

The servers of one page have mostly one flavor and one image, and no key pair.
To hydrate these is a good part of what it takes to hydrate the page; to copy
them is little.
"""

import copy

from nova.objects import base

from nova_cells_persist.objects import primitive as primitives


class Copies:
    """Hydrates the objects inside those that are read together."""

    def __init__(self):
        self._known = {}   # name of a field: (primitive, object, Original)

    def hydrate(self, owner, name, primitive):
        """Return what a field of an object is to be.

        :param owner: the object
        :param primitive: of an object
        """
        known, value, original = self._known.get(name, (None, None, None))
        if known == primitive:
            # Most are not met again, so it is not made for the first.
            original = original or Original(value)
            self._known[name] = known, value, original
            return original.copy()
        value = owner.fields[name].from_primitive(owner, name, primitive)
        value.obj_reset_changes()   # A flavor counts its extra specs.
        self._known[name] = primitive, value, None
        return value

    def hydrate_within(self, owner, primitive):
        """Put objects in place of their primitives in that of another one.

        Which obj_from_primitive() then takes as they are.

        :param owner: an object as that other one
        """
        fields = primitive[primitives.DATA]
        for name, value in fields.items():
            if (isinstance(value, dict) and primitives.NAME in value and
                    name in owner.fields):
                fields[name] = self.hydrate(owner, name, value)


class Original:
    """An object to make copies of, as it is now.

    In a fraction of the time that it takes to hydrate it, or to deepcopy() it.
    """

    def __init__(self, value):
        self._value = copy.copy(value)
        # What may be changed in place.
        self._fields = {}
        for name in value.fields:
            if value.obj_attr_is_set(name):
                content = getattr(value, name)
                if isinstance(content, (base.NovaObject, list, dict)):
                    self._fields[name] = _template(content)

    def copy(self):
        twin = copy.copy(self._value)
        for name, attribute in vars(twin).items():
            if type(attribute) in (list, dict, set):
                setattr(twin, name, attribute.copy())
        if self._fields:
            for name, template in self._fields.items():
                setattr(twin, name, _filled(template))
            twin.obj_reset_changes(self._fields)
        return twin


def _template(content):
    """Return something like it that has Originals for objects."""
    if isinstance(content, base.NovaObject):
        return Original(content)
    if isinstance(content, list):
        return [_template(each) for each in content]
    if isinstance(content, dict):
        return {key: _template(each) for key, each in content.items()}
    return content


def _filled(template):
    if isinstance(template, Original):
        return template.copy()
    if isinstance(template, list):
        return [_filled(each) for each in template]
    if isinstance(template, dict):
        return {key: _filled(each) for key, each in template.items()}
    return template
