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

"""The migrations of the plugin's tables: of the API database and of a cell.

A repository for two engines: sqlalchemy-migrate numbers the scripts by their
file names, alembic chains them by ``revision`` and ``down_revision``; both
call ``upgrade()``. Each script says what it does with the operations of
alembic, so it is written once. No two scripts of the two repositories have
the same file name: sqlalchemy-migrate would load the second into the module of
the first.

A script is history and never changes once released; that is why it does not
use the models of today. ``nova-cells-persist db check`` compares the two.
"""

import contextlib

from alembic import op
from alembic import operations
from alembic.runtime import migration


@contextlib.contextmanager
def operations_on(migrate_engine):
    """Yield the operations of alembic, whichever engine runs the script.

    :param migrate_engine: what sqlalchemy-migrate has given to upgrade(), or
        None if alembic has called it
    """
    if migrate_engine is None:
        yield op
        return
    with migrate_engine.connect() as connection:
        with connection.begin():
            yield operations.Operations(
                migration.MigrationContext.configure(connection))
