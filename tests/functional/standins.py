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

"""What is round Nova in a cloud of processes; a program for each.

    standins.py NAME DESCRIPTOR

serves the WSGI application NAME of this file on a listening socket that it
inherits: nova-api, placement, and what there is of Glance and Neutron.
"""

import json
import os
import socket
import sys

#: The names of those that can be served.
APPLICATIONS = ('nova_api', 'placement', 'glance_and_neutron')

IMAGE = '155d900f-4e14-4e4c-a73d-069cbf4541e6'


def nova_api():
    import nova_api
    return nova_api.load()


def placement():
    os.environ['OS_PLACEMENT_CONFIG_DIR'] = os.path.dirname(__file__)
    from placement import wsgi
    return wsgi.init_application()


def glance_and_neutron():
    """One for both: their paths differ.

    There is one image, and no network, port or anything else of Neutron.
    """
    image = {
        'id': IMAGE, 'name': 'image', 'status': 'active', 'size': 1,
        'container_format': 'bare', 'disk_format': 'raw',
        'min_disk': 0, 'min_ram': 0, 'tags': [], 'protected': False,
        'visibility': 'public', 'checksum': None, 'owner': None,
        'created_at': '2020-01-01T00:00:00Z',
        'updated_at': '2020-01-01T00:00:00Z'}
    schema = {'name': 'image', 'properties': dict.fromkeys(image, {})}

    def application(environ, start_response):
        version, kind, *_ = environ['PATH_INFO'].strip('/').split('/')
        if version == 'v2.0':
            answer = {kind.replace('-', '_'): []}
        elif kind == 'schemas':
            answer = schema
        else:
            answer = image
        start_response('200 OK', [('Content-Type', 'application/json')])
        return [json.dumps(answer).encode()]
    return application


def admin(global_conf, **local_conf):
    """Return a filter of nova-api that takes everyone for an administrator.

    For api-paste.ini: Nova 34 has no noauth2 any more.
    """
    from nova import context

    def filter_(application):
        def authenticated(environ, start_response):
            environ['nova.context'] = context.RequestContext(
                'user', 'project', is_admin=True, auth_token='token',
                roles=['admin', 'member', 'reader'])
            return application(environ, start_response)
        return authenticated
    return filter_


def serve(application, descriptor):
    # Not before the application is loaded: Nova may patch what these import.
    from wsgiref import simple_server

    class Server(simple_server.WSGIServer):
        # One request after the other.
        request_queue_size = 100

        def server_bind(self):
            self.socket = socket.socket(fileno=descriptor)
            self.socket.setblocking(True)
            self.server_address = self.socket.getsockname()
            self.server_name, self.server_port = self.server_address
            self.setup_environ()

    server = Server(None, simple_server.WSGIRequestHandler)
    server.set_app(application)
    server.serve_forever()


if __name__ == '__main__':
    descriptor = int(sys.argv.pop())
    name = sys.argv.pop()
    assert name in APPLICATIONS
    serve(globals()[name](), descriptor)
