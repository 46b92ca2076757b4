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

import netaddr
from oslo_utils import timeutils

from nova.compute import instance_list
from nova.db.main import models as main_models
from nova.db import utils as db_utils
from nova import objects

from nova_cells_persist.db import database
from nova_cells_persist.db import general_ci
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
    build_list.adopt_new(context)
    servers, down = [], set()
    while True:
        wanted = limit and limit - len(servers)
        builds = _builds(context, filters, wanted, marker, order)
        page, silent = _page(ask_cells, builds, wanted, marker, order)
        down.update(silent)
        servers += _hydrated(context, page)
        # One that is gone by now, or cannot be read, leaves its place to what
        # is behind it: who gets less than a page asks for no other one.
        if not limit or len(page) < wanted or len(servers) == limit:
            return objects.InstanceList(objects=servers), list(down)
        marker = build_list.note_marker(context, page[-1])


def _page(ask_cells, builds, limit, marker, order):
    """Return what is on a page, in order, and which cells did not answer.

    :param builds: a list of build_list.Build, as many as fill it at most
    :returns: (a list of these and of Instances, uuids)
    """
    # Many builds mostly stand in front of all instances: see whether they do.
    few = 1 if limit and len(builds) >= limit else limit
    while True:
        instances, down = ask_cells(few, marker, order.keys, order.dirs)
        # What is landing is in a cell, and still a build or not yet one.
        landed = {instance.uuid for instance in instances}
        servers = list(heapq.merge(instances, [
            each for each in builds if each['uuid'] not in landed],
            key=order.key))[:limit]
        # Behind the last of them there may be others, in front of a build.
        if few == limit or not landed.intersection(
                server['uuid'] for server in servers[:limit - 1]):
            return servers, down
        few = limit


def _hydrated(context, page):
    """Return the Instances of a page, of those that are there."""
    builds = {build.instance_uuid: build.instance
              for build in build_list.hydrate(context, build_list.rows_of(
                  server for server in page
                  if isinstance(server, build_list.Build)), whole=True)}
    return [builds.get(server['uuid'], server) for server in page
            if not isinstance(server, build_list.Build) or
            server['uuid'] in builds]


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
            return general_ci.key(value)
        return value
