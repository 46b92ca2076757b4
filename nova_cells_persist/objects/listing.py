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
    builds = _Builds(context, filters, limit, marker, order)
    # Many builds mostly stand in front of all instances: see whether they do.
    few = 1 if limit and len(builds.there) >= limit else limit
    instances, down = ask_cells(few, marker, order.keys, order.dirs)
    while True:
        page = _page(instances, builds.there, limit, order)
        # Behind the last of a few there may be others, in front of a build.
        if few != limit and (len(page) < limit or any(
                each in instances for each in page[:-1])):
            few = limit
            instances, down = ask_cells(few, marker, order.keys, order.dirs)
        elif builds.hydrate(page):
            return objects.InstanceList(
                objects=[builds.instance(each) for each in page]), down


def _page(instances, builds, limit, order):
    # What is landing is in a cell, and still a build or not yet one.
    landed = {instance.uuid for instance in instances}
    return list(heapq.merge(instances, [
        build for build in builds if build['uuid'] not in landed],
        key=order.key))[:limit]


class _Builds:
    """The builds that may be on a page of a list.

    :ivar there: a list of build_list.Build, in order, as many as a page has
        if there are
    """

    def __init__(self, context, filters, limit, marker, order):
        self._context, self._filters = context, filters
        self._limit, self._order = limit, order
        self._instances = {}
        place = None
        if limit == 0 or 'ip' in filters or 'ip6' in filters:
            self.there, self._ended = [], True   # they have no addresses yet
            return
        if marker:
            _, place = instance_list.InstanceLister(
                order.keys, order.dirs).get_marker_record(context, marker)
        self.there = self._read(place)

    def _read(self, place):
        """Return those behind a place, and note whether they end there."""
        order = self._order
        found = build_list.page(
            self._context, self._filters, None if place is None else
            db_order.beyond(order.dialect, order.pairs, place),
            limit=self._limit, sort_keys=order.keys, sort_dirs=order.dirs)
        self._ended = not self._limit or len(found) < self._limit
        return found

    def hydrate(self, page):
        """Make the instances that these builds of a page will be.

        :returns: whether all of them could be made. If not, others stand in
            ``there`` in place of those that are gone or cannot be read: who
            gets less than a page holds asks for no other one
        """
        new = [each for each in page if isinstance(each, build_list.Build) and
               each['uuid'] not in self._instances]
        self._instances.update({
            build.instance_uuid: build.instance
            for build in build_list.hydrate(
                self._context, build_list.rows_of(new), whole=True)})
        lost = [each for each in new if each['uuid'] not in self._instances]
        if not lost:
            return True
        last = self.there[-1]
        self.there = [each for each in self.there if each not in lost]
        if not self._ended:
            self.there += self._read(last)
        return False

    def instance(self, server):
        return self._instances.get(server['uuid'], server)


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
