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

"""What a request spec must say of a server, as the server is.

Functions of the JSON of request specs. ``history`` is a server's revisions,
oldest first, as rows of the table request_spec.
"""

import collections
import datetime

from oslo_log import log as logging
from oslo_serialization import jsonutils
from oslo_utils import timeutils

from nova import availability_zones
from nova.compute import vm_states
from nova import exception as nova_exc
from nova import objects
from nova.pci import request as pci_request
from nova.virt import hardware

from nova_cells_persist.objects import damage
from nova_cells_persist.objects import primitive

LOG = logging.getLogger(__name__)

#: The fields that a flavor decides; see resize() of nova/compute/api.py.
FIELDS = ('flavor', 'numa_topology', 'pci_requests')

#: The events whose changes hold only if the server became what they say.
MOVE_EVENTS = ('resize', 'migrate', 'revert', 'restore')

#: By how much the clocks of nova-api and nova-compute may differ, and what a
#: database makes of a second.
CLOCKS = datetime.timedelta(seconds=5)

ALIAS = 'pci_passthrough:alias'

#: Servers in these have not yet, or not any more, what a request spec says.
NOT_THERE = frozenset([vm_states.BUILDING, vm_states.DELETED,
                       vm_states.SOFT_DELETED])


@primitive.reads
def restored(text, history, instance, flavor, failed=None):
    """Return the request spec that describes a server as it is.

    It does if it is one for its flavor. The flavor's id decides that, as in
    Nova's revert_resize(), and the PCI devices that are asked for by alias:
    those are what that forgets.

    What a move has changed that did not succeed is taken back, and so is
    what the failed revision changed. Whatever else was saved since stays.

    :param text: the JSON that is persisted now
    :param instance: an Instance
    :param flavor: the Flavor that the server has, or is about to have again
    :param failed: the number of a revision that is to be taken back; None if
        there is none
    :returns: the JSON that is to be persisted
    :raises: ValueError if text is not the JSON of a RequestSpec. A revision
        that is not is passed over
    """
    whole = jsonutils.loads(text)
    content = dict(primitive.data(text))
    history = [row for row in history if _is_readable(row)]
    for before, after in _void(history, instance, flavor, failed):
        _take_back(content, primitive.data(before.spec),
                   primitive.data(after.spec))
    if not _describes(content, flavor):
        content.update(_earlier(history, flavor) or
                       of_flavor(content, instance, flavor))
    return primitive.with_data(whole, content)


def _is_readable(row):
    """Whether a revision tells what is asked of it here."""
    try:
        data = primitive.data(row.spec)
        image_of(data), aliases(data), data['flavor'][primitive.DATA]['id']
    except damage.UNREADABLE:
        return False
    return True


def failed_unshelve(history, instance):
    """Return the revision that a failed unshelve has saved, a row.

    :param instance: the Instance, shelved as before, with system_metadata
    :returns: None if there is none: it has been taken back, or a nova-api
        without the plugin has saved it
    """
    since = instance.system_metadata.get('shelved_at')
    since = since and timeutils.normalize_time(
        timeutils.parse_isotime(since)) - CLOCKS
    taken_back = 0
    for before, row in reversed(list(zip([None, *history], history))):
        if since and row.created_at < since:
            return None
        if row.event == 'restore':
            taken_back += 1
        elif row.event != 'unshelve' or before and _is_alike(before, row):
            continue   # as that of a second request for the same zone
        elif not taken_back:
            return row
        else:
            taken_back -= 1
    return None


def _is_alike(before, after):
    return (primitive.digest_if_readable(before.spec) ==
            primitive.digest_if_readable(after.spec))


def failed_rebuild(history, image_id):
    """Return the revision that a rebuild has saved which began nowhere, a row.

    :param image_id: of the image that the server was to get
    :returns: None if there is none, as for failed_unshelve()
    """
    history = [row for row in history if _is_readable(row)]
    for before, after in reversed(list(zip(history, history[1:]))):
        if after.event == 'rebuild':
            images = [image_of(primitive.data(row.spec))
                      for row in (before, after)]
            return after if (images[0] != image_id and
                             images[1] == image_id) else None
    return None


def _void(history, instance, flavor, failed):
    """Yield (before, after) of the revisions to take back, newest first."""
    settled = False
    for before, after in reversed(list(zip(history, history[1:]))):
        settled = settled or _describes(primitive.data(after.spec), flavor)
        if after.revision != before.revision + 1:   # pruned in between
            continue
        if (after.revision == failed or
                after.event in MOVE_EVENTS and not settled or
                after.event == 'rebuild' and _kept_image(before, after,
                                                         instance)):
            yield before, after


def _kept_image(before, after, instance):
    """Whether a rebuild failed, so that the server has its image still."""
    there = primitive.data(after.spec)
    old, new = image_of(primitive.data(before.spec)), image_of(there)
    return (tells_image(instance, there) and
            old == instance.image_ref and new != old)


def zone(context, instance):
    """Return the availability zone that a server is in, None if in none.

    The conductor writes into the row of a server which zone it is about to be
    in, for rebuild_instance() and live_migrate.py, and does not take that
    back if it fails.

    :param context: an admin context
    :param instance: an Instance, or a row of it
    """
    if not instance.host:
        return instance.availability_zone
    return availability_zones.get_host_availability_zone(
        context, instance.host)


