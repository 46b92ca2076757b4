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

"""What alembic runs the scripts in; of the API database and of cells alike.

The caller gives the connection: there is no URL in a file here.
"""

from alembic import context

from nova_cells_persist.db import models

context.configure(
    connection=context.config.attributes['connection'],
    version_table=models.ALEMBIC_VERSION_TABLE,
    render_as_batch=True)   # for SQLite, which cannot alter a column

with context.begin_transaction():
    context.run_migrations()
