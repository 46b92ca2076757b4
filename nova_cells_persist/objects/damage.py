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

"""What is no object any more: a row whose JSON Nova could not use."""

import functools

from oslo_serialization import jsonutils
from oslo_versionedobjects import exception as ovo_exc

from nova.objects import request_spec as stock

from nova_cells_persist.objects import primitive

#: What hydrating a damaged row raises.
UNREADABLE = primitive.MALFORMED + (
    ValueError, ovo_exc.VersionedObjectsException)

#: Without these a request spec cannot be scheduled, nor be shown in a list.
#: Nova has always saved them, and loads none of them later.
_OF_SPEC = ('availability_zone', 'flavor', 'scheduler_hints')

#: The objects in it that many have alike.
_SHARED = {'flavor': 'Flavor', 'image': 'ImageMeta'}

#: The objects in it that are looked into.
_IN_SPEC = ('flavor', 'image', 'pci_requests', 'instance_group')

#: Without these a build cannot be shown, and each one has them.
_OF_BUILD = (
    'access_ip_v4', 'access_ip_v6', 'auto_disk_config', 'availability_zone',
    'config_drive', 'display_description', 'display_name', 'flavor',
    'hostname', 'image_ref', 'kernel_id', 'key_name', 'launch_index',
    'metadata', 'power_state', 'project_id', 'ramdisk_id', 'reservation_id',
    'root_device_name', 'system_metadata', 'task_state', 'trusted_certs',
    'user_data', 'user_id', 'uuid', 'vm_state')


#: Nor without these, in the objects inside it that it has.
_WITHIN = {
    'flavor': ('ephemeral_gb', 'extra_specs', 'flavorid', 'memory_mb', 'name',
               'root_gb', 'swap', 'vcpus'),
    'info_cache': ('network_info',),
    'security_groups': ('name',),
    'tags': ('tag',),
    'trusted_certs': ('ids',),
}


def require_build(build):
    """Raise ValueError if a BuildRequest cannot be shown as a server.

    As the server, and of the project, that its row is of.
    """
    instance = build.instance
    missing = _missing('', instance, _OF_BUILD)
    for name, inner in _WITHIN.items():
        if not missing and instance.obj_attr_is_set(name):
            value = getattr(instance, name)
            for each in getattr(value, 'objects', [value] if value else []):
                missing += _missing(name + '.', each, inner)
    if missing:
        raise ValueError('its instance has no %s' % ', '.join(missing))
    for name, value in (('uuid', build.instance_uuid),
                        ('project_id', build.project_id)):
        if getattr(instance, name) != value:
            raise ValueError('its instance has another %s' % name)


def _missing(prefix, owner, names):
    return [prefix + name for name in names
            if not owner.obj_attr_is_set(name)]


def require_whole(spec):
    """Raise ValueError if a RequestSpec lacks what each one has."""
    missing = [name for name in _OF_SPEC if name not in spec]
    if missing:
        raise ValueError('it has no %s' % ', '.join(missing))


def require_fields(data):
    """Raise one of UNREADABLE if an object in a request spec has no fields.

    Nova makes an object without any of it, and fails where it uses it. Of what
    is compared with a server all that is looked into is there behind this.

    :param data: the fields of the request spec, as of primitive.data()
    """
    for name in _IN_SPEC:
        if data.get(name) is not None:
            _require_dict(data[name][primitive.DATA], name)
    flavor, pci = data.get('flavor'), data.get('pci_requests')
    if flavor is not None:
        _require_dict(flavor[primitive.DATA].get('extra_specs') or {},
                      'extra specs')
    if pci is not None:
        for request in pci[primitive.DATA].get('requests') or []:
            _require_dict(request[primitive.DATA], 'PCI request')


def _require_dict(value, name):
    if not isinstance(value, dict):
        raise ValueError('its %s has no fields' % name)


def spec(text):
    """Return the RequestSpec of a JSON, as Nova hydrates it.

    :raises: IncompatibleObjectVersion if a newer Nova has written it, which
        is no damage; else one of UNREADABLE
    """
    whole = jsonutils.loads(text)
    found = stock.RequestSpec.obj_from_primitive(whole)
    require_whole(found)
    require_fields(whole[primitive.DATA])
    return found


def of_spec(text):
    """Return why a JSON is no request spec, None if it is one.

    :returns: an exception; None for what a newer Nova has written as well
    """
    return _raised_by(spec, text)


def of_one_of_many(text):
    """As of_spec(), but faster if many have the same flavor and image."""
    return _raised_by(_spec_by_parts, text)


def _spec_by_parts(text):
    whole = jsonutils.loads(text)
    data = dict(whole[primitive.DATA])
    require_fields(data)
    parts = [data.pop(name) for name in _SHARED
             if data.get(name) is not None and
             data[name][primitive.NAME] == _SHARED[name]]
    stock.RequestSpec.obj_from_primitive(
        dict(whole, **{primitive.DATA: data}))
    for part in parts:
        _hydrate(jsonutils.dumps(part))
    require_whole(whole[primitive.DATA])


@functools.lru_cache(maxsize=1000)
def _hydrate(text):
    # That it can be is all that is kept.
    stock.RequestSpec.obj_from_primitive(jsonutils.loads(text))


def _raised_by(function, text):
    try:
        function(text)
    except ovo_exc.IncompatibleObjectVersion:
        return None
    except UNREADABLE as exc:
        return exc
    return None
