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

"""One list of servers: those that are being built among those in cells.

Nova puts all builds in front of all instances. A server that lands between
two pages then changes its place, and is shown twice or not at all. Here a
build stands where its instance will stand.
"""

import functools
import heapq
import unicodedata

import netaddr
from oslo_utils import timeutils

from nova.compute import instance_list
from nova.db.main import models as main_models
from nova.db import utils as db_utils
from nova import objects

from nova_cells_persist.db import database
from nova_cells_persist.db import order as db_order
from nova_cells_persist.objects import build_list


def merge(context, ask_cells, filters, limit, marker, sort_keys, sort_dirs):
    """Return a page of servers, wherever they are.

    Stands in for get_instance_objects_sorted() of
    nova/compute/instance_list.py.

    :param ask_cells: that function, of limit, marker, sort keys and their
        directions
    :param marker: the uuid of the last server of the page before
    :returns: (an InstanceList, the uuids of the cells that did not answer)
    :raises: MarkerNotFound
    """
    order = Order.of_list(sort_keys, sort_dirs)
    builds = _builds(context, filters, limit, marker, order)
    servers, down = _gather(ask_cells, [server for server, _ in builds],
                            limit, marker, order)
    rows = {server['uuid']: row for server, row in builds}
    return objects.InstanceList(
        objects=_hydrated(context, servers[:limit], rows)), down


def _gather(ask_cells, builds, limit, marker, order):
    """Return as many servers as fill a page, in order, builds as dicts."""
    instances, down = [], set()
    # As many instances as the builds leave room for; but one at least: if it
    # stands behind all builds, the page is theirs.
    wanted = max(limit - len(builds), 1) if limit and builds else limit
    while True:
        found, silent = ask_cells(wanted, marker, order.keys, order.dirs)
        instances.extend(found)
        down.update(silent)
        # What is landing is in a cell, and still a build or not yet one.
        landed = {instance.uuid for instance in instances}
        builds = [each for each in builds if each['uuid'] not in landed]
        servers = list(heapq.merge(instances, builds, key=order.key))
        if not wanted or len(found) < wanted:
            return servers, list(down)
        marker = found[-1].uuid
        # Up to the last instance nothing is missing.
        wanted = limit - 1 - [server['uuid'] for server in servers
                              ].index(marker)
        if wanted <= 0:
            return servers, list(down)


def _hydrated(context, page, rows):
    builds = {build.instance_uuid: build.instance
              for build in build_list.hydrate(context, [
                  rows[server['uuid']] for server in page
                  if isinstance(server, dict)], whole=True)}
    return [builds.get(server['uuid'], server) for server in page
            if not isinstance(server, dict) or server['uuid'] in builds]


def _builds(context, filters, limit, marker, order):
    if limit == 0 or 'ip' in filters or 'ip6' in filters:
        return []   # they have no addresses yet
    criterion = None
    if marker:
        _, place = instance_list.InstanceLister(
            order.keys, order.dirs).get_marker_record(context, marker)
        criterion = db_order.beyond(
            order.dialect, order.pairs, place)
    return build_list.page(context, filters, criterion, limit=limit,
                           sort_keys=order.keys, sort_dirs=order.dirs)


#: An enumeration sorts as it is declared.
_LOCKERS = main_models.Instance.locked_by.type.enums
_ADDRESSES = ('access_ip_v4', 'access_ip_v6')


class Order:
    """How servers are sorted, as their databases do it.

    :ivar dialect: of those databases
    :ivar keys: the sort keys; the last is a server's own
    :ivar dirs: 'asc' or 'desc' for each
    :ivar pairs: a list of each key with its direction
    """

    def __init__(self, keys, dirs):
        self.dialect = database.api_engine().dialect
        self.keys = keys
        self.dirs = dirs
        self.pairs = list(zip(keys, dirs))
        self.key = functools.cmp_to_key(self.compare)

    @classmethod
    def of_list(cls, sort_keys, sort_dirs):
        """Return the order of a list that a user asks for.

        :raises: InvalidInput if the directions make no sense
        """
        keys, dirs = db_utils.process_sort_params(
            sort_keys, sort_dirs, default_keys=[], default_dir='desc')
        if not keys:
            keys, dirs = ['created_at'], ['desc']
        if 'uuid' not in keys:
            keys, dirs = keys + ['uuid'], dirs + ['asc']
        return cls(keys, dirs)

    def compare(self, one, other):
        """Return -1, 0 or 1: which of two servers is listed first.

        As compare_records() of nova/compute/multi_cell_list.py, which fails
        on NULL.
        """
        for key, direction in self.pairs:
            ranks = [self._rank(key, server[key]) for server in (one, other)]
            if ranks[0] != ranks[1]:
                first = (ranks[0] < ranks[1]) == (direction == 'asc')
                return -1 if first else 1
        return 0

    def _rank(self, key, value):
        if value is None:
            return db_order.nulls_are_last(self.dialect, 'asc'), 0
        return not db_order.nulls_are_last(self.dialect, 'asc'), self._value(
            key, value)

    def _value(self, key, value):
        if hasattr(value, 'utcoffset'):
            return timeutils.normalize_time(value)
        if isinstance(value, (bool, int)):
            return value
        value = str(value)
        if key == 'locked_by' and self.dialect.name != 'sqlite':
            return _LOCKERS.index(value)
        if key in _ADDRESSES and self.dialect.name == 'postgresql':
            return netaddr.IPAddress(value)
        if self.dialect.name == 'mysql':
            return _folded(value)
        return value


def _folded(text):
    """Return what a string counts as in Nova's collation of MySQL."""
    letters = unicodedata.normalize('NFD', text.rstrip(' '))
    return ''.join(letter for letter in letters
                   if not unicodedata.combining(letter)).upper()
