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

"""Initial version"""

from nova_cells_persist import db_migrations
from nova_cells_persist.db_migrations import initial

revision = '001'
down_revision = None


def upgrade(migrate_engine=None):
    with db_migrations.operations_on(migrate_engine) as op:
        initial.create_request_spec(op)
        initial.create_build_request(op)
        initial.create_build_request_item(op)
