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

"""What is wrong with a database, for the one who has to mend it."""

import re

from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

#: What MySQL and MariaDB have against a regular expression: ER_REGEXP_*.
_REGULAR_EXPRESSION = frozenset([1139, 3887, 3900, *range(3684, 3700)])

#: What PostgreSQL has against a comparison: there is none such of these types;
#: or none at all, where Nova takes it for MySQL by what [database] says.
_NOT_COMPARED = frozenset(['42883', '42804', '42601'])

#: And against a value, a regular expression too: how all of that begins.
_BAD_VALUE = '22'

# Up to the host of a URL, and of what a driver makes of one. All that is in
# front of the last @ may be a part of a password.
_URL = re.compile('://.*@')
_HOST = re.compile(r'''(^|\s)(['"(]*)\S*@''')


def without_credentials(text: str) -> str:
    """Return a text without what may be a user's name and password."""
    return _HOST.sub(r'\1\2***@', _URL.sub('://***@', text))


def of(exc: Exception) -> str:
    """Return in one line what an exception says of a database.

    Not what it may say of a password.
    """
    if isinstance(exc, db_exc.DBNonExistentTable):
        return 'it has no table %s, run "%s" first' % (
            exc.table, _maker(exc.table))
    if (isinstance(exc, (sa_exc.ArgumentError, ValueError)) and
            not isinstance(exc, sa_exc.NoSuchModuleError)):
        # What SQLAlchemy says repeats it, with the password.
        return 'its connection is no URL that SQLAlchemy can parse'
    text = str(getattr(exc, 'orig', None) or exc).strip()
    return without_credentials(
        (text or type(exc).__name__).splitlines()[0].rstrip('.'))


def is_of_filter(exc: Exception) -> bool:
    """Whether a database refuses a query for what it is filtered by.

    It cannot read a regular expression, or has none for numbers and times.
    """
    cause = getattr(exc, 'inner_exception', None) or exc
    cause = getattr(cause, 'orig', None) or cause
    state = getattr(cause, 'pgcode', getattr(cause, 'sqlstate', None)) or ''
    first = cause.args[0] if cause.args else None
    return (state in _NOT_COMPARED or state.startswith(_BAD_VALUE) or
            first in _REGULAR_EXPRESSION or
            first == 'user-defined function raised exception')


def _maker(table: str) -> str:
    """Return the command that makes a table."""
    # The command line imports this module before it may import Nova.
    from nova.db.api import models as api_models

    from nova_cells_persist.db import models
    if table in models.TABLE_NAMES:
        return 'nova-cells-persist db sync'
    if table in api_models.BASE.metadata.tables:
        return 'nova-manage api_db sync'
    return 'nova-manage db sync'
