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

"""The minimal server of a cell that is down, with its image properties.

From microversion 2.98 on Nova shows those too. Of a server whose cell does
not answer it looks for them in that cell, and ends with HTTP 500.
"""

from nova import objects

from nova_cells_persist.hooks import base
from nova_cells_persist.objects import primitive


class MinimalServer(base.Hook):
    """Wraps API._get_instance_from_cell() of nova.compute.api.

    It makes the server from its request spec, which has the image.
    """

    module = 'nova.compute.api'
    attributes = ('API._get_instance_from_cell',)

    def call(self, wrapped, instance, args, kwargs):
        server = wrapped(*args, **kwargs)
        if 'display_name' not in server:   # as Nova's view tells it
            _add_image_properties(server)
        return server


def _add_image_properties(server):
    spec = objects.RequestSpec.get_by_instance_uuid(
        server._context, server.uuid)
    image = spec.image if 'image' in spec else None
    properties = (image.properties if image and 'properties' in image
                  else objects.ImageMetaProps())
    # As strings, as they stand in the cell; lists do not.
    server.system_metadata = {
        'image_' + name: str(value)
        for name, value in properties.obj_to_primitive()[
            primitive.DATA].items()
        if isinstance(value, (str, int))}
