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

"""The collations of MySQL, which cannot compare columns of two of them."""

import sqlalchemy as sa

from nova.db.api import models as api_models
from nova.db.main import models as main_models

from nova_cells_persist.db import database
from nova_cells_persist.db import models

#: The columns of Nova that ours are joined with.
_OF_NOVA = {
    database.API: api_models.InstanceMapping.__table__.c.instance_uuid,
    database.CELL: main_models.Instance.__table__.c.uuid,
}

_DIFFERS = (
    '%(table)s.instance_uuid: collation is %(found)s, %(theirs)s has '
    '%(expected)s, and MySQL does not compare the two; run "ALTER TABLE '
    '%(table)s MODIFY instance_uuid VARCHAR(36) CHARACTER SET %(charset)s '
    'COLLATE %(expected)s NOT NULL"')


def differences(connection, kind):
    """Return which uuids of ours are not in the collation of Nova's.

    :param kind: of the database, database.API or database.CELL
    :returns: a list of strings
    """
    if connection.dialect.name != 'mysql':
        return []
    theirs = _OF_NOVA[kind]
    expected, differing = _collation(connection, theirs), []
    for table in models.TABLES[kind]:
        found = _collation(connection, table.c.instance_uuid)
        if not found or not expected or found == expected:
            continue
        if found[0] == expected[0]:   # Else it converts one into the other.
            differing.append(_DIFFERS % {
                'table': table.name, 'theirs': theirs, 'found': found[1],
                'charset': expected[0], 'expected': expected[1]})
    return differing


def _collation(connection, column):
    """Return (character set, collation) of a column, None if it is none."""
    return connection.execute(sa.text(
        'SELECT character_set_name, collation_name '
        'FROM information_schema.columns WHERE table_schema = DATABASE() '
        'AND table_name = :table AND column_name = :column'),
        {'table': column.table.name, 'column': column.name}).first()
