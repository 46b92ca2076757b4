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

"""Count what databases are asked."""

import sqlalchemy as sa


class Listening:
    """Listens to databases in a ``with`` statement.

    :param listeners: [(Engine, name of an event, function)]
    """

    def __init__(self, listeners):
        self._listeners = list(listeners)

    def __enter__(self):
        for listener in self._listeners:
            sa.event.listen(*listener)
        return self

    def __exit__(self, *exc_info):
        for listener in self._listeners:
            sa.event.remove(*listener)


class Count(Listening):
    """What a few databases are sent in a ``with`` statement.

    :param engines: theirs
    :ivar statements: a list, as SQL
    :ivar transactions: a list, of the connections that committed one
    """

    def __init__(self, engines):
        self.statements = []
        self.transactions = []
        super().__init__(
            (engine, event, listener) for engine in engines
            for event, listener in (
                ('before_cursor_execute', self._statement),
                ('commit', self.transactions.append)))

    def _statement(self, connection, cursor, statement, *args):
        # oslo.db says that to SQLite. Other databases begin by themselves.
        if statement != 'BEGIN':
            self.statements.append(statement)
