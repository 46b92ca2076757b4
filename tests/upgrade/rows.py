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

"""Every row of every table, before and after."""

import sqlalchemy as sa

from nova_cells_persist.db import models
from tests.functional import cloud_databases

#: Tables of those who make the others. Each new version changes them.
VERSIONS = {'migrate_version', 'alembic_version',
            models.MIGRATE_VERSION_TABLE, models.ALEMBIC_VERSION_TABLE}


def of(databases):
    """Return all rows of all databases.

    :param databases: a CloudDatabases
    :returns: {'database.table': [{column: value}]}
    """
    found = {}
    for name in cloud_databases.NAMES:
        tables = sorted(databases.tables(name) - VERSIONS)
        with databases.engine(name).connect() as connection:
            for table in tables:
                found['%s.%s' % (name, table)] = [
                    dict(row._mapping) for row in connection.execute(
                        sa.text('SELECT * FROM %s' % table))]
    return found


def differences(before, after):
    """Return which rows are not as they were, a list of str.

    A column or a table that a release of Nova takes away was empty.
    """
    wrong = []
    for table, old in before.items():
        new = after.get(table, [])
        columns = set(new[0]) if new else set()
        kept = sorted({column for row in old for column in row
                       if column in columns or row[column] is not None})
        lost = [row for row in old if row not in _only(new, set(row))
                and _only([row], set(kept))[0] not in _only(new, set(kept))]
        if lost or len(old) != len(new):
            wrong.append('%s: %d rows were %d, %d of them are not there: %s'
                         % (table, len(new), len(old), len(lost), lost[:1]))
    return wrong


def _only(rows, columns):
    return [{column: row[column] for column in row if column in columns}
            for row in rows]


def number(found):
    """Return how many rows there are in all."""
    return sum(map(len, found.values()))
