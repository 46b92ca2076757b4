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

"""Lists of servers: builds among instances, and NULL among values."""

from nova_cells_persist.db import database
from nova_cells_persist.db import order as db_order
from nova_cells_persist.hooks import base
from nova_cells_persist.objects import build_list
from nova_cells_persist.objects import listing


class ListServers(base.Hook):
    """Wraps API.get_all() of nova.compute.api."""

    module = 'nova.compute.api'
    attributes = ('API.get_all',)

    def call(self, wrapped, instance, args, kwargs):
        return _list_servers(wrapped, *args, **kwargs)


def _list_servers(wrapped, context, *args, **kwargs):
    with build_list.merging(context):
        return wrapped(context, *args, **kwargs)


class MergeBuilds(base.Hook):
    """Wraps get_instance_objects_sorted() of nova.compute.instance_list."""

    module = 'nova.compute.instance_list'
    attributes = ('get_instance_objects_sorted',)

    def call(self, wrapped, instance, args, kwargs):
        return _merge(wrapped, *args, **kwargs)


def _merge(wrapped, context, filters, limit, marker, expected_attrs,
           sort_keys, sort_dirs, **kwargs):
    def ask_cells(limit, marker, sort_keys, sort_dirs):
        return wrapped(context, filters, limit, marker, expected_attrs,
                       sort_keys, sort_dirs, **kwargs)

    if not build_list.is_merging(context):
        return ask_cells(limit, marker, sort_keys, sort_dirs)
    return listing.merge(context, ask_cells, filters, limit, marker,
                         sort_keys, sort_dirs)


class BuildAsMarker(base.Hook):
    """Wraps InstanceLister.get_marker_record() of nova.compute.instance_list.

    The last server of a page may be a build.
    """

    module = 'nova.compute.instance_list'
    attributes = ('InstanceLister.get_marker_record',)

    def call(self, wrapped, instance, args, kwargs):
        return _get_marker_record(wrapped, *args, **kwargs)


def _get_marker_record(wrapped, context, marker):
    if not build_list.is_merging(context):
        return wrapped(context, marker)
    # The builds are asked with it, and then the cells.
    found = context.merges_builds
    if marker not in found:
        build = build_list.find(context, marker)
        found[marker] = (None, build) if build else wrapped(context, marker)
    return found[marker]


class PlaceInCell(base.Hook):
    """Stands in for InstanceLister.get_marker_by_values().

    Of nova.compute.instance_list. It finds where a page goes on in a cell
    that has not got its marker: Nova's compares with < and > alone, and so
    finds nothing where the marker, or an instance, has no value.
    """

    module = 'nova.compute.instance_list'
    attributes = ('InstanceLister.get_marker_by_values',)

    def call(self, wrapped, instance, args, kwargs):
        return _place_in_cell(instance.sort_ctx, *args, **kwargs)


def _place_in_cell(sort_context, context, values):
    order = list(zip(sort_context.sort_keys, sort_context.sort_dirs))
    with database.reader(context) as session:
        return db_order.first(session, order, dict(
            zip(sort_context.sort_keys, values)))


class PageOfInstances(base.Hook):
    """Stands in for paginate_query() of oslo_db.sqlalchemy.utils.

    Where Nova asks it for instances. It leaves out of the comparison what the
    marker has not got, and finds no instance behind it that has not got what
    the marker has; and texts it compares in the collation of their column.
    """

    module = 'oslo_db.sqlalchemy.utils'
    attributes = ('paginate_query',)

    def call(self, wrapped, instance, args, kwargs):
        return _page_of_instances(wrapped, *args, **kwargs)


def _page_of_instances(wrapped, query, model, limit, sort_keys, marker=None,
                       sort_dir=None, sort_dirs=None):
    if sort_dirs and db_order.is_of_instances(model):
        return db_order.page(query, limit, list(zip(sort_keys, sort_dirs)),
                             marker)
    return wrapped(query, model, limit, sort_keys, marker=marker,
                   sort_dir=sort_dir, sort_dirs=sort_dirs)


class CompareRecords(base.Hook):
    """Stands in for RecordSortContext.compare_records().

    Of nova.compute.multi_cell_list, where the lists of all cells are merged.
    Nova's compares with < and > too, which raises TypeError for None.
    """

    module = 'nova.compute.multi_cell_list'
    attributes = ('RecordSortContext.compare_records',)

    def call(self, wrapped, instance, args, kwargs):
        if not hasattr(instance, 'order'):
            instance.order = listing.Order(
                instance.sort_keys, instance.sort_dirs)
        return instance.order.compare(*args, **kwargs)
