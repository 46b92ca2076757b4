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

"""Say in the log of each service that the plugin is on."""

from oslo_log import log as logging

from nova_cells_persist.hooks import base
from nova_cells_persist import plugin

LOG = logging.getLogger(__name__)


class Announce(base.Hook):
    """Wraps oslo_log.log.setup(), with which each service opens its log.

    The plugin is loaded before that, when there is no log to write to.
    """

    module = 'oslo_log.log'
    attributes = ('setup',)

    def call(self, wrapped, instance, args, kwargs):
        result = wrapped(*args, **kwargs)
        LOG.info(plugin.summary())
        return result
