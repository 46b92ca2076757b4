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

"""Make Nova's archiving pass over the tables of the plugin."""

from nova.db.api import models as api_models
from nova.db.main import models as main_models

from nova_cells_persist.db import models


class KnownTables:
    """The names of our tables, among those that Nova knows and leaves alone.

    ``nova-manage db archive_deleted_rows`` reflects every table that there
    is and dies with a KeyError on one that is in no model and not in
    REMOVED_TABLES.
    """

    name = 'known tables'

    def __init__(self):
        self._added = []

    def apply(self):
        for module in (api_models, main_models):
            names = models.TABLE_NAMES - set(module.REMOVED_TABLES)
            module.REMOVED_TABLES.update(names)
            self._added.append((module, names))

    def undo(self):
        while self._added:
            module, names = self._added.pop()
            module.REMOVED_TABLES.difference_update(names)
