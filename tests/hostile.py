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

"""What may stand in a row in place of the JSON of an object."""

import json

from hypothesis import strategies

#: Deeper than Python's stack, and about as deep as that.
DEPTHS = (100000, 3000, 950, 480, 320)

STRANGE = (
    '\x00', '\ud800', '\U0001f512', "'; DROP TABLE request_spec; --", '%',
    '%(uuid)s %s %d', '{0.__class__} {uuid}', '\\', '\n', 'a' * 300, '',
    '../..', '<b>')

NUMBERS = (0, -1, 2 ** 31, 2 ** 63, 2 ** 64, 10 ** 400, 1e308,
           float('inf'), float('-inf'), float('nan'))

#: Each is whole, and not what is meant.
WHOLE = (
    '', ' ', '\n\n\n', '{', '[]', '{}', 'null', 'true', '"text"', '0', 'NaN',
    '-Infinity', '1' * 5000, '1e999', '\ufeff{}', '{"a":1}{"a":1}',
    '{"nova_object.data":null}', '{"nova_object.data":[]}',
    '{"nova_object.data":{}}', '{"nova_object.name":"Instance"}',
    '{"nova_object.name":"NoSuch","nova_object.namespace":"nova",'
    '"nova_object.version":"1.0","nova_object.data":{}}',
    json.dumps('\x00\ud800'), 'not JSON at all', '%s %(a)s {0}',
    '<?xml version="1.0"?>')

#: What a column takes in MariaDB, in bytes; those that are named are of TEXT.
MEDIUMTEXT = 2 ** 24 - 1
TEXT = {'tags': 2 ** 16 - 1}

values = strategies.recursive(
    strategies.none() | strategies.booleans() |
    strategies.sampled_from(STRANGE + NUMBERS) | strategies.text(max_size=8),
    lambda inner: strategies.lists(inner, max_size=3) |
    strategies.dictionaries(strategies.text(max_size=8), inner, max_size=3),
    max_leaves=5)


def nested(depth, opening='[', closing=']'):
    return opening * depth + closing * depth


@strategies.composite
def texts(draw, good):
    """Draw what may be there in place of a text of lines of JSON.

    :param good: the text
    """
    kind = draw(strategies.sampled_from(
        ['whole', 'cut', 'spoilt', 'changed', 'changed', 'nested', 'random']))
    if kind == 'whole':
        return draw(strategies.sampled_from(WHOLE))
    if kind == 'random':
        return draw(strategies.text(strategies.characters(
            exclude_categories=['Cs'], exclude_characters='\x00')))
    lines = good.split('\n')
    number = draw(strategies.sampled_from(
        [number for number, line in enumerate(lines) if line]))
    line = lines[number]
    place = draw(strategies.integers(0, len(line) - 1))
    if kind == 'cut':
        return '\n'.join(lines[:number] + [line[:place]])
    if kind == 'spoilt':
        lines[number] = line[:place] + draw(strategies.sampled_from(
            '{}[]":,0x\n ')) + line[place + 1:]
    else:
        lines[number] = _changed(draw, line, kind == 'nested')
    return '\n'.join(lines)


def _changed(draw, line, is_nested):
    """Change one value somewhere in a JSON, or a key, or leave one out."""
    whole = json.loads(line)
    places = list(_places(whole))
    owner, key = draw(strategies.sampled_from(places))
    if is_nested:
        owner[key] = 'NESTED'
        depth = draw(strategies.sampled_from(DEPTHS))
        return json.dumps(whole).replace('"NESTED"', draw(
            strategies.sampled_from([nested(depth), nested(
                depth, '{"nova_object.data":', '}').replace(
                ':}', ':{}}', 1)])))
    how = draw(strategies.sampled_from(['value', 'value', 'gone', 'newer']))
    if how == 'newer':
        versions = [place for place in places
                    if place[1] == 'nova_object.version']
        owner, key = draw(strategies.sampled_from(versions or places))
        owner[key] = draw(strategies.sampled_from(['9.9', '1.99', '0.1']))
    elif how == 'gone':
        del owner[key]
    else:
        owner[key] = draw(values)
    return json.dumps(whole, separators=(',', ':'))


def _places(value):
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _places(value[key])
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield value, number
            yield from _places(each)


def fitting(text, dialect, column):
    """Return a text as far as a database takes it at all.

    :param dialect: its name
    :param column: the name of the column that it is for
    """
    text = text.encode('utf-8', 'replace').decode()
    if dialect == 'postgresql':
        text = text.replace('\x00', '?')
    if dialect == 'mysql':   # and three bytes a character
        text = ''.join(letter if letter <= '\uffff' else '?'
                       for letter in text)
        text = text.encode()[:TEXT.get(column, MEDIUMTEXT)].decode(
            errors='ignore')
    return text
