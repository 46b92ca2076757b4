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

"""BuildRequest, answered from the plugin's table.

Stands in for nova/objects/build_request.py. A build is written into the
table build_request and, while [cells_persist]mirror_build_requests is on,
into Nova's build_requests too, in one transaction. What only Nova's table
has was accepted by a node without the plugin; it is found all the same.
"""

import contextlib

from oslo_config import cfg
from oslo_log import log as logging
from oslo_serialization import jsonutils
from oslo_utils import timeutils

from nova import exception as nova_exc
from nova.objects import base
from nova.objects import build_request as stock

from nova_cells_persist.db import build_request as db_build
from nova_cells_persist.db import database
from nova_cells_persist import exception
from nova_cells_persist.objects import build_row
from nova_cells_persist.objects import copies
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import primitive
from nova_cells_persist.objects import request_spec

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

#: What comes of reading a build that is damaged.
UNREADABLE = (nova_exc.NovaException,) + damage.UNREADABLE


@contextlib.contextmanager
def only_existence(context):
    """Read no more of a build than whether it is there, for this context.

    What else is wanted of such a BuildRequest is read when it is.
    """
    context.only_existence_of_builds = True
    try:
        yield
    finally:
        context.only_existence_of_builds = False


def require_whole(context, row):
    """Raise one of UNREADABLE if a row alone could not be shown as a server.

    :param row: of either table
    """
    build = BuildRequest()
    if hasattr(row, 'mirror_id'):
        primitive.require_shallow(*row.request_obj.split('\n'))
        build._load(context, row, copies.Copies())
        build.obj_load_attr('block_device_mappings')
    else:
        primitive.require_shallow(row.instance, row.block_device_mappings,
                                  row.tags)
        stock.BuildRequest._from_db_object(context, build, row._mapping)
    damage.require_build(build)


