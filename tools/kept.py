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

"""What runs have come to: kept in files, and shown on a page."""

import datetime
import hashlib
import json
import os

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: Where the code of the plugin is.
PLUGIN = ('db_migrations', 'nova_cells_persist')


def state():
    """Return a digest of the code of the plugin, in hexadecimal.

    It is made of files, since an sdist has no git.
    """
    digest = hashlib.sha256()
    for path in sorted(
            os.path.join(where, name) for folder in PLUGIN
            for where, _, names in os.walk(os.path.join(ROOT, folder))
            for name in names if not name.endswith('.pyc')):
        with open(path, 'rb') as file:
            code = file.read()
        digest.update(b'%s %d\n%s' % (
            os.path.relpath(path, ROOT).encode(), len(code), code))
    return digest.hexdigest()


def stamp():
    """Return of which state a run is, and its date, to be kept with it."""
    return {'state': state(), 'date': datetime.date.today().isoformat()}


def read(path):
    """Return what a file keeps, or None if there is no such file."""
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return json.load(file)


def write(path, found):
    """Keep something in a file, in place of what is there."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        json.dump(found, file, indent=1, sort_keys=True)
        file.write('\n')


def write_page(path, lines):
    """Write a page of the documentation, line by line."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        file.writelines(line + '\n' for line in lines)


def table(heads, rows):
    """Return the lines of a table.

    :param heads: of its columns, a list of str
    :param rows: lists of as many str, none of them empty
    """
    lines = ['.. list-table::', '   :header-rows: 1', '']
    for row in (heads, *rows):
        bullets = ['   * - '] + ['     - '] * (len(row) - 1)
        lines += map(str.__add__, bullets, row)
    return lines


def section(title, items):
    """Return the lines of a list of what is literal, or that it is empty."""
    if not items:
        return ['%s: none.' % title, '']
    return [title + ':', '', *['- ``%s``' % item for item in items], '']
