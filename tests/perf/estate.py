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

"""A cloud of ten cells and very many servers, as rows.

They are copies of those that Nova and the plugin have written for one server.
The uuids are hashes, so that they are spread as random ones are, and any
table can be filled without a look at another one.
"""

import contextlib
import glob
import subprocess
import sys
import tempfile
import time

import pymysql
from pymysql import cursors
import sqlalchemy as sa

CELLS = 10

# What one statement inserts.
CHUNK = 20000

# With that the indexes and what is read of such a cloud fit into memory.
BUFFER_POOL = 8 * 2 ** 30

#: Long ago, so that nothing of it is recent.
THEN = "'2020-01-01'"

CONFIGURATION = '''
[DEFAULT]
transport_url = fake://
[api_database]
connection = %s
[database]
connection = %s
'''

HASH = "MD5(CONCAT(%d, '-', seq))"
UUID = ("CONCAT_WS('-', SUBSTR(%(h)s, 1, 8), SUBSTR(%(h)s, 9, 4), "
        "SUBSTR(%(h)s, 13, 4), SUBSTR(%(h)s, 17, 4), SUBSTR(%(h)s, 21))")

#: What audit reads of each server, once more for a plain driver.
API_ROWS = (
    'SELECT m.instance_uuid, m.cell_id, s.spec FROM instance_mappings m '
    'LEFT JOIN request_specs s ON s.instance_uuid = m.instance_uuid '
    'ORDER BY m.instance_uuid')
CELL_ROWS = (
    'SELECT i.uuid, i.deleted, i.hidden, i.vm_state, i.task_state, i.host, '
    'i.instance_type_id, i.image_ref, i.availability_zone, r.revision, '
    'r.pending, r.base_digest, r.spec FROM instances i '
    'LEFT JOIN request_spec r ON r.instance_uuid = i.uuid '
    'ORDER BY i.uuid')


