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

"""A process that changes the request spec of a server, again and again.

    writer.py API_DATABASE CELL_DATABASE UUID NAME TIMES

Each time it adds a scheduler hint of its own, NAME-0 and so on. It says
"ready", and begins when it is sent a line.
"""

import sys

from oslo_config import cfg
from oslo_serialization import jsonutils

from nova_cells_persist import plugin


def load(api, cell):
    """Be a process of Nova at the API level."""
    from nova import config
    from nova import context
    from nova.db.api import api as api_db_api
    from nova.db.main import api as main_db_api
    from nova import objects

    config.parse_args(['writer'], default_config_files=[],
                      configure_db=False)
    cfg.CONF.set_override('connection', api, group='api_database')
    cfg.CONF.set_override('connection', cell, group='database')
    main_db_api.configure(cfg.CONF)
    api_db_api.configure(cfg.CONF)
    plugin.load()
    objects.register_all()

    def target(cctxt, mapping):
        cctxt.db_connection = mapping and main_db_api.context_manager
        cctxt.cell_uuid = mapping and mapping.uuid

    # Nova's fixtures give cells names for URLs, which they alone know.
    context.set_target_cell = target
    return context.get_admin_context()


def add_hint(name):
    """Return an edit, as record.write() takes it, that adds a hint."""
    def edit(text):
        spec = jsonutils.loads(text)
        hints = spec['nova_object.data']['scheduler_hints']
        hints[name] = [name]
        return jsonutils.dumps(spec)
    return edit


def main(api, cell, uuid, name, times):
    context = load(api, cell)
    from nova_cells_persist.objects import record
    print('ready', flush=True)
    sys.stdin.readline()
    for number in range(int(times)):
        record.write(context, uuid, add_hint('%s-%d' % (name, number)),
                     'save')


if __name__ == '__main__':
    main(*sys.argv[1:])
