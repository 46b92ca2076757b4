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

"""Migration: when it ends in error, what it wanted is void.

Stands in for nova/objects/migration.py.
"""

from nova.objects import base
from nova.objects import fields
from nova.objects import migration as stock

from nova_cells_persist.objects import restore

_MOVE_TYPES = (fields.MigrationType.RESIZE, fields.MigrationType.MIGRATION)


class Migration(stock.Migration):
    """A move of a server: when it fails, so does what was saved for it."""

    @base.remotable
    def save(self):
        """As Nova's; a move in error takes back what was saved for it."""
        failed = ('status' in self.obj_what_changed() and
                  self.status == 'error' and
                  self.migration_type in _MOVE_TYPES)
        super().save()
        if failed:
            restore.restore(self._context, self.instance_uuid)
