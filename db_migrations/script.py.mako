<%text>#</%text>    Licensed under the Apache License, Version 2.0 (the "License"); you may
<%text>#</%text>    not use this file except in compliance with the License. You may obtain
<%text>#</%text>    a copy of the License at
<%text>#</%text>
<%text>#</%text>         http://www.apache.org/licenses/LICENSE-2.0
<%text>#</%text>
<%text>#</%text>    Unless required by applicable law or agreed to in writing, software
<%text>#</%text>    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
<%text>#</%text>    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
<%text>#</%text>    License for the specific language governing permissions and limitations
<%text>#</%text>    under the License.

"""${message}"""

from nova_cells_persist import db_migrations

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade(migrate_engine=None):
    with db_migrations.operations_on(migrate_engine) as op:
        pass