class BuildRequest(stock.BuildRequest):
    """A server that has been accepted and has no cell yet.

    ``request_spec`` is a field of it, though not one on the wire, where
    nothing may change: the super-conductor is sent both objects.
    """

    _request_spec = None

    #: JSON of the block device mappings, until somebody wants them.
    _block_device_mappings = None

    @property
    def request_spec(self):
        """The RequestSpec under which the server is being scheduled.

        :raises: RequestSpecNotFound when it is read from the database and
            there is none
        """
        if self._request_spec is None:
            self._request_spec = (
                request_spec.RequestSpec.get_by_instance_uuid(
                    self._context, self.instance_uuid))
        return self._request_spec

    @request_spec.setter
    def request_spec(self, value):
        self._request_spec = value

    def _get_update_primitives(self):
        updates = super()._get_update_primitives()
        if self._request_spec is not None and 'id' not in self:
            # create() is about to hand the updates to _create_in_db().
            updates['spec'] = self._request_spec.persisted
        return updates

    @base.remotable
    def create(self):
        """As Nova's, and load what is sent to the conductor with it."""
        super().create()
        self.obj_load_attr('block_device_mappings')

    @staticmethod
    def _create_in_db(context, updates):
        updates = dict(updates)
        spec = updates.pop('spec', None)
        values = build_row.columns(updates, spec)
        values.update(instance_uuid=updates.get('instance_uuid'),
                      project_id=updates.get('project_id'),
                      mirror_id=None, created_at=timeutils.utcnow(),
                      updated_at=None)
        with database.api_writer(context) as session:
            if CONF.cells_persist.mirror_build_requests:
                row = stock.BuildRequest._create_in_db(context, updates)
                values.update(mirror_id=row['id'],
                              created_at=row['created_at'],
                              updated_at=row['updated_at'])
            values['created_at'] = build_row.as_in_a_cell(
                values['created_at'])
            row_id = db_build.insert(session, values)
            db_build.insert_items(session, build_row.items(
                values['instance_uuid'], updates))
        return build_row.written(row_id, values, spec)

    @staticmethod
    def _get_by_instance_uuid_from_db(context, instance_uuid):
        read = (db_build.mark
                if getattr(context, 'only_existence_of_builds', False)
                else db_build.get)
        with database.api_reader(context) as session:
            row = read(session, instance_uuid)
        if row is None:
            return stock.BuildRequest._get_by_instance_uuid_from_db(
                context, instance_uuid)
        return row

    @staticmethod
    def _from_db_object(context, req, db_req, alike=None):
        """As Nova's, of a row of either table.

        :param alike: the Copies of the page that it is on
        :raises: BuildRequestNotFound if neither the row nor its mirror can
            be read
        """
        if not hasattr(db_req, 'mirror_id'):
            return stock.BuildRequest._from_db_object(context, req, db_req)
        if not hasattr(db_req, 'request_obj'):
            return req._set(context, build_row.plain(db_req))
        try:
            if not build_row.is_stale(db_req):
                return req._load(context, db_req, alike or copies.Copies())
        except UNREADABLE as exc:
            LOG.error('%s. Nova\'s row in build_requests is read instead.',
                      exception.UnreadableRow(
                          table='build_request',
                          database=database.API_DATABASE,
                          instance_uuid=db_req.instance_uuid, reason=exc))
        return stock.BuildRequest._from_db_object(
            context, req, stock.BuildRequest._get_by_instance_uuid_from_db(
                context, db_req.instance_uuid))

    def _load(self, context, row, alike):
        """As _from_db_object(), of a row of the plugin's.

        Nova's resets the changes of every object in it, which is most of its
        time. In this row no object has any.
        """
        content = build_row.content(row)
        self._set(context, build_row.plain(row))
        self._block_device_mappings = content.block_device_mappings
        self._load_tags(content.tags)
        self._load_instance(content.instance)
        for name, value in content.objects.items():
            # What Nova has set of itself, such as the tags, stays.
            if not self.instance.obj_attr_is_set(name):
                setattr(self.instance, name,
                        alike.hydrate(self.instance, name, value))
        for name, value in content.long.items():
            setattr(self.instance, name, value)
        for loaded in (self.tags, self.instance, self):
            loaded.obj_reset_changes()
        return self

    def _set(self, context, values):
        """Set what is no JSON.

        :param values: as of build_row.plain(), and maybe more
        """
        self._context = context
        for name in ('id', 'instance_uuid', 'project_id', 'created_at',
                     'updated_at'):
            setattr(self, name, values[name])
        self.obj_reset_changes()
        return self

    def obj_load_attr(self, attrname):
        if attrname == 'block_device_mappings' and 'instance' in self:
            self._load_block_device_mappings(self._block_device_mappings)
            self.obj_reset_changes([attrname])
        else:
            with database.api_reader(self._context) as session:
                row = db_build.get(session, self.instance_uuid)
            if row is None:
                raise nova_exc.BuildRequestNotFound(uuid=self.instance_uuid)
            self._from_db_object(self._context, self, row)

    def _save_in_db(self, context, req_id, updates):
        with database.api_writer(context) as session:
            row = db_build.get(session, self.instance_uuid)
            spec = row.spec if row is not None else None
            parts = self._parts(updates)
            values = build_row.columns(parts, spec)
            values['project_id'] = self.project_id
            nova_row = None
            if row is None or row.mirror_id is not None:
                nova_row = stock.BuildRequest._save_in_db(
                    self, context, req_id, updates)
                session.flush()   # which sets updated_at
                values['updated_at'] = nova_row['updated_at']
            if db_build.update(session, self.instance_uuid, values):
                db_build.replace_items(session, self.instance_uuid,
                                       build_row.items(self.instance_uuid,
                                                       parts))
            elif nova_row is None:   # it has landed, or was deleted
                raise nova_exc.BuildRequestNotFound(uuid=self.instance_uuid)
            return nova_row or db_build.get(session, self.instance_uuid)

    def _parts(self, updates):
        """Return the JSON of all that the row has, changed or not."""
        return {part: updates[part] if part in updates else
                jsonutils.dumps(getattr(self, part).obj_to_primitive())
                for part in build_row.PARTS}

    @staticmethod
    def _destroy_in_db(context, instance_uuid):
        missing = None
        with database.api_writer(context) as session:
            try:
                stock.BuildRequest._destroy_in_db(context, instance_uuid)
            except nova_exc.BuildRequestNotFound as exc:
                if not db_build.delete(session, instance_uuid,
                                       unmirrored=True):
                    missing = exc
            db_build.delete(session, instance_uuid)
        if missing:
            raise missing
