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

"""Which database does not answer."""

import contextlib

from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from nova_cells_persist.db import reason
from nova_cells_persist import exception


@contextlib.contextmanager
def of(name):
    """Say which database it was that failed, in a ``with`` block.

    :param name: what it is called
    :raises: DatabaseError
    """
    try:
        yield
    except (db_exc.DBError, db_exc.CantStartEngineError,
            sa_exc.SQLAlchemyError) as exc:
        raise exception.DatabaseError(database=name, reason=reason.of(exc))
