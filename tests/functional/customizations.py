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

"""What is put beside the programs of Nova, as text."""

PASTE = '''
[composite:osapi_compute]
use = call:nova.api.openstack.urlmap:urlmap_factory
/v2.1: api

[pipeline:api]
pipeline = faultwrap admin router

[filter:faultwrap]
paste.filter_factory = nova.api.openstack:FaultWrapper.factory

[filter:admin]
paste.filter_factory = standins:admin

[app:router]
paste.app_factory = nova.api.openstack.compute:APIRouterV21.factory
'''

PLACEMENT = '''
[placement_database]
connection = %s
sync_on_startup = True

[api]
auth_strategy = noauth2
'''

#: In SQLite, a transaction that has read must not write once another process
#: has written. So it begins with its first write, waiting for its turn.
SQLITE = '''
import wrapt


def begin(connection):
    connection.connection.dbapi_connection.isolation_level = 'IMMEDIATE'
    # oslo.db is not to begin one.
    connection.info['in_transaction'] = True


def listen(module):
    import sqlalchemy
    sqlalchemy.event.listen(sqlalchemy.engine.Engine, 'begin', begin)


wrapt.register_post_import_hook(listen, 'oslo_db.sqlalchemy.engines')
'''

#: In a compute: the preparation of a resize fails, once for each file that
#: is in a folder.
FAIL = '''
import os

import wrapt


def prep_resize(wrapped, manager, args, kwargs):
    for name in os.listdir(%(faults)r):
        os.replace(os.path.join(%(faults)r, name),
                   os.path.join(%(failed)r, manager.host))
        raise RuntimeError('prep_resize was told to fail')
    return wrapped(*args, **kwargs)


wrapt.register_post_import_hook(
    lambda module: wrapt.wrap_function_wrapper(
        module, 'ComputeManager._prep_resize', prep_resize),
    'nova.compute.manager')
'''

#: In the super-conductor: having cast a move to a compute, it goes on when
#: nothing is in a folder. When it has done with a server it leaves a file.
HOLD = '''
import os
import time

import wrapt


def execute(wrapped, task, args, kwargs):
    result = wrapped(*args, **kwargs)
    while os.listdir(%(holds)r):
        time.sleep(0.05)
    return result


def migrate_server(wrapped, manager, args, kwargs):
    try:
        return wrapped(*args, **kwargs)
    finally:
        uuid = kwargs['instance'].uuid
        open(os.path.join(%(done)r, uuid), 'w').close()


wrapt.register_post_import_hook(
    lambda module: wrapt.wrap_function_wrapper(
        module, 'MigrationTask.execute', execute),
    'nova.conductor.tasks.migrate')
wrapt.register_post_import_hook(
    lambda module: wrapt.wrap_function_wrapper(
        module, 'ComputeTaskManager.migrate_server', migrate_server),
    'nova.conductor.manager')
'''

#: Notes, when the process ends, what there is of the plugin in it.
WITNESS = '''
import atexit
import json
import sys


def testify():
    plugin = sys.modules.get('nova_cells_persist.plugin')
    with open(%r, 'w') as file:
        json.dump(
            {'asked': 'nova_cells_persist.config_driver' in sys.modules,
             'on': plugin is not None and plugin.is_loaded()}, file)


atexit.register(testify)
'''
