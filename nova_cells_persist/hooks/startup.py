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

"""A service whose tables are missing or outdated does not start.

Checked when a service starts and never while a configuration is parsed:
nova-manage and nova-status have to run on a new deployment, where Nova's own
``db sync`` comes before ours.
"""

from nova_cells_persist.db import migration
from nova_cells_persist import exception
from nova_cells_persist.hooks import base


def _require_tables():
    try:
        migration.require_current()
    except exception.CellsPersistException as exc:
        raise SystemExit(str(exc))


class StartConductor(base.Hook):
    """Wraps nova.service.Service.create(), before it forks its workers.

    In a worker it would be too late: its parent would start it again and
    again.
    """

    module = 'nova.service'
    attributes = ('Service.create',)

    def call(self, wrapped, instance, args, kwargs):
        if kwargs.get('binary') == 'nova-conductor':
            _require_tables()
        return wrapped(*args, **kwargs)


class StartAPI(base.Hook):
    """Wraps _setup_service() of nova.api.openstack.wsgi_app.

    init_application() calls it under every WSGI server, once it has read
    the configuration.
    """

    module = 'nova.api.openstack.wsgi_app'
    attributes = ('_setup_service',)

    def call(self, wrapped, instance, args, kwargs):
        _check_api(*args, **kwargs)
        return wrapped(*args, **kwargs)


def _check_api(host, name):
    if name == 'osapi_compute':
        _require_tables()


class StartAPIServer(base.Hook):
    """Wraps WSGIService.__init__() of nova.service.

    The nova-api that older Novas start as a server of its own; it is gone
    from those that run under a WSGI server only.
    """

    module = 'nova.service'
    attributes = ('WSGIService.__init__',)
    optional = True

    def call(self, wrapped, instance, args, kwargs):
        _check_server(*args, **kwargs)
        return wrapped(*args, **kwargs)


def _check_server(name, *args, **kwargs):
    if name == 'osapi_compute':
        _require_tables()
