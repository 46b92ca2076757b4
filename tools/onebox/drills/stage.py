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

"""Where a drill is played: a cloud, its users, and what is promised of it."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import subprocess
import threading
import time

from keystoneauth1 import exceptions as auth_exceptions

from tools import errors as tools_errors
from tools.onebox import bootstrap
from tools.onebox import cloud as clouds
from tools.onebox import configuration
from tools.onebox import errors

#: How long anything may take that involves a timeout of Nova's messages,
#: which is 60 s.
LONG = 200

#: How many users boot servers at the same time.
USERS = 6

IN_FLIGHT = 'BUILD'


@dataclasses.dataclass(frozen=True)
class Check:
    """A promise, and whether it was kept."""

    promise: str
    kept: bool
    detail: str = ''


class Client:
    """A user of a nova-api, who is the administrator.

    :param listener: which nova-api
    """

    def __init__(self, connection, place, listener='nova-api'):
        self.name = listener
        self._session = connection.session
        self._url = place.url(listener, '/v2.1')

    def call(self, method, path, body=None, version='2.90'):
        """Send a request.

        :returns: the HTTP status, 0 if nobody answered, and the body as a dict
        """
        try:
            answer = self._session.request(
                self._url + path, method, json=body, raise_exc=False,
                headers={'OpenStack-API-Version': 'compute ' + version},
                log=False, connect_retries=0)
        except auth_exceptions.ConnectFailure:
            return 0, {}
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, {}

    def show(self, uuid, **options):
        """Return the HTTP status and the server, an empty dict if none."""
        status, body = self.call('GET', '/servers/' + uuid, **options)
        return status, body.get('server', {})

    def list(self, query='', **options):
        """Return the HTTP status and the servers by their uuids."""
        status, body = self.call(
            'GET', '/servers/detail' + query, **options)
        return status, {server['id']: server
                        for server in body.get('servers', ())}

    def act(self, uuid, **action):
        """Have something done to a server.

        :raises: Refused
        """
        status, body = self.call('POST', '/servers/%s/action' % uuid, action)
        if status >= 300:
            raise errors.Refused('%s of server %s' % (list(action), uuid),
                                 status, body)


class Stage:
    """A cloud on which one drill is played.

    :param cloud: a Cloud that is up
    :param tell: called with each line of the story
    :param checked: called with each Check
    """

    def __init__(self, cloud, tell, checked):
        self.cloud = cloud
        self.tell = tell
        self._checked = checked
        self.checks = []
        self.connection = bootstrap.connect(cloud.place)
        self.client = self.client_of('nova-api')
        self._image = self.connection.image.find_image(
            bootstrap.IMAGES[0]).id
        self._numbers = itertools.count()
        self._after = contextlib.ExitStack()
        self._servers = set()

    def client_of(self, listener):
        return Client(self.connection, self.cloud.place, listener)

    def __enter__(self):
        self._no_quota()
        return self

    def __exit__(self, *error):
        self._after.close()
        if not error[0]:
            self.delete(self._servers)

    def _no_quota(self):
        project = self.connection.current_project_id
        self.client.call('PUT', '/os-quota-sets/' + project, {
            'quota_set': dict.fromkeys(
                ('instances', 'cores', 'ram', 'server_groups'), -1)})

    def afterwards(self, function, *args):
        """Have something done at the end, however the drill ends."""
        self._after.callback(function, *args)

    def check(self, promise, kept, detail=''):
        """Note whether a promise was kept.

        :param detail: what was seen, if that is worth showing
        """
        check = Check(promise, bool(kept), str(detail))
        self.checks.append(check)
        self._checked(check)

    def boot(self, client=None, **more):
        """Ask for a server on no network.

        :param more: further members of the request
        :returns: the HTTP status, and the uuid or None
        """
        server = {'name': 'drill-%03d' % next(self._numbers),
                  'imageRef': self._image, 'flavorRef': '1',
                  'networks': 'none', **more}
        hints = server.pop('hints', {})
        status, body = (client or self.client).call('POST', '/servers', {
            'server': server, 'os:scheduler_hints': hints})
        uuid = body.get('server', {}).get('id')
        if uuid:
            self._servers.add(uuid)
        return status, uuid

    def booted(self, **more):
        """Boot a server, wait for it, and return its uuid.

        :raises: Refused, TimedOut
        """
        uuid = self._accepted(**more)
        self.wait_for(uuid, 'ACTIVE')
        return uuid

    def _accepted(self, client=None, **more):
        status, uuid = self.boot(client, **more)
        if uuid is None:
            raise errors.Refused('a boot', status, {})
        return uuid

    def burst(self, count, clients=None, accepted=lambda uuid: None, **more):
        """Ask for many servers at once, and return the uuids, a list.

        :param clients: whose requests they are, in turn
        :param accepted: called with each uuid
        :raises: Refused
        """
        def one(number):
            client = clients[number % len(clients)] if clients else None
            uuid = self._accepted(client, **more)
            accepted(uuid)
            return uuid

        with concurrent.futures.ThreadPoolExecutor(USERS) as users:
            return list(users.map(one, range(count)))

    def status(self, uuid):
        """Return the status of a server, or what else nova-api answers."""
        status, server = self.client.show(uuid)
        return server.get('status', 'HTTP %d' % status)

    def wait_for(self, uuid, status, seconds=LONG):
        """Wait for a server to be in a status, or in ERROR.

        :returns: the server, a dict
        :raises: TimedOut
        """
        def look():
            _, server = self.client.show(uuid)
            return (server.get('status') in (status, 'ERROR') and
                    server['OS-EXT-STS:task_state'] is None and server)
        return self.cloud.wait('server %s to be %s' % (uuid, status), look,
                               seconds)

    def settle(self, uuids, seconds=LONG):
        """Wait until servers are built or failed.

        :param seconds: of no change after which nothing more is waited for
        :returns: their statuses by uuid
        """
        seen = {uuid: IN_FLIGHT for uuid in uuids}
        changed = time.monotonic()
        while (IN_FLIGHT in seen.values() and
               time.monotonic() < changed + seconds):
            for uuid in [uuid for uuid in seen if seen[uuid] == IN_FLIGHT]:
                seen[uuid] = self.status(uuid)
                if seen[uuid] != IN_FLIGHT:
                    changed = time.monotonic()
            time.sleep(0.2)
        return seen

    def delete(self, uuids):
        """Delete servers, and wait until they are gone.

        :raises: TimedOut
        """
        uuids = set(uuids)
        with concurrent.futures.ThreadPoolExecutor(USERS) as users:
            list(users.map(lambda uuid: self.client.call(
                'DELETE', '/servers/' + uuid), uuids))
        left = set(uuids)

        def look():
            left.difference_update([
                uuid for uuid in left if self.client.show(uuid)[0] == 404])
            return not left

        self.cloud.wait('servers to be gone', look, LONG)
        self._servers -= uuids

    def start(self, *names):
        """Start services again, and wait until they work."""
        self.cloud.start(*names)
        self.cloud.wait_for_nova(
            *[name for name in names if name in clouds.NOVA])

    def missing(self, name):
        """Have a service started at the end, if it does not run then."""
        def start():
            if self.cloud.processes.find(name) is None:
                self.start(name)
        self.afterwards(start)

    def held(self, name):
        """Hold a service, and have it released at the end at the latest."""
        self.cloud.hold(name)
        self.afterwards(self._release, name)

    def _release(self, name):
        if self.cloud.processes.find(name):
            self.cloud.release(name)

    def audit(self):
        """Return what the plugin's ``audit`` finds, a list of dicts."""
        return self._command('audit', '--older-than', '0s')

    def heal(self):
        """Have the plugin mend what it finds; return what that was."""
        command = ('heal', '--older-than', '0s', '--yes', '--undo-file',
                   self.cloud.place.path('data', 'undo-%d' %
                                         next(self._numbers)))
        found = self._command(*command)
        # Of what has landed within this minute, what is named.
        for finding in self.audit():
            if finding['Code'] == 'landed-build':
                found += self._command(*command, '--server',
                                       finding['Server'])
        return found

    def differences(self, uuid):
        """Return where a server's request spec differs from the server."""
        return self._command('spec', 'diff', uuid)

    def _command(self, *arguments):
        """Run the plugin's command line.

        :raises: CommandFailed
        """
        command = [self.cloud.nova.program('nova-cells-persist'),
                   '--config-file', configuration.nova_path(
                       self.cloud.place, 'super-conductor'),
                   *arguments, '-f', 'json']
        done = subprocess.run(command, capture_output=True, text=True)
        return listed(arguments, done)


