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

"""Which row stands in which database.

Read with plain SQL, past every Nova object, so that what is shown is what is
there.
"""

import contextlib
import dataclasses
import json
import re

import sqlalchemy as sa

# The tables of the API database in which a build in flight has rows.
NOVA = {'request_specs', 'build_requests', 'instance_mappings'}
PLUGIN = {'request_spec', 'build_request'}

# How to read every table that keeps something of a server's scheduling
# contract or of a build in flight.
API_TABLES = {
    'request_specs': 'SELECT instance_uuid, spec FROM request_specs',
    'build_requests': 'SELECT instance_uuid FROM build_requests',
    'instance_mappings':
        'SELECT m.instance_uuid, c.name AS cell, m.queued_for_delete '
        'FROM instance_mappings m '
        'LEFT JOIN cell_mappings c ON c.id = m.cell_id',
    'request_spec':
        'SELECT instance_uuid, revision, event, pending, spec '
        'FROM request_spec ORDER BY revision',
    'build_request': 'SELECT instance_uuid FROM build_request',
}
CELL_TABLES = {
    'instances':
        'SELECT i.uuid AS instance_uuid, i.vm_state, i.host, i.deleted, '
        'e.flavor FROM instances i '
        'LEFT JOIN instance_extra e ON e.instance_uuid = i.uuid',
    'shadow_instances': 'SELECT uuid AS instance_uuid FROM shadow_instances',
    'request_spec': API_TABLES['request_spec'],
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row, with those of its columns that the story is about."""

    database: str
    table: str
    server: str
    cell: str = None
    queued_for_delete: bool = False
    revision: int = None
    event: str = None
    pending: bool = False
    flavor: str = None
    zone: str = None
    vm_state: str = None
    host: str = None
    deleted: bool = False

    @property
    def text(self):
        """What to print of it."""
        if self.table == 'instance_mappings':
            text = 'cell %s' % (self.cell or 'NULL')
            return text + (
                ', queued for delete' if self.queued_for_delete else '')
        if self.table == 'instances':
            text = '%s, host %s, flavor %s' % (
                self.vm_state, self.host or '-', self.flavor)
            return text + (', soft-deleted' if self.deleted else '')
        text = ''
        if self.revision is not None:
            text = 'revision %s, event %s, ' % (self.revision, self.event)
            text += 'pending, ' if self.pending else ''
        if self.flavor is not None:
            text += 'flavor %s, zone %s' % (self.flavor, self.zone or '-')
        return text


class Snapshot:
    """The rows of all databases at one moment."""

    def __init__(self, rows):
        self.rows = tuple(rows)

    def __eq__(self, other):
        return isinstance(other, Snapshot) and self.rows == other.rows

    def find(self, server, database=None, table=None):
        """The rows of a server: all, or those of a database, of a table."""
        return [row for row in self.rows
                if row.server == server and
                database in (None, row.database) and
                table in (None, row.table)]

    def one(self, server, database, table):
        """The only row of a server in a table; None if not exactly one."""
        found = self.find(server, database, table)
        return found[0] if len(found) == 1 else None

    def tables(self, server, database):
        """The set of the tables of a database that have rows of a server."""
        return {row.table for row in self.find(server, database)}


def read(engines):
    """Read all databases.

    :param engines: the engines by database name, as Cloud.engines() has them
    :returns: a Snapshot
    """
    rows = []
    for database, engine in engines.items():
        tables = API_TABLES if database == 'API' else CELL_TABLES
        there = sa.inspect(engine).get_table_names()
        with engine.connect() as connection:
            for table, statement in tables.items():
                # The plugin's tables are not there on stock Nova.
                if table in there:
                    for record in connection.execute(sa.text(statement)):
                        rows.append(_row(database, table, record._mapping))
    return Snapshot(rows)


def order(database):
    """Sort key of a database's name: the API database, then the cells."""
    return database != 'API', database


def _row(database, table, record):
    columns = dict(record)
    facts = {name: columns[name]
             for name in ('cell', 'revision', 'event', 'vm_state', 'host')
             if name in columns}
    for name in ('queued_for_delete', 'pending', 'deleted'):
        facts[name] = bool(columns.get(name))
    if 'spec' in columns:
        facts['flavor'] = _look_up(columns['spec'], 'flavor', 'name')
        facts['zone'] = _look_up(columns['spec'], 'availability_zone')
    elif 'flavor' in columns:
        # instance_extra keeps the flavor beside the old and the new one of a
        # resize, without an object around the three.
        facts['flavor'] = _look_up(columns['flavor'], 'cur', 'name')
    return Row(database, table, columns['instance_uuid'], **facts)


def _look_up(text, *path):
    """A value in a serialised object; '(unreadable)' when it is not one."""
    try:
        value = json.loads(text)
        for name in path:
            value = value.get('nova_object.data', value)[name]
        return value
    except (TypeError, ValueError, KeyError, AttributeError):
        return '(unreadable)'


@contextlib.contextmanager
def watch(engine):
    """Note which tables are read while the ``with`` block runs.

    :yields: a set, filled with the tables' names
    """
    tables = set()

    def note(connection, cursor, statement, *args):
        tables.update(re.findall(r'\b(?:FROM|JOIN)\s+"?(\w+)', statement))

    sa.event.listen(engine, 'before_cursor_execute', note)
    try:
        yield tables
    finally:
        sa.event.remove(engine, 'before_cursor_execute', note)
