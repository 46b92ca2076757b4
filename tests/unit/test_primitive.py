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

import hypothesis
from hypothesis import strategies as st
from oslo_serialization import jsonutils
from oslotest import base

from nova_cells_persist.objects import primitive

NAMES = st.sampled_from(['flavor', 'image', 'availability_zone', 'limits'])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5)
FIELDS = st.dictionaries(NAMES, VALUES)


def spec(fields, version='1.15', changes=None):
    result = {'nova_object.name': 'RequestSpec',
              'nova_object.namespace': 'nova',
              'nova_object.version': version,
              'nova_object.data': fields}
    if changes is not None:
        result['nova_object.changes'] = changes
    return jsonutils.dumps(result)


class CompactTest(base.BaseTestCase):

    def test_changes_go_at_every_depth(self):
        inner = {'nova_object.name': 'X', 'nova_object.data': {},
                 'nova_object.changes': ['id']}
        text = spec({'flavor': inner, 'list': [inner, inner]},
                    changes=['flavor'])
        self.assertNotIn('changes', primitive.compact(text))

    def test_hints_are_the_users(self):
        hints = {'nova_object.changes': ['blue']}
        text = primitive.compact(spec({'scheduler_hints': hints}))
        self.assertEqual(hints, primitive.data(text)['scheduler_hints'])

    @hypothesis.given(FIELDS)
    def test_nothing_else_goes(self, fields):
        text = primitive.compact(spec(fields, changes=sorted(fields)))
        self.assertEqual(jsonutils.loads(spec(fields)),
                         jsonutils.loads(text))
        self.assertEqual(text, primitive.compact(text))
        text.encode('ascii')   # a character is a byte: sizes are counted so


class DigestTest(base.BaseTestCase):

    @hypothesis.given(FIELDS, st.randoms())
    def test_neither_order_nor_changes_count(self, fields, random):
        names = list(fields)
        random.shuffle(names)
        shuffled = {name: fields[name] for name in names}
        self.assertEqual(primitive.digest(spec(fields)),
                         primitive.digest(spec(shuffled, changes=names)))

    @hypothesis.given(FIELDS, FIELDS)
    def test_content_counts(self, one, other):
        # What JSON cannot tell apart, such as True as a key, is the same.
        same = (jsonutils.dumps(one, sort_keys=True) ==
                jsonutils.dumps(other, sort_keys=True))
        self.assertEqual(same, primitive.digest(spec(one)) ==
                         primitive.digest(spec(other)))

    def test_not_json(self):
        self.assertRaises(ValueError, primitive.digest, '{broken')


class ReapplyTest(base.BaseTestCase):

    @hypothesis.given(FIELDS, FIELDS, st.sets(NAMES))
    def test_own_changes_on_top_of_the_newest(self, newest, mine, changed):
        merged = primitive.data(primitive.reapply(
            spec(newest), spec(mine), changed))
        for name in set(newest) | set(mine):
            if name in changed and name in mine:
                self.assertEqual(mine[name], merged[name])
            elif name in newest:
                self.assertEqual(newest[name], merged[name])
            else:
                self.assertNotIn(name, merged)

    def test_higher_version_stays(self):
        for newest, mine, expected in (('1.9', '1.15', '1.15'),
                                       ('1.15', '1.9', '1.15')):
            merged = jsonutils.loads(primitive.reapply(
                spec({}, newest), spec({}, mine), []))
            self.assertEqual(expected, merged['nova_object.version'])

    def test_newest_is_no_object(self):
        for text in ('{broken', 'null', '[]', '{}', '"text"', '1'):
            self.assertRaises(ValueError, primitive.reapply, text,
                              spec({}), [])


class DataTest(base.BaseTestCase):

    def test_no_object(self):
        for text in ('{broken', 'null', '[]', '{}', '"text"', '1'):
            self.assertRaises(ValueError, primitive.data, text)
