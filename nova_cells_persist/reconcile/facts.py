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

"""What a request spec and its server should say alike.

Only what a server keeps, under the names of the request spec's fields.
"""

from typing import Any

from nova_cells_persist.db import database
from nova_cells_persist.objects import contract
from nova_cells_persist.objects import primitive
from nova_cells_persist.reconcile import fields

#: The server group of a server, in a process that cannot know it.
UNKNOWN = object()

#: What there is of a flavor, beside its extra specs. The rest says who may
#: see it, or is of its row.
_FLAVOR = ('id', 'flavorid', 'name', 'vcpus', 'memory_mb', 'root_gb',
           'ephemeral_gb', 'swap')


@primitive.reads
def of_spec(text: str) -> dict[str, Any]:
    """Return what a request spec says of its server.

    :param text: the JSON of the RequestSpec
    :returns: {name with dots: value}
    :raises: ValueError if it is not the JSON of an object
    """
    flat = fields.flat(text)
    found = _of_flavor(flat)
    found['image.id'] = flat.get('image.id')
    found['instance_group.uuid'] = flat.get('instance_group.uuid')
    found['availability_zone'] = flat.get('availability_zone')
    found.update(_of_aliases(primitive.data(text)))
    return found


def of_instance(instance, group, claimed, data):
    """Return the same of the server itself.

    :param instance: an Instance with its flavor and PCI requests
    :param group: the InstanceGroup that it is a member of, None, or UNKNOWN
    :param claimed: as of of_spec()
    :param data: the fields of the request spec
    """
    flavor = primitive.dumps({primitive.DATA: {
        'flavor': instance.flavor.obj_to_primitive()}})
    found = _of_flavor(fields.flat(flavor))
    found['image.id'] = (claimed['image.id'] if data.get('is_bfv')
                         else instance.image_ref or None)
    found['instance_group.uuid'] = (
        claimed['instance_group.uuid'] if group is UNKNOWN
        else group and group.uuid)
    found['availability_zone'] = zone(instance, claimed['availability_zone'])
    found.update(_of_aliases({
        'pci_requests': instance.pci_requests and
        instance.pci_requests.obj_to_primitive()}))
    return found


def zone(instance, asked):
    """Return the availability zone that a request spec should ask for.

    A server for which none was asked may be in any. One that is on no host is
    in none, and which one a host is in stands in the API database, which the
    conductor of a cell does not know: what was asked for is right then.

    :param instance: an Instance
    :param asked: the one that it asks for, or None
    """
    if not asked or not instance.host or database.is_cell_level():
        return asked
    return contract.zone(instance._context, instance)


def _of_flavor(flat):
    wanted = {'flavor.%s' % name for name in _FLAVOR}
    return {name: value for name, value in flat.items()
            if name in wanted or name.startswith('flavor.extra_specs.')}


def _of_aliases(data):
    return {'pci_requests.%s' % alias: count
            for alias, count in contract.aliases(data).items()}
