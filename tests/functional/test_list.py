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

"""A list of builds is the list of the instances that they become.

Hypothesis draws servers and queries. The servers are put into the API
database as builds and into a cell as instances, and Nova's own query of that
cell says what is right.
"""

import datetime
import os

import hypothesis
from hypothesis import strategies as st
from oslo_db import exception as db_exc
from oslo_db.sqlalchemy import enginefacade
from oslo_db.sqlalchemy import test_fixtures as db_fixtures
from oslo_utils import uuidutils
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova import context as nova_context
from nova.db.api import api as api_db_api
from nova.db.api import models as api_models
from nova.db.main import api as main_db_api
from nova.db.main import models as main_models
from nova import exception as nova_exc
from nova import objects
from nova import test

from nova_cells_persist.db import as_instances
from nova_cells_persist.db import database
from nova_cells_persist.db import general_ci
from nova_cells_persist.db import models
from nova_cells_persist.db import order as db_order
from nova_cells_persist import fixture
from nova_cells_persist.objects import build_list
from nova_cells_persist.objects import listing
from tests import servers

EXAMPLES = int(os.environ.get('LIST_EXAMPLES', 40))
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)

# What is drawn is much alike, so that it matches and that it is equal.
NAMES = st.sampled_from(
    ['a', 'A', 'b', 'ab', 'ä', '%', '_', "o'x", '"', '\\', 'a b', '.', '1',
     'Z', 'a-b', '\u304b', '\u304c', '\uac00', '\u4e00', 'ss', '\xdf'])
TAGS = st.lists(st.sampled_from(['t', 'T', 'u', "v'", '%']),
                unique_by=str.lower, max_size=3)
METADATA = st.dictionaries(
    st.sampled_from(['k', 'K', "l'"]), st.sampled_from(['v', 'V', '', '%']),
    max_size=2).filter(
        lambda pairs: len({key.lower() for key in pairs}) == len(pairs))
PROJECTS = ('p', 'q')
USERS = ('u', 'w')
IMAGE, OTHER_IMAGE = (uuidutils.generate_uuid() for _ in range(2))


def some(*values):
    return st.sampled_from(values)


#: What a server can have before it is in a cell.
FIELDS = {
    'display_name': NAMES,
    'display_description': st.none() | NAMES,
    'hostname': NAMES,
    'project_id': some(*PROJECTS),
    'user_id': some(*USERS),
    'image_ref': some('', IMAGE, OTHER_IMAGE),
    'kernel_id': some('', IMAGE),
    'ramdisk_id': some('', None, IMAGE),
    'instance_type_id': some(1, 2),
    'key_name': st.none() | NAMES,
    'key_data': some(None, 'ssh-rsa AAAA'),
    'user_data': some(None, 'QUJD', 'eA==' * 9000),
    'availability_zone': some(None, 'az', 'AZ2'),
    'config_drive': some('', 'True'),
    'root_device_name': some(None, '/dev/vda'),
    'default_ephemeral_device': some(None, '/dev/vdb'),
    'default_swap_device': some(None, '/dev/vdc'),
    'reservation_id': some('r-1', 'r-2'),
    'launch_index': some(0, 1),
    'access_ip_v4': some(None, '10.0.0.2', '10.0.0.10', '9.1.1.1'),
    'access_ip_v6': some(None, '::2', 'fe80::10', 'fe80::9'),
    'auto_disk_config': st.booleans(),
    'vm_state': some('building', 'error'),
    'task_state': some(None, 'scheduling'),
    'power_state': some(0, 1),
    'progress': some(0, 10),
    'memory_mb': some(64, 512),
    'vcpus': some(1, 2),
    'root_gb': some(0, 1),
    'ephemeral_gb': some(0, 1),
    'os_type': some(None, 'linux'),
    'architecture': some(None, 'x86_64'),
    'vm_mode': some(None, 'hvm'),
    'metadata': METADATA,
}

#: Nova's, of nova/api/openstack/compute/schemas/servers.py, and those that
#: it leaves out before it asks.
SORT_KEYS = sorted((set(FIELDS) - {'metadata'}) | {
    'created_at', 'updated_at', 'deleted_at', 'launched_at', 'terminated_at',
    'host', 'node', 'launched_on', 'locked', 'locked_by', 'uuid', 'id',
    'cleaned', 'deleted', 'hidden', 'cell_name', 'disable_terminate',
    'shutdown_terminate', 'ephemeral_key_uuid'})

