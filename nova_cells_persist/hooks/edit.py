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

"""Nova's two editors of a request spec: reconciled first, and named."""

from nova_cells_persist.hooks import base
from nova_cells_persist.objects import operation
from nova_cells_persist.objects import reload


class SetImageProperty(base.Hook):
    """Wraps ImagePropertyCommands._update_image_properties().

    Of nova.cmd.manage: "nova-manage image_property set". In the releases in
    which it does not touch the spec there is nothing to name.
    """

    module = 'nova.cmd.manage'
    attributes = ('ImagePropertyCommands._update_image_properties',)
    optional = True

    def call(self, wrapped, instance, args, kwargs):
        server = args[-2]   # the context before it is not always given
        reload.reload(server._context, server.uuid, server)
        with operation.during('image_property'):
            return wrapped(*args, **kwargs)


class PinZone(base.Hook):
    """Wraps ServersController.update() of nova.api.openstack.compute.servers.

    From microversion 2.104 on it pins a server to its availability zone, or
    takes that off. What it is asked is not yet known to be allowed, or even to
    be an object: the reload waits until Nova reads the request spec.
    """

    module = 'nova.api.openstack.compute.servers'
    attributes = ('ServersController.update',)

    def call(self, wrapped, instance, args, kwargs):
        if not _of_zone(*args, **kwargs):
            return wrapped(*args, **kwargs)
        with operation.during('pin', before_read=reload.reload):
            return wrapped(*args, **kwargs)


def _of_zone(req, id, body):
    server = body.get('server') if isinstance(body, dict) else None
    return isinstance(server, dict) and 'pinned_availability_zone' in server