def tells_image(instance, data):
    """Whether the image that an instance names is that of the server.

    That of one in a volume stays the one that it was booted from, if any,
    whatever it is rebuilt from.

    :param instance: an Instance, or a row of it
    :param data: the fields of its request spec
    """
    return bool(instance.image_ref and not data.get('is_bfv'))


def _take_back(content, before, after):
    for field in set(before) | set(after):
        old, new = before.get(field), after.get(field)
        if old != new and content.get(field) == new:
            if field in before:
                content[field] = old
            else:
                content.pop(field, None)


def _earlier(history, flavor):
    """Return FIELDS as the newest revision has them that describes flavor."""
    for row in reversed(history):
        data = primitive.data(row.spec)
        if _describes(data, flavor):
            return {field: data.get(field) for field in FIELDS}
    return None


def of_flavor(content, instance, flavor):
    """Return FIELDS as API.resize() of nova/compute/api.py makes them.

    :param content: the fields of the request spec
    :param instance: an Instance
    :param flavor: the Flavor that it has
    :returns: {field: primitive}; without the PCI requests if they cannot be
        told
    """
    numa = hardware.numa_get_constraints(flavor, instance.image_meta)
    fields = {
        'flavor': flavor.obj_to_primitive(),
        'numa_topology': numa and numa.obj_to_primitive()}
    try:
        requests = _alias_requests(instance, flavor)
    except nova_exc.NovaException as exc:
        LOG.warning('The PCI requests of server %(uuid)s stay as they are in '
                    'its request spec; those of flavor %(flavor)s cannot be '
                    'told: %(reason)s', {'uuid': instance.uuid,
                                         'flavor': flavor.flavorid,
                                         'reason': exc})
        return fields
    pci = objects.InstancePCIRequests(
        instance_uuid=instance.uuid, requests=requests).obj_to_primitive()
    # Those for ports of a network are the server's, whatever its flavor.
    pci[primitive.DATA]['requests'].extend(
        request for request in pci_requests(content)
        if request[primitive.DATA].get('alias_name') is None)
    fields['pci_requests'] = pci
    return fields


def _alias_requests(instance, flavor):
    """Return the InstancePCIRequests that a server of this flavor has.

    Its own if they are that flavor's: their ids stand in its allocations.
    """
    wanted = _aliases_of_flavor(flavor)
    if not wanted:
        return []
    own = instance.pci_requests
    if own and aliases({'pci_requests': own.obj_to_primitive()}) == wanted:
        return [without_placement(request) for request in own.requests
                if request.alias_name is not None]
    return pci_request.get_pci_requests_from_flavor(flavor).requests


def without_placement(request):
    """Return a copy of an InstancePCIRequest as it was before scheduling.

    Where it was placed stands in its spec once it is claimed.
    """
    request = request.obj_clone()
    request.spec = [{key: value for key, value in spec.items()
                     if key != 'rp_uuids'} for spec in request.spec]
    return request


@primitive.reads
def taken_back(text, before, after):
    """Return a request spec without what a save has changed in it.

    :param text: the JSON that is persisted now
    :param before: the JSON before that save
    :param after: the JSON that it saved
    :raises: ValueError if one of them is not the JSON of a RequestSpec
    """
    content = dict(primitive.data(text))
    _take_back(content, primitive.data(before), primitive.data(after))
    return primitive.with_data(jsonutils.loads(text), content)


def _describes(data, flavor):
    return (data['flavor'][primitive.DATA]['id'] == flavor.id and
            aliases(data) == _aliases_of_flavor(flavor))


def image_of(data):
    """Return the id of the image in a request spec, or None.

    :param data: its fields, as of primitive.data()
    """
    image = data.get('image')
    return image and image[primitive.DATA].get('id')


@primitive.reads
def aliases(data):
    """Return {alias: how many PCI devices} that a request spec asks for.

    :param data: its fields, as of primitive.data()
    :raises: ValueError if that cannot be read
    """
    found = collections.Counter()
    for request in pci_requests(data):
        fields = request[primitive.DATA]
        if fields.get('alias_name') is not None:
            found[fields['alias_name']] += fields['count']
    return found


def _aliases_of_flavor(flavor):
    return wanted_aliases(
        flavor.extra_specs if 'extra_specs' in flavor else {})


@primitive.reads
def wanted_aliases(extra_specs):
    """Return {alias: how many PCI devices} that a flavor asks for.

    :param extra_specs: of the flavor, a dict
    :raises: ValueError if that is not written as Nova reads it
    """
    found = collections.Counter()
    for one in filter(None, extra_specs.get(ALIAS, '').split(',')):
        name, _, count = one.partition(':')
        found[name.strip()] += int(count)
    return found


def pci_requests(data):
    """Return the primitives of the InstancePCIRequests in a request spec.

    :param data: its fields, as of primitive.data()
    """
    requests = data.get('pci_requests')
    return requests[primitive.DATA].get('requests') or [] if requests else []
