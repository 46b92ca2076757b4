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

import collections

import hypothesis
from hypothesis import strategies as st
from oslo_serialization import jsonutils
from oslotest import base

from nova_cells_persist.db import models
from nova_cells_persist import exception
from nova_cells_persist.objects import build_row

Row = collections.namedtuple('Row', (
    'id', 'mirror_id', 'instance_uuid', 'project_id', 'created_at',
    'updated_at', 'mirror_updated_at', 'request_obj', 'spec', 'key_data',
    'user_data'))

SHARED_FIELDS = st.dictionaries(
    st.sampled_from(build_row.SHARED),
    st.none() | st.dictionaries(st.text(), st.integers()).map(
        lambda fields: obj(fields)))


def obj(fields, changes=None):
    primitive = {'nova_object.name': 'X', 'nova_object.version': '1.0',
                 'nova_object.data': fields}
    if changes:
        primitive['nova_object.changes'] = changes
    return primitive


def row(request_obj, spec=None, **kwargs):
    values = dict.fromkeys(Row._fields)
    values.update(id=1, request_obj=request_obj, spec=spec, **kwargs)
    return Row(**values)


class BuildRowTest(base.BaseTestCase):

    @hypothesis.given(SHARED_FIELDS, SHARED_FIELDS, st.booleans())
    def test_there_and_back(self, fields, contract, has_tags):
        instance = obj(dict(fields, display_name='n', locked=True), ['x'])
        updates = {'instance': jsonutils.dumps(instance)}
        if has_tags:
            updates['tags'] = jsonutils.dumps(obj({}))
        spec = jsonutils.dumps(obj(contract))
        values = build_row.columns(updates, spec)
        self.assertEqual('n', values['display_name'])
        self.assertTrue(values['locked'])

        content = build_row.content(row(values['request_obj'], spec))
        back = jsonutils.loads(content.instance)
        back['nova_object.data'].update(content.objects)
        del instance['nova_object.changes']
        self.assertEqual(instance, back)
        self.assertEqual(has_tags, content.tags is not None)
        self.assertIsNone(content.block_device_mappings)

    def test_what_the_spec_has_is_left_out(self):
        flavor, requests = obj({'name': 'm1.tiny'}), obj({'a': 1})
        instance = obj({'flavor': flavor, 'pci_requests': requests})
        values = build_row.columns(
            {'instance': jsonutils.dumps(instance)},
            jsonutils.dumps(obj({'flavor': flavor, 'pci_requests': obj({})})))
        _, objects, _, _ = values['request_obj'].split('\n')
        self.assertEqual({'flavor': None, 'pci_requests': requests},
                         jsonutils.loads(objects))

    def test_spec_is_gone(self):
        spec = jsonutils.dumps(obj({'flavor': obj({'a': 1})}))
        values = build_row.columns({'instance': spec}, spec)
        exc = self.assertRaises(ValueError, build_row.content,
                                row(values['request_obj']))
        self.assertIn('flavor', str(exc))

    def test_unreadable(self):
        for text in ('', '{}', '{}\n\n', '{}\n\n\n\n', '{}\n{broken\n\n',
                     '{}\n[]\n\n', '{}\n1\n\n', '{}\n{"flavor":null}\n\n'):
            self.assertRaises(ValueError, build_row.content,
                              row(text, '{"nova_object.data": {}}'))

    def test_too_large(self):
        for name in ('user_data', 'metadata'):
            instance = obj({name: 'x' * (models.MEDIUMTEXT_BYTES + 1)})
            exc = self.assertRaises(
                exception.BuildTooLarge, build_row.columns,
                {'instance': jsonutils.dumps(instance),
                 'instance_uuid': 'u'}, None)
            self.assertIn('server u ', str(exc))

    def test_what_is_long_stands_in_a_column_alone(self):
        instance = obj({'user_data': 'x', 'key_data': None})
        values = build_row.columns({'instance': jsonutils.dumps(instance)},
                                   None)
        self.assertEqual('x', values['user_data'])
        content = build_row.content(row(
            values['request_obj'], user_data=values['user_data']))
        self.assertEqual({'key_data': None}, jsonutils.loads(
            content.instance)['nova_object.data'])
        self.assertEqual({'user_data': 'x'}, content.long)

    def test_items(self):
        tags = obj({'objects': [obj({'tag': 't'})]})
        instance = obj({'metadata': {'k': 'v'}})
        self.assertEqual(
            [{'instance_uuid': 'u', 'kind': 'tag', 'name': 't',
              'value': None},
             {'instance_uuid': 'u', 'kind': 'metadata', 'name': 'k',
              'value': 'v'}],
            build_row.items('u', {'instance': jsonutils.dumps(instance),
                                  'tags': jsonutils.dumps(tags)}))
        self.assertEqual([], build_row.items('u', {'tags': None}))

    def test_id_is_that_of_the_mirror(self):
        self.assertEqual(1, build_row.plain(row(''))['id'])
        self.assertEqual(7, build_row.plain(row('', mirror_id=7))['id'])

    def test_stale(self):
        for ours, theirs, stale in ((None, None, False), (1, None, False),
                                    (None, 1, True), (1, 1, False),
                                    (1, 2, True), (2, 1, False)):
            self.assertEqual(stale, build_row.is_stale(row(
                '', updated_at=ours, mirror_updated_at=theirs)))