REGEXES = some('a', '^a$', 'A', '[ab]', '.', '^$', '%', "'", r'\.', 'x|a',
               '1', '0', 'vd', 'None', '2026', '10', 'ssh', 'True', '')
TIMES = st.integers(-2, 4).map(
    lambda hours: NOW + datetime.timedelta(hours=hours))


def lists_of(values):
    return st.lists(values, min_size=1, max_size=3)


#: How Nova takes each filter.
FILTERS = {
    'project_id': some(*PROJECTS) | lists_of(some(*PROJECTS)),
    'user_id': some(*USERS),
    'image_ref': some('', IMAGE),
    'vm_state': lists_of(some('building', 'error', 'active')),
    'task_state': lists_of(some('scheduling', 'spawning')) | some(None),
    'instance_type_id': some(1, 2, 3),
    'metadata': METADATA | st.lists(METADATA, max_size=2),
    'host': some('h', None),
    'locked': st.booleans(),
    'hidden': st.booleans(),
    'deleted': st.booleans(),
    'soft_deleted': st.booleans(),
    'cleaned': st.booleans(),
    'tags': lists_of(some('t', 'T', 'u', '%')),
    'tags-any': lists_of(some('t', 'T', 'u', '%')),
    'not-tags': lists_of(some('t', 'T', 'u', '%')),
    'not-tags-any': lists_of(some('t', 'T', 'u', '%')),
    'changes-since': TIMES,
    'changes-before': TIMES,
    'ip': some('^10'),
    'no such column': some('x'),
}
FILTERS.update({name: REGEXES for name in SORT_KEYS
                if name not in FILTERS and name not in ('deleted_at',)})

SERVERS = st.lists(st.fixed_dictionaries(dict(
    FIELDS, tags=TAGS, hours=st.integers(0, 2), renamed=st.none() |
    st.integers(1, 3), locked_by=some(None, 'owner', 'admin'))),
    min_size=1, max_size=5)


@st.composite
def queries(draw):
    """Draw the arguments of a list, and who asks."""
    names = draw(st.lists(st.sampled_from(sorted(FILTERS)), max_size=2,
                          unique=True))
    keys = draw(st.none() | st.lists(st.sampled_from(SORT_KEYS), max_size=3,
                                     unique=True))
    return {
        'filters': {name: draw(FILTERS[name]) for name in names},
        'limit': draw(some(None, None, 1, 2, 3)),
        'marker': draw(st.none() | st.integers(0, 4)),
        'sort_keys': keys,
        'sort_dirs': keys and draw(st.lists(some('asc', 'desc'),
                                            min_size=len(keys),
                                            max_size=len(keys))),
        'is_admin': draw(st.booleans()),
    }


# Those that a list of servers asks, in an order in which they can be emptied.
API_TABLES = [model.__table__ for model in (
    api_models.BuildRequest, api_models.RequestSpec,
    api_models.InstanceMapping, api_models.CellMapping)]
CELL_TABLES = [model.__table__ for model in (
    main_models.InstanceMetadata, main_models.InstanceSystemMetadata,
    main_models.InstanceExtra, main_models.InstanceInfoCache,
    main_models.InstanceIdMapping, main_models.S3Image,
    main_models.SecurityGroupInstanceAssociation,
    main_models.SecurityGroupIngressRule, main_models.SecurityGroup,
    main_models.Tag, main_models.Instance)]


def examples(number):
    """Decorate a test that is given so many examples, each time the same."""
    return hypothesis.settings(
        max_examples=number, derandomize=True,
        phases=(hypothesis.Phase.generate,), database=None, deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck))


