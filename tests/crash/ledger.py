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


"""What is wrong with a server, told from the databases and the API alone.

Nothing of the plugin is asked, so that stock Nova can be judged alike.
"""

from oslo_serialization import jsonutils

from nova import objects
from nova.tests.functional.api import client

#: A living server that cannot be found, or cannot be moved or deleted.
LOST = 'lost'
#: A request spec that is not what the server is.
FALSE = 'false'
#: Rows of a server that is gone.
ORPHANED = 'orphaned'

#: The extra spec of a flavor that says how many NUMA nodes a server has.
NUMA_NODES = 'hw:numa_nodes'

_DATA = 'nova_object.data'

# Nova's tables, and the plugin's, that have rows of a server.
_OF_API = ('build_requests', 'build_request', 'instance_mappings',
           'request_specs', 'request_spec', 'build_request_item')
_OF_CELL = ('instances', 'request_spec')


class Ledger:
    """What there is of one server.

    :param cloud: a cloud.Cloud
    :param uuid: of the server
    """

    def __init__(self, cloud, uuid):
        self._cloud = cloud
        self.uuid = uuid
        self._api = {table: cloud.rows(table, uuid) for table in _OF_API
                     if cloud.has(table)}
        self._cells = {
            cell: {table: cloud.rows(table, uuid, cell) for table in _OF_CELL
                   if cloud.has(table)} for cell in cloud.cell_mappings}

    @property
    def cells(self):
        """The names of the cells in which it lives."""
        return [cell for cell, tables in self._cells.items()
                if any(not row['deleted'] and not row['hidden']
                       for row in tables['instances'])]

    @property
    def in_flight(self):
        return bool(self._api['build_requests'] or
                    self._api.get('build_request'))

    @property
    def lives(self):
        return bool(self.cells) or self.in_flight

    def problems(self):
        """Return what is wrong: a list of (LOST, FALSE or ORPHANED, text)."""
        if not self.lives:
            return ([(LOST, 'shown, and in no database')] if self._shown()
                    else [])
        found = [(LOST, text) for text in self._lost()]
        return found or self._false()

    def _lost(self):
        if not self._shown():
            yield 'not shown'
        if len(self.cells) > 1:
            yield 'in %s' % ' and '.join(self.cells)
        mapped = [self._cell_of(row) for row in
                  self._api['instance_mappings']]
        if mapped != (self.cells or [None]):
            yield 'in %s, mapped to %s' % (self.cells, mapped)
        if self.cells and self.in_flight:
            yield 'in a cell, and still a build'
        if not self.cells:
            yield 'a build for ever'
        for cell in self.cells:
            for row in self._instances(cell):
                if row['vm_state'] == 'building' and row['host'] is None:
                    yield 'building for ever, on no host'
        if not self._api['request_specs'] and self._can_be_moved():
            yield 'no request spec'

    def _can_be_moved(self):
        """Nova itself deletes the request spec of what no host has built."""
        return not self.cells or any(
            row['launched_at'] or row['host'] for cell in self.cells
            for row in self._instances(cell))

    def _false(self):
        if not self._api['request_specs']:
            return []
        found = []
        spec = _contents(self._api['request_specs'][0]['spec'])
        for cell in self.cells:
            found += [(FALSE, difference)
                      for difference in self._differences(cell, spec)]
            if not self._cloud.has('request_spec'):
                continue
            revisions = self._cells[cell]['request_spec']
            if not revisions:
                found.append((LOST, 'no revision in %s' % cell))
            elif _contents(revisions[-1]['spec']) != spec:
                found.append((FALSE, 'another revision in %s' % cell))
            elif revisions[-1]['pending']:
                found.append((FALSE, 'a pending revision in %s' % cell))
        for place, rows in [('api', self._api.get('request_spec', ()))] + [
                (cell, tables.get('request_spec', ()))
                for cell, tables in self._cells.items()
                if cell not in self.cells]:
            if rows and self.cells:
                found.append((ORPHANED, 'revisions in %s too' % place))
        return found

    def _differences(self, cell, spec):
        with self._cloud.targeted(cell) as cctxt:
            instance = objects.Instance.get_by_uuid(
                cctxt, self.uuid, expected_attrs=['flavor'])
        if instance.launched_at is None:
            return
        flavor = spec['flavor'][_DATA]['flavorid']
        if flavor != instance.flavor.flavorid:
            yield 'flavor %s, of which it is not' % flavor
        # The host of a fake driver has none, and so its instances.
        nodes = _numa_nodes(spec)
        if nodes != int(instance.flavor.extra_specs.get(NUMA_NODES, 0)):
            yield '%d NUMA nodes, which it has not' % nodes
        image = spec['image'][_DATA]['id']
        if image != instance.image_ref and instance.vm_state != (
                'shelved_offloaded'):
            yield 'image %s, of which it is not' % image

    def _instances(self, cell):
        return [row for row in self._cells[cell]['instances']
                if not row['deleted']]

    def _cell_of(self, mapping):
        for name, cell in self._cloud.cell_mappings.items():
            if cell.id == mapping['cell_id']:
                return name

    def _shown(self):
        try:
            self._cloud.api.get_server(self.uuid)
        except client.OpenStackApiException as exc:
            if exc.response.status_code != 404:
                raise
            return False
        return True

    def left(self):
        """Return where there is a row, of a server that should have none.

        :returns: a list of (ORPHANED, text)
        """
        return [(ORPHANED, '%s in %s' % (table, place))
                for place, tables in [('api', self._api),
                                      *self._cells.items()]
                for table, rows in tables.items() if rows]


def _numa_nodes(spec):
    topology = spec['numa_topology']
    return len(topology[_DATA]['cells']) if topology else 0


def _contents(text):
    """Return what a request spec says; of sets the order is nothing."""
    data = jsonutils.loads(text)[_DATA]
    data.pop('id', None)
    return data
