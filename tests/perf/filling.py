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

"""Many rows, fast: copies of those that Nova or the plugin has written."""

import datetime

from oslo_utils import uuidutils
import sqlalchemy as sa

# What one statement inserts.
CHUNK = 20000

# A random text of 36 characters for each row.
RANDOM = {'mysql': "CONCAT(MD5(UUID()), 'copy')",
          'sqlite': "lower(hex(randomblob(16))) || 'copy'"}


def copy_servers(engine, originals, number, **replacements):
    """Copy all rows that servers have in a database, one server in turn.

    :param originals: their uuids
    :param number: of copies to make, in all
    :param replacements: texts in those rows, and what the copies have instead
    :returns: the uuids of the copies
    """
    uuids = [uuidutils.generate_uuid() for _ in range(number)]
    with engine.begin() as connection:
        for table in _tables(engine):
            copies = []
            for turn, original in enumerate(originals):
                rows = connection.execute(sa.select(table).where(
                    table.c.instance_uuid == original)).mappings().all()
                copies += [
                    _copy(row, {original: uuids[age], **replacements}, age)
                    for row in rows
                    for age in range(turn, number, len(originals))]
            if copies:
                connection.execute(table.insert(), copies)
    _settle(engine)
    return uuids


def forget(engine, uuids):
    """Delete all rows that servers have in a database."""
    with engine.begin() as connection:
        for table in _tables(engine):
            connection.execute(table.delete().where(
                table.c.instance_uuid.in_(uuids)))


def fill(engine, table_name, number):
    """Copy the rows of a table until it has that many, each of its own server.

    It must have one.
    """
    columns = sa.Table(table_name, sa.MetaData(), autoload_with=engine).c
    names = [column.name for column in columns if not column.primary_key]
    values = [RANDOM[engine.dialect.name] if name == 'instance_uuid' else name
              for name in names]
    statement = sa.text('INSERT INTO %s (%s) SELECT %s FROM %s LIMIT :rows' % (
        table_name, ', '.join(names), ', '.join(values), table_name))
    there = 1
    while there < number:
        rows = min(there, CHUNK, number - there)
        with engine.begin() as connection:
            connection.execute(statement, {'rows': rows})
        there += rows


def _tables(engine):
    """Return the tables whose rows belong to a server."""
    metadata = sa.MetaData()
    metadata.reflect(engine)
    return [table for table in metadata.sorted_tables
            if 'instance_uuid' in table.c]


def _copy(row, replacements, age):
    """Return a row of another server, which is older by that many seconds."""
    copy = {}
    for name, value in row.items():
        if isinstance(value, str):
            for old, new in replacements.items():
                value = value.replace(old, new)
        elif name == 'created_at':
            value -= datetime.timedelta(seconds=age)
        if name != 'id':
            copy[name] = value
    return copy


def _settle(engine):
    """Put right what the copies of a build have of the first."""
    there = sa.inspect(engine).get_table_names()
    with engine.begin() as connection:
        if 'build_request' in there:
            # The plugin's row knows the id of Nova's.
            connection.execute(sa.text(
                'UPDATE build_request SET mirror_id = '
                '(SELECT id FROM build_requests WHERE '
                'build_requests.instance_uuid = build_request.instance_uuid)'))
        if engine.dialect.name == 'mysql':
            # It would do so by itself, while something is measured.
            connection.execute(sa.text(
                'ANALYZE TABLE ' + ', '.join(there)))