class SQLiteTest(test.TestCase):

    KIND = None
    TIMEOUT_SCALING_FACTOR = 1 + EXAMPLES // 40

    def setUp(self):
        super().setUp()
        self.useFixture(fixture.CellsPersistFixture())
        self.context = nova_context.get_admin_context()
        self.cell = nova_context.RequestContext.from_dict(
            self.context.to_dict())
        self.cell.db_connection = self.use_cell()

    def use_cell(self):
        return main_db_api.get_context_manager(self.context)

    @examples(EXAMPLES)
    @hypothesis.given(SERVERS, st.lists(queries(), min_size=8, max_size=8))
    def test_same_answer(self, drawn, asked):
        self.clear()
        uuids = [self.put(fields) for fields in drawn]
        for query in asked:
            hypothesis.note(query)
            marker = query.pop('marker')
            if marker is not None and marker < len(uuids) and not (
                    query['filters'].get('deleted') or
                    query['filters'].get('cleaned')):
                query['marker'] = uuids[marker]
            is_admin = query.pop('is_admin')
            expected = self.ask(self.instances, is_admin, query)
            self.assertEqual(expected, self.ask(self.builds, is_admin, query))

    @examples(EXAMPLES)
    @hypothesis.given(SERVERS, st.lists(
        st.tuples(st.sampled_from(SORT_KEYS), some('asc', 'desc')),
        min_size=1, max_size=2))
    def test_same_order(self, drawn, order):
        """Builds are merged into instances as the database would do it."""
        self.clear()
        for fields in drawn:
            self.put(fields)
        self.assert_same_order(order)

    @examples(EXAMPLES // 10)
    @hypothesis.given(SERVERS)
    def test_same_order_by_each_key(self, drawn):
        self.clear()
        for fields in drawn:
            self.put(fields)
        for key in SORT_KEYS:
            for direction in ('asc', 'desc'):
                self.assert_same_order([(key, direction)])

    def assert_same_order(self, order):
        order = listing.Order.of_list(
            *(list(each) for each in zip(*order)))
        paging = {'sort_keys': order.keys, 'sort_dirs': order.dirs}
        expected = self.instances(self.cell, {}, **paging)
        with as_instances.query(self.context) as context:
            builds = main_db_api.instance_get_all_by_filters_sort(
                context, {}, columns_to_join=[])
        self.assertEqual(expected, [
            build['uuid'] for build in sorted(builds, key=order.key)])
        for number, uuid in enumerate(expected):
            behind = db_order.beyond(
                order.dialect, order.pairs,
                build_list.find(self.context, uuid))
            self.assertEqual(expected[number + 1:], [
                build['uuid'] for build in build_list.page(
                    self.context, {}, behind, **paging)])

    def test_characters(self):
        """What a user has chosen comes back as it was."""
        self.clear()
        for text in ("o'x", '"', '100%', '_', 'back\\slash', '\u00e4',
                     'four bytes: \U0001f600'):
            uuid = self.build(display_name=text, display_description=text,
                              hostname=text, key_name=text, key_data=text,
                              metadata={'k': text}).instance_uuid
            for build in (
                    objects.BuildRequest.get_by_instance_uuid(
                        self.context, uuid),
                    *objects.BuildRequestList.get_by_filters(
                        self.context, {'metadata': {'k': text}})):
                self.assertEqual(uuid, build.instance_uuid)
                for field in ('display_name', 'display_description',
                              'hostname', 'key_name', 'key_data'):
                    self.assertEqual(text, build.instance[field])
                self.assertEqual({'k': text}, build.instance.metadata)

    def test_long_user_data(self):
        user_data = 'QUFB' * 16383
        uuid = self.build(user_data=user_data).instance_uuid
        build = objects.BuildRequest.get_by_instance_uuid(self.context, uuid)
        self.assertEqual(user_data, build.instance.user_data)

    def test_invalid_regex(self):
        """Of this database: Nova has seen to it that it is one of Python's."""
        self.flags(connection=str(api_db_api.get_engine().url),
                   group='database')
        self.build(display_name='a')
        # Nor has each database one for a number.
        for name in ('power_state', 'created_at', 'access_ip_v4'):
            self.builds(self.context, {name: '1'})
        self.assertEqual([], self.builds(self.context, {
            'display_name': '(?P<' if self.KIND else '['}))

    def test_system_metadata(self):
        wanted = self.build(system_metadata={'k': 'v', 'l': 'w'})
        self.build(system_metadata={'k': 'w'})
        for value in ({'k': 'v'}, {'k': 'w', 'l': 'v'}, [{'k': 'v'}]):
            self.assertEqual([wanted.instance_uuid], self.builds(
                self.context, {'system_metadata': value}))
        self.assertEqual([], self.builds(
            self.context, {'system_metadata': {'k': 'x'}}))

    def test_marker(self):
        build = self.build()
        for marker, filters, limit in (
                (uuidutils.generate_uuid(), {}, None),
                (build.instance_uuid, {'deleted': True}, None),
                (build.instance_uuid, {'cleaned': True}, None),
                (build.instance_uuid, {}, 0)):
            self.assertRaises(
                nova_exc.MarkerNotFound, self.builds, self.context, filters,
                marker=marker, limit=limit)

    def ask(self, function, is_admin, query):
        context = nova_context.RequestContext('u', 'p', is_admin=is_admin)
        try:
            return [uuid for uuid in function(context, **query)]
        except (nova_exc.MarkerNotFound, nova_exc.InvalidSortKey) as exc:
            return type(exc).__name__
        except (db_exc.DBError, sa_exc.OperationalError):
            return []   # a cell that cannot answer adds nothing to a list

    def instances(self, context, filters, **paging):
        context.db_connection = self.cell.db_connection
        return [each['uuid'] for each in
                main_db_api.instance_get_all_by_filters_sort(
                    context, filters, columns_to_join=[], **paging)]

    def builds(self, context, filters, **paging):
        return [each.instance_uuid for each in
                objects.BuildRequestList.get_by_filters(
                    context, filters, **paging)]

    def put(self, fields):
        """Put a server into both databases, and return its uuid."""
        fields = dict(fields)
        times = {'created_at': NOW + datetime.timedelta(
            hours=fields.pop('hours'))}
        renamed = fields.pop('renamed')
        times['updated_at'] = renamed and NOW + datetime.timedelta(
            hours=renamed)
        tags = objects.TagList(objects=[
            objects.Tag(tag=tag) for tag in fields.pop('tags')])
        build = self.build(tags, locked=fields['locked_by'] is not None,
                           **fields)
        uuid = build.instance_uuid
        with database.api_writer(self.context) as session:
            session.execute(models.build_request.update().where(
                models.build_request.c.instance_uuid == uuid).values(
                {name: value and value.replace(tzinfo=None)
                 for name, value in times.items()}))
        landed = build.get_new_instance(self.cell)
        landed.created_at = times['created_at']
        landed.updated_at = times['updated_at']
        landed.create()
        for tag in tags:
            main_db_api.instance_tag_add(self.cell, uuid, tag.tag)
        return uuid

    def build(self, tags=None, **fields):
        fields = dict({'project_id': 'p', 'system_metadata': {},
                       'metadata': {}, 'locked': False}, **fields)
        instance = objects.Instance(
            self.context, uuid=uuidutils.generate_uuid(), **fields)
        build = objects.BuildRequest(
            self.context, instance=instance, instance_uuid=instance.uuid,
            project_id=instance.project_id, tags=tags or objects.TagList(),
            block_device_mappings=objects.BlockDeviceMappingList())
        build.create()
        return build

    def clear(self):
        for context in (self.context, self.cell):
            with database.writer(context) as session:
                for table in self.tables(context):
                    session.execute(table.delete())

    def tables(self, context):
        if database.is_api(context):
            return API_TABLES + [models.build_request,
                                 models.build_request_item]
        return CELL_TABLES


class ServerMixin:

    def use_cell(self):
        self.server = servers.shared(self.KIND)
        self.useFixture(db_fixtures.ReplaceEngineFacadeFixture(
            api_db_api.context_manager, self.facade('api', API_TABLES)))
        models.metadata_of(database.API).create_all(
            api_db_api.get_engine())
        return self.facade('cell', CELL_TABLES)

    def facade(self, name, tables):
        url = self.server.create(name)
        self.flags(connection=url, group='database')
        facade = enginefacade.transaction_context()
        facade.configure(connection=url)
        tables[0].metadata.create_all(facade.writer.get_engine(),
                                      tables=tables)
        return facade


class MariaDBTest(ServerMixin, SQLiteTest):

    KIND = 'mariadb'

    def test_weights(self):
        """Each character counts as what the server says."""
        characters = [chr(number) for number in range(1, 0x10000)
                      if not 0xd800 <= number < 0xe000] + ['\U0001f600']
        with api_db_api.get_engine().connect() as connection:
            for first in range(0, len(characters), 4000):
                some = characters[first:first + 4000]
                weights = connection.execute(sa.text(' UNION ALL '.join(
                    "SELECT HEX(WEIGHT_STRING(CONVERT(x'%s' USING utf8mb4) "
                    'COLLATE utf8mb4_general_ci))' % each.encode().hex()
                    for each in some))).scalars()
                self.assertEqual(list(weights), [
                    '%04X' % ord(general_ci.key(each)[0]) for each in some])


class PostgreSQLTest(ServerMixin, SQLiteTest):

    KIND = 'postgresql'
