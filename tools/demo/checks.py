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

"""What may be promised at several steps of the story.

Each takes the rows that were found. Those that yield, yield (text, whether it
is so).
"""

from tools.demo import cloud as demo_cloud


def stands_in(found, server, cell):
    mapping = found.one(server, 'API', 'instance_mappings')
    yield ('API: request_specs and the mapping to %s, and no other row'
           % cell,
           mapping and mapping.cell == cell and
           found.tables(server, 'API') ==
           {'instance_mappings', 'request_specs'})
    yield ('%s, and no other cell: instances and request_spec' % cell,
           found.tables(server, cell) == {'instances', 'request_spec'} and
           {row.database for row in found.find(server)} == {'API', cell})


def history(found, server, cell, flavors):
    revisions = found.find(server, cell, 'request_spec')
    # A revision may be written for another reason than the flavor.
    seen = []
    for row in revisions:
        if row.flavor != (seen[-1] if seen else None):
            seen.append(row.flavor)
    yield ('%s: its revisions, without a gap, went %s' %
           (cell, ' -> '.join(flavors)),
           [row.revision for row in revisions] ==
           list(range(1, len(revisions) + 1)) and seen == flavors)
    yield ('%s: no revision is pending, as the API database was in reach'
           % cell, not any(row.pending for row in revisions))


def agree(found, server, cell, flavor):
    """Whether newest revision, Nova's spec and the instance agree."""
    revisions = found.find(server, cell, 'request_spec')
    spec = found.one(server, 'API', 'request_specs')
    instance = found.one(server, cell, 'instances')
    return bool(
        revisions and spec and instance and
        revisions[-1].flavor == spec.flavor == instance.flavor == flavor
        and revisions[-1].zone == spec.zone)


def active_in(answer, cell):
    server = answer.server
    return (
        server.get('status') == 'ACTIVE' and
        demo_cloud.HOSTS.get(server['OS-EXT-SRV-ATTR:host']) == cell and
        server['OS-EXT-AZ:availability_zone'] == demo_cloud.ZONES[cell])