def listed(arguments, done):
    """Return what the plugin's command line has listed, a list of dicts.

    :param arguments: it was given
    :param done: a CompletedProcess
    :raises: CommandFailed, also if it has listed nothing, not even that there
        is nothing
    """
    if done.returncode in (0, 1):
        with contextlib.suppress(ValueError):
            return json.loads(done.stdout)
    raise tools_errors.CommandFailed(' '.join(arguments), done.returncode,
                                     done.stderr.splitlines())


class Background:
    """Something that goes on, in threads, while the block is entered.

    :param function: called with each argument, in a thread of its own; it is
        to return when ``_stop`` is set
    """

    def __init__(self, function, arguments):
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=function, args=(argument,))
                         for argument in arguments]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Watch(Background):
    """Shows and lists servers all the time, and notes what is not right.

    :param clients: each is asked
    """

    def __init__(self, clients):
        super().__init__(self._look, clients)
        self._uuids = []
        #: What was wrong, a list of str.
        self.wrong = []
        #: How many answers there were.
        self.answers = 0
        #: How many of them showed a server that was not built yet.
        self.in_flight = 0

    def add(self, uuid):
        """Watch a server from now on."""
        self._uuids.append(uuid)

    def _look(self, client):
        built = set()
        while not self._stop.is_set():
            known = list(self._uuids)
            self._list(client, known)
            for uuid in [uuid for uuid in known if uuid not in built]:
                status, server = client.show(uuid)
                self.answers += 1
                if status != 200:
                    self._note(client, 'show of %s' % uuid, status)
                elif server['status'] == IN_FLIGHT:
                    self.in_flight += 1
                else:
                    built.add(uuid)
            self._stop.wait(1)

    def _list(self, client, known):
        status, servers = client.list()
        self.answers += 1
        if status != 200:
            self._note(client, 'list', status)
        for uuid in set(known) - set(servers) if status == 200 else ():
            self._note(client, 'list without %s' % uuid, status)

    def _note(self, client, what, status):
        self.wrong.append('%s: %s: HTTP %d' % (client.name, what, status))
