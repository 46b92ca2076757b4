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

import os
import re
import sqlite3
import sys

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
        'timeout': (sqlite3.OperationalError, 'database is locked'),
        'read-only': (sqlite3.OperationalError,
                      'attempt to write a readonly database'),
        'lost': (sqlite3.OperationalError, 'disk I/O error'),
    },
}

OWN_TABLES = re.compile(r'\b(request_spec|build_request|build_request_item)\b')
WRITES = re.compile(r'(INSERT|UPDATE|DELETE|SELECT .* FOR UPDATE)\b', re.S)
FOLDER, NOVA = 'nova_cells_persist/db/', '/nova/'
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
    """Look at the statements of a few databases, and have some fail.

    :param engines: {name: Engine}
    :param fault: None, or a function of (name, statement) that returns
        whether that one fails, and how: a key of ERRORS
    :ivar seen: [(name, statement)] of the plugin, as they were sent
    :ivar raised: how often one has failed
    """

    def __init__(self, engines, fault=None):
        self.seen = []
        self.raised = 0
        self._fault = fault or (lambda name, statement: None)
        super().__init__(
            (engine, event, self._listener(name))
            for name, engine in engines.items()
            for event in ('do_execute', 'do_executemany'))

    def _listener(self, name):
        def execute(cursor, statement, parameters, context):
            if not is_of_plugin(statement):
                return
            self.seen.append((name, statement))
            kind = self._fault(name, statement)
            if kind:
                self.raised += 1
                error, *arguments = ERRORS[context.dialect.name][kind]
                raise error(*arguments)

        return execute
