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

"""Which database does not answer, or refuses, or which cell has a wrong URL.

What a driver says is left behind: it has the statement and the values in it,
or the password.
"""

import contextlib

from oslo_db import exception as db_exc
import oslo_messaging as messaging
from sqlalchemy import exc as sa_exc

from nova_cells_persist.db import reason
from nova_cells_persist import exception
from nova_cells_persist.objects import cells

#: Of these nothing is about one server more than about another.
_OF_ALL = (db_exc.DBConnectionError, db_exc.CantStartEngineError,
           db_exc.DBNonExistentDatabase, db_exc.DBNonExistentTable)

_FAILURES = (db_exc.DBError, db_exc.CantStartEngineError,
             sa_exc.SQLAlchemyError)


@contextlib.contextmanager
def of(name, failures=_FAILURES):
    """Say which database it was that failed, in a ``with`` block.

    :param name: what it is called
    :param failures: the exceptions that say so
    :raises: DatabaseError
    """
    try:
        yield
    except failures as exc:
        raise exception.DatabaseError(
            database=name, reason=reason.of(exc)) from None


@contextlib.contextmanager
def about(name, instance_uuid):
    """As of(), where one server is changed.

    :raises: DatabaseError if the database cannot be used; Deadlock, or
        StatementFailed if it can, and refuses this
    """
    try:
        yield
    except _FAILURES as exc:
        what = (exception.DatabaseError if isinstance(exc, _OF_ALL) else
                exception.Deadlock if isinstance(exc, db_exc.DBDeadlock) else
                exception.StatementFailed)
        raise what(instance_uuid=instance_uuid, database=name,
                   reason=reason.of(exc)) from None


def opening(name):
    """As of(), where a database is opened: its URL may be none.

    Not around what else a ValueError can come of.
    """
    return of(name, (*_FAILURES, ValueError))


@contextlib.contextmanager
def session(name, begin, context, instance_uuid=None):
    """Yield the session of a transaction, as opening(), and of() or about().

    :param begin: database.reader or another such function of the context
    :param instance_uuid: of the server that is changed, if one is
    """
    guard = of(name) if instance_uuid is None else about(name, instance_uuid)
    with guard, contextlib.ExitStack() as stack:
        with opening(name):
            found = stack.enter_context(begin(context))
        yield found


def targeted(context, cell):
    """As cells.targeted(), of a cell whose mapping may be wrong.

    :raises: WrongTransport
    """
    try:
        return cells.targeted(context, cell)
    except ValueError:   # it says what cannot be parsed: a password
        why = 'it is no URL that oslo.messaging can parse'
    except messaging.MessagingException as exc:
        why = reason.of(exc)
    raise exception.WrongTransport(
        cell=cell.name or cell.uuid, uuid=cell.uuid, reason=why)
