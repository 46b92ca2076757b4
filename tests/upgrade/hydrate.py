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

"""A program: read servers through the objects of the Nova that runs it.

It stands beside a file servers.json with their uuids, and prints, as JSON,
{uuid: {what: the object, as Nova would send it}}.
"""

import json
import os
import sys

from oslo_serialization import jsonutils

from nova import config
from nova import context as nova_context
from nova import objects

#: What is loaded of an instance beside its own row.
ATTRIBUTES = ['flavor', 'system_metadata', 'metadata', 'info_cache',
              'pci_requests', 'numa_topology', 'tags', 'migration_context']


def main():
    config.parse_args(sys.argv)
    objects.register_all()
    context = nova_context.get_admin_context(read_deleted='yes')
    with open(os.path.join(os.path.dirname(__file__),
                           'servers.json')) as file:
        found = {server: of_server(context, server)
                 for server in json.load(file)}
    print(jsonutils.dumps(found))


def of_server(context, server):
    """Return the objects of one server, {what: primitive}."""
    mapping = objects.InstanceMapping.get_by_instance_uuid(context, server)
    spec = objects.RequestSpec.get_by_instance_uuid(context, server)
    found = {'spec': spec.obj_to_primitive()}
    if mapping.cell_mapping is None:
        build = objects.BuildRequest.get_by_instance_uuid(context, server)
        for name in ('instance', 'tags', 'block_device_mappings'):
            found['build ' + name] = getattr(build, name).obj_to_primitive()
        found.update(_revisions(context, server))
        return found
    found['cell'] = mapping.cell_mapping.name
    with nova_context.target_cell(context, mapping.cell_mapping) as cctxt:
        instance = objects.Instance.get_by_uuid(
            cctxt, server, expected_attrs=ATTRIBUTES)
        found['instance'] = instance.obj_to_primitive()
        found.update(_revisions(cctxt, server))
    return found


def _revisions(context, server):
    """Return what the plugin has where the context is targeted."""
    if 'nova_cells_persist.plugin' not in sys.modules:
        return {}
    from nova_cells_persist.db import database
    from nova_cells_persist.db import request_spec
    with database.reader(context) as session:
        rows = request_spec.revisions(session, server)
    return {'revision %d (%s)' % (row.revision, row.event):
            objects.RequestSpec.obj_from_primitive(
                jsonutils.loads(row.spec), context).obj_to_primitive()
            for row in rows}


if __name__ == '__main__':
    main()
