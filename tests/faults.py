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

"""Databases that fail, one statement at a time."""

import collections
import contextlib
import os
import re
import sqlite3
import sys
from unittest import mock

from oslo_db import exception as db_exc
import psycopg2
import psycopg2.errors
import pymysql

from tests import counting

#: What a driver raises, by kind of database and of fault. oslo.db makes of
#: them what Nova sees.
ERRORS = {
    'mysql': {
        'deadlock': (pymysql.err.OperationalError, 1213,
                     'Deadlock found when trying to get lock; try '
                     'restarting transaction'),
        'lost': (pymysql.err.OperationalError, 2013,
                 'Lost connection to MySQL server during query'),
        'timeout': (pymysql.err.OperationalError, 1205,
                    'Lock wait timeout exceeded; try restarting '
                    'transaction'),
        'read-only': (pymysql.err.OperationalError, 1290,
                      'The MariaDB server is running with the --read-only '
                      'option so it cannot execute this statement'),
    },
    'postgresql': {
        'deadlock': (psycopg2.errors.DeadlockDetected, 'deadlock detected'),
        'lost': (psycopg2.OperationalError,
                 'server closed the connection unexpectedly'),
        'timeout': (psycopg2.errors.LockNotAvailable,
                    'canceling statement due to lock timeout'),
        'read-only': (psycopg2.errors.ReadOnlySqlTransaction,
                      'cannot execute INSERT in a read-only transaction'),
    },
    'sqlite': {
        # It has none; what oslo.db makes of that of others.
        'deadlock': (db_exc.DBDeadlock,),
        'timeout': (sqlite3.OperationalError, 'database is locked'),
        'read-only': (sqlite3.OperationalError,
                      'attempt to write a readonly database'),
        'lost': (db_exc.DBConnectionError,),
    },
}

#: What is sent after the last statement of a transaction of the plugin: that
#: may fail, and so may the answer to it be lost.
COMMIT, COMMITTED = 'COMMIT', 'COMMIT, done'

#: One thing that a database is sent.
#:
#: :ivar place: the name of the database
#: :ivar statement: as SQL, or one of the above
#: :ivar number: how many that are the same it was sent before
#: :ivar by: the functions of the plugin that it is sent by, as 'record.write',
#:     the innermost first; those that are only for SQL are left out
Sent = collections.namedtuple('Sent', 'place statement number by')

OWN_TABLES = re.compile(r'\b(request_spec|build_request|build_request_item)\b')
WRITES = re.compile(r'(INSERT|UPDATE|DELETE|SELECT .* FOR UPDATE)\b', re.S)
PLUGIN = 'nova_cells_persist/'
FOLDER, NOVA = PLUGIN + 'db/', '/nova/'
TESTS = os.path.dirname(__file__)


def is_of_plugin(statement):
    """Whether a statement that is being executed is one of the plugin.

    One that Nova executes on its tables counts as well, but not what a test
    looks for in them.
    """
    frame, is_own = sys._getframe(1), OWN_TABLES.search(statement)
    while frame is not None:
        name = frame.f_code.co_filename
        if FOLDER in name or is_own and NOVA in name:
            return True
        if name.startswith(TESTS) and name != __file__:
            return False
        frame = frame.f_back
    return bool(is_own)


class Faults(counting.Listening):
    """Look at what a few databases are sent, and have some of it fail.

    :param engines: {name: Engine}
    :param fault: None, or a function of one that is Sent, which returns
        whether that fails, and how: a key of ERRORS
    :ivar seen: [Sent] of the plugin, as they were sent
    :ivar raised: how often one has failed
    """

    def __init__(self, engines, fault=None):
        self.seen = []
        self.raised = 0
        self._sent = collections.Counter()
        self._engines = engines
        self._fault = fault or (lambda sent: None)
        self._open = set()   # connections, each in a transaction of ours
        super().__init__(
            (engine, event, self._listener(name))
            for name, engine in engines.items()
            for event in ('do_execute', 'do_executemany',
                          'do_execute_no_params'))

    def __enter__(self):
        self._patches = contextlib.ExitStack()
        for name, engine in self._engines.items():
            # An event would come before what SQLAlchemy does for an error.
            self._patches.enter_context(mock.patch.object(
                engine.dialect, 'do_commit',
                self._committer(name, engine.dialect)))
        return super().__enter__()

    def __exit__(self, *exc_info):
        super().__exit__(*exc_info)
        self._patches.close()

    def _listener(self, name):
        def execute(cursor, statement, *args):
            context = args[-1]
            # oslo.db says that to SQLite.
            if statement != 'BEGIN' and is_of_plugin(statement):
                # Another one each time that it is taken from its pool.
                self._open.add(context.root_connection.connection)
                self._send(name, statement, context.dialect)

        return execute

    def _committer(self, name, dialect):
        do_commit = dialect.do_commit

        def commit(connection):
            if connection not in self._open:
                return do_commit(connection)
            self._open.remove(connection)
            self._send(name, COMMIT, dialect)
            do_commit(connection)
            self._send(name, COMMITTED, dialect)

        return commit

    def _send(self, name, statement, dialect):
        sent = Sent(name, statement, self._sent[name, statement], _by())
        self._sent[name, statement] += 1
        self.seen.append(sent)
        kind = self._fault(sent)
        if kind:
            self.raised += 1
            error, *arguments = ERRORS[dialect.name][kind]
            raise error(*arguments)


def _by():
    """Return the functions of the plugin in the stack, as of Sent."""
    frame, names = sys._getframe(1), []
    while frame is not None:
        code = frame.f_code
        if PLUGIN in code.co_filename and FOLDER not in code.co_filename:
            module = os.path.basename(code.co_filename)[:-len('.py')]
            names.append('%s.%s' % (module, code.co_name))
        frame = frame.f_back
    return tuple(names)