class Estate:
    """The databases of such a cloud, on the server of the bench.

    :ivar servers: how many it has
    """

    def __init__(self, api, cell, uuid, servers):
        """Make and fill them, which takes minutes.

        :param api: the Engine of the API database in which the server is
        :param cell: the Engine of its cell's
        :param uuid: of the server
        :param servers: how many there are to be
        """
        self.servers = servers
        self._api, self._cell, self._uuid = api, cell, uuid
        self._run('SET GLOBAL innodb_buffer_pool_size = %d' % BUFFER_POOL)
        self._make('estate_api', api, sa.inspect(api).get_table_names())
        self._run('DELETE FROM estate_api.cell_mappings')
        for number in range(1, CELLS + 1):
            self._fill_cell(number)
        self._settle()

    def run(self, *argv):
        """Run nova-cells-persist as a process, as its user would.

        :returns: (exit status, seconds, MB of memory of all its processes)
        """
        with tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
            file.write(CONFIGURATION % (self._url('estate_api'),
                                        self._url('estate_cell1')))
            file.flush()
            began = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, '-m', 'nova_cells_persist.cmd.main',
                 '--config-file', file.name, *argv])
            memory = 0
            while True:
                try:
                    status = process.wait(0.2)
                    break
                except subprocess.TimeoutExpired:
                    memory = max(memory, _memory(process.pid))
            return status, time.perf_counter() - began, memory

    def read(self):
        """Read what audit reads, with the driver and nothing else.

        :returns: seconds
        """
        began = time.perf_counter()
        self._read('estate_api', API_ROWS)
        for number in range(1, CELLS + 1):
            self._read('estate_cell%d' % number, CELL_ROWS)
        return time.perf_counter() - began

    def forget_copies(self):
        """Have no revisions in the first cell, as if it had no plugin."""
        self._run('TRUNCATE estate_cell1.request_spec')

    def copy(self, batch):
        """Copy the request specs into the first cell, with the driver.

        :param batch: how many rows a transaction has
        :returns: seconds
        """
        began = time.perf_counter()
        reader = self._connect('estate_api', cursors.SSCursor)
        writer = self._connect('estate_cell1')
        with reader.cursor() as read, writer.cursor() as write:
            read.execute(
                'SELECT m.instance_uuid, s.spec FROM instance_mappings m '
                'JOIN request_specs s ON s.instance_uuid = m.instance_uuid '
                'WHERE m.cell_id = 1')
            while True:
                rows = read.fetchmany(batch)
                if not rows:
                    break
                write.executemany(
                    'INSERT INTO request_spec (created_at, instance_uuid, '
                    'revision, event, spec, pending) VALUES '
                    "(NOW(), %s, 1, 'backfill', %s, 0)", rows)
                writer.commit()
        reader.close()
        writer.close()
        return time.perf_counter() - began

    def _read(self, database, statement):
        connection = self._connect(database, cursors.SSCursor)
        with connection.cursor() as cursor:
            cursor.execute(statement)
            for _ in cursor:
                pass
        connection.close()

    def _connect(self, database, cursor=cursors.Cursor):
        url = self._api.url
        return pymysql.connect(
            user=url.username, database=database, charset='utf8mb4',
            unix_socket=url.query['unix_socket'], cursorclass=cursor)

    def _url(self, database):
        return self._api.url.set(database=database).render_as_string(
            hide_password=False)

    def _make(self, name, engine, tables):
        self._run('DROP DATABASE IF EXISTS %s' % name,
                  'CREATE DATABASE %s' % name, *[
                      'CREATE TABLE %s.%s LIKE %s.%s' % (
                          name, table, engine.url.database, table)
                      for table in tables])

    def _fill_cell(self, number):
        name = 'estate_cell%d' % number
        self._make(name, self._cell,
                   ['instances', 'request_spec', 'services'])
        self._run(
            'INSERT INTO estate_api.cell_mappings (id, created_at, uuid, '
            "name, transport_url, database_connection, disabled) VALUES "
            "(%d, %s, UUID(), 'cell%d', 'fake://', '%s', 0)" % (
                number, THEN, number, self._url(name)))
        for table, place, key, others in (
                ('instance_mappings', 'estate_api', 'instance_uuid',
                 {'cell_id': str(number)}),
                ('request_specs', 'estate_api', 'instance_uuid', {}),
                ('instances', name, 'uuid', {}),
                ('request_spec', name, 'instance_uuid', {})):
            self._fill(number, table, place, key, others)

    def _fill(self, number, table, place, key, others):
        engine = self._api if place == 'estate_api' else self._cell
        uuid = UUID % {'h': HASH % number}
        values = dict({key: uuid, 'created_at': THEN, 'updated_at': 'NULL',
                       'spec': "REPLACE(spec, '%s', %s)" % (
                           self._uuid, uuid)}, **others)
        names = [column['name'] for column in
                 sa.inspect(engine).get_columns(table)
                 if column['name'] != 'id']
        rows = self.servers // CELLS
        for first in range(1, rows + 1, CHUNK):
            self._run('INSERT INTO %s.%s (%s) SELECT %s FROM %s.%s, '
                      'seq_%d_to_%d WHERE %s = \'%s\'' % (
                          place, table, ', '.join(names),
                          ', '.join(values.get(name, name)
                                    for name in names),
                          engine.url.database, table, first,
                          min(first + CHUNK - 1, rows), key, self._uuid))

    def _settle(self):
        # It would do so by itself, while something is measured.
        self._run('ANALYZE TABLE estate_api.instance_mappings, '
                  'estate_api.request_specs', *[
                      'ANALYZE TABLE estate_cell%d.instances, '
                      'estate_cell%d.request_spec' % (number, number)
                      for number in range(1, CELLS + 1)])

    def _run(self, *statements):
        with self._api.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement.replace('%', '%%'))
                connection.commit()


def _memory(pid):
    """Return how many MB a process and its children have.

    Of what several of them share each has its part.
    """
    found = 0
    with contextlib.suppress(OSError):   # one may have ended meanwhile
        with open('/proc/%d/smaps_rollup' % pid) as file:
            found += sum(int(line.split()[1]) for line in file
                         if line.startswith('Pss:')) / 1024
        for path in glob.glob('/proc/%d/task/*/children' % pid):
            with open(path) as file:
                found += sum(_memory(int(child))
                             for child in file.read().split())
    return found
