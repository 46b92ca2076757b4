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

"""The story: what happens to four servers, and what is promised of it.

The same story runs on stock Nova and with the plugin. What the REST API
answers must be right in both; what stands in the databases is promised for
the plugin only.
"""

import time

from tools.demo import checks
from tools.demo import cloud as demo_cloud
from tools.demo import errors
from tools.demo import rows
from tools.demo import step as demo_step

# How long the databases may take to become what is promised, once the
# conductor is through and the API has answered.
PATIENCE = 10


class Story:
    """Tells the story in a Cloud.

    :param cloud: the Cloud, up and running
    :param say: called with a short text before each thing that takes time
    """

    def __init__(self, cloud, say):
        self._cloud = cloud
        self._say = say
        self._engines = cloud.engines()
        self._servers = {}

    def tell(self):
        """Yield each Step as soon as it is over.

        :raises errors.DemoError: a step could not be taken at all
        """
        for step in (self._accepted, self._building, self._landed,
                     self._resized, self._confirmed, self._reverted,
                     self._failed, self._refused, self._deleted,
                     self._archived, self._deleted_while_building):
            try:
                yield step()
            except errors.DemoError:
                raise
            except Exception as error:
                raise errors.DemoError('The step "%s" failed: %s' % (
                    step.__name__.strip('_').replace('_', ' '),
                    errors.sentence(error))) from error

    # The steps.

    def _accepted(self):
        self._cloud.gate.shut()
        boot = self._boot('web', 'small', 'cell1')
        if not self._cloud.gate.wait_for_arrival(30):
            raise errors.DemoError(
                'The build did not reach the scheduler within 30 seconds.')

        def promises(found, web):
            spec = found.one(web, 'API', 'request_specs')
            ours = found.one(web, 'API', 'request_spec')
            mapping = found.one(web, 'API', 'instance_mappings')
            yield ('API: Nova\'s request_specs, build_requests and '
                   'instance_mappings, as on stock Nova',
                   rows.NOVA <= found.tables(web, 'API'))
            yield ('API: the mapping names no cell yet',
                   mapping and mapping.cell is None)
            yield ('API: request_spec, revision 1, event create',
                   ours and (ours.revision, ours.event) == (1, 'create'))
            yield ('API: both specs ask for flavor small in zone alpha',
                   spec and ours and
                   (spec.flavor, spec.zone) == (ours.flavor, ours.zone) ==
                   ('small', 'alpha'))
            yield ('API: build_request',
                   found.one(web, 'API', 'build_request'))
            yield ('cell0, cell1, cell2: nothing',
                   {row.database for row in found.find(web)} == {'API'})

        return self._step(
            'accepted', 'A user boots "web". nova-api has accepted it; the '
            'scheduler is held, so the server has no cell yet.',
            [(boot, '')], ['web'], promises,
            api=[('POST /servers is 202', boot.status == 202)], wait=False)

    def _building(self):
        web = self._servers['web']
        with rows.watch(self._engines['API']) as read:
            show = self._show('web')
            listing = self._cloud.rest('GET', '/servers/detail?name=web')
        listed = [server['name'] for server in listing.body['servers']]
        read = sorted(read & {'build_requests', 'build_request'})

        def promises(found, web):
            yield ('shown and listed from the table build_request',
                   'build_request' in read)
            yield ('rows as before',
                   found.tables(web, 'API') == rows.NOVA | rows.PLUGIN and
                   len(found.find(web)) == 5)

        server = show.server
        return self._step(
            'building', 'Still without a cell: what the user sees meanwhile.',
            [(show, ''), (listing, 'lists %s' % ', '.join(listed))],
            ['web'], promises, api=[
                ('shown with its name, flavor, image and zone',
                 (server.get('status'), server.get('name'), _flavor(server),
                  _image(server), server.get('pinned_availability_zone')) ==
                 ('BUILD', 'web', 'small', self._cloud.image['id'],
                  'alpha')),
                ('listed once', [entry['id'] for entry in
                                 listing.body['servers']] == [web])],
            read=read, wait=False)

    def _landed(self):
        self._say('letting the scheduler go; booting "db" in the other cell')
        self._cloud.gate.open()
        boot = self._boot('db', 'small', 'cell2')
        web = self._wait('web', 'ACTIVE')
        db = self._wait('db', 'ACTIVE')

        def promises(found, web, db):
            for server, cell in ((web, 'cell1'), (db, 'cell2')):
                yield from checks.stands_in(found, server, cell)
                revisions = found.find(server, cell, 'request_spec')
                yield ('%s: request_spec, revision 1, with Nova\'s flavor '
                       'and zone' % cell,
                       [row.revision for row in revisions] == [1] and
                       checks.agree(found, server, cell, 'small'))

        return self._step(
            'landed', 'The scheduler goes on: "web" lands in cell1, and a '
            'second server, "db", in cell2.',
            [(boot, ''), (web, ''), (db, '')], ['web', 'db'], promises,
            api=[('both are ACTIVE, each on a host of its zone',
                  checks.active_in(web, 'cell1') and
                  checks.active_in(db, 'cell2'))])

    def _resized(self):
        asked = self._action('web', {
            'resize': {'flavorRef': self._cloud.flavors['medium']}})
        web = self._wait('web', 'VERIFY_RESIZE')

        def promises(found, web):
            yield from checks.stands_in(found, web, 'cell1')
            yield from checks.history(found, web, 'cell1', ['small', 'medium'])
            yield ('the newest revision, Nova\'s request_specs and the '
                   'instance have flavor medium',
                   checks.agree(found, web, 'cell1', 'medium'))

        return self._step(
            'resized', '"web" is resized from small to medium, which moves '
            'it to the other host of its cell.',
            [(asked, 'resize to medium'), (web, '')], ['web'], promises,
            api=[('VERIFY_RESIZE with flavor medium',
                  web.server.get('status') == 'VERIFY_RESIZE' and
                  _flavor(web.server) == 'medium')])

    def _confirmed(self):
        asked = self._action('web', {'confirmResize': None})
        web = self._wait('web', 'ACTIVE')

        def promises(found, web):
            yield from checks.stands_in(found, web, 'cell1')
            yield ('everything still says flavor medium',
                   checks.agree(found, web, 'cell1', 'medium'))

        return self._step(
            'confirmed', 'The user keeps the new size.',
            [(asked, 'confirmResize'), (web, '')], ['web'], promises,
            api=[('ACTIVE with flavor medium',
                  checks.active_in(web, 'cell1') and
                  _flavor(web.server) == 'medium')])

    def _reverted(self):
        self._say('resizing "web" once more, then reverting')
        first = self._show('web')
        asked = self._action('web', {
            'resize': {'flavorRef': self._cloud.flavors['large']}})
        resized = self._wait('web', 'VERIFY_RESIZE')
        reverted = self._action('web', {'revertResize': None})
        web = self._wait('web', 'ACTIVE')
        host = first.server.get('OS-EXT-SRV-ATTR:host')

        def promises(found, web):
            yield from checks.stands_in(found, web, 'cell1')
            yield from checks.history(
                found, web, 'cell1', ['small', 'medium', 'large', 'medium'])
            yield ('the newest revision, Nova\'s request_specs and the '
                   'instance have flavor medium again',
                   checks.agree(found, web, 'cell1', 'medium'))

        return self._step(
            'reverted', '"web" is resized again, from medium to large, and '
            'the user takes it back.',
            [(asked, 'resize to large'), (resized, ''),
             (reverted, 'revertResize'), (web, '')],
            ['web'], promises,
            api=[('ACTIVE with flavor medium, on the host it came from',
                  checks.active_in(web, 'cell1') and
                  _flavor(web.server) == 'medium' and
                  web.server.get('OS-EXT-SRV-ATTR:host') == host)])

    def _failed(self):
        self._say('resizing "web" once more, on a host that fails')
        with self._cloud.failing_hosts():
            asked = self._action('web', {
                'resize': {'flavorRef': self._cloud.flavors['large']}})
            web = self._wait('web', 'ACTIVE')

        def promises(found, web):
            yield from checks.stands_in(found, web, 'cell1')
            yield ('the newest revision, Nova\'s request_specs and the '
                   'instance have flavor medium, as if nothing had been',
                   checks.agree(found, web, 'cell1', 'medium'))

        return self._step(
            'failed', '"web" is resized from medium to large, and its host '
            'cannot do it. The super-conductor has saved large by then.',
            [(asked, 'resize to large'), (web, '')], ['web'], promises,
            api=[('ACTIVE with flavor medium',
                  checks.active_in(web, 'cell1') and
                  _flavor(web.server) == 'medium')])

    def _refused(self):
        boot = self._boot('colossus', 'giant', 'cell1')
        colossus = self._wait('colossus', 'ERROR')
        fault = colossus.server.get('fault', {}).get('message', '')

        def promises(found, colossus):
            yield from checks.stands_in(found, colossus, 'cell0')
            revisions = found.find(colossus, 'cell0', 'request_spec')
            yield ('cell0: request_spec, revision 1, flavor giant',
                   [(row.revision, row.flavor) for row in revisions] ==
                   [(1, 'giant')])

        return self._step(
            'refused', '"colossus" fits no host: the scheduler refuses it, '
            'and Nova buries it in cell0.',
            [(boot, ''), (colossus, fault)], ['colossus'], promises,
            api=[('ERROR: No valid host',
                  colossus.server.get('status') == 'ERROR' and
                  'No valid host' in fault)])

    def _deleted(self):
        names = ['web', 'db', 'colossus']
        answers = []
        for name in names:
            path = '/servers/%s' % self._servers[name]
            answers.append((self._cloud.rest('DELETE', path), ''))
        shown = [self._wait(name, None) for name in names]
        answers += [(answer, '') for answer in shown]

        def promises(found, *servers):
            for server, cell in zip(servers, ('cell1', 'cell2', 'cell0')):
                instance = found.one(server, cell, 'instances')
                yield ('%s: the instance soft-deleted, its request_spec kept '
                       'until both are purged' % cell,
                       instance and instance.deleted and
                       found.find(server, cell, 'request_spec'))
            yield ('API: no build_request, no request_spec',
                   not any(found.find(server, 'API', table)
                           for server in servers for table in rows.PLUGIN))

        return self._step(
            'deleted', 'The user deletes the three servers. Nova keeps '
            'deleted rows until the operator archives them.',
            answers, names, promises,
            api=[('DELETE is 204, and then GET is 404',
                  all(answer.status == 204 for answer, _ in answers[:3]) and
                  all(answer.status == 404 for answer in shown))])

    def _archived(self):
        self._say('nova-manage db archive_deleted_rows')
        status, printed = self._cloud.archive()

        def promises(found, *servers):
            yield ('no row of them in any database',
                   not any(found.find(server) for server in servers))

        return self._step(
            'archived', 'The operator runs "nova-manage db '
            'archive_deleted_rows --all-cells --until-complete --purge".',
            [], ['web', 'db', 'colossus'], promises,
            api=[('nova-manage ends with 1, "something was archived", and '
                  'without a traceback',
                  status == 1 and 'Traceback' not in printed)])

    def _deleted_while_building(self):
        self._cloud.gate.shut()
        boot = self._boot('hasty', 'small', 'cell1')
        hasty = self._servers['hasty']
        if not self._cloud.gate.wait_for_arrival(30):
            raise errors.DemoError(
                'The build did not reach the scheduler within 30 seconds.')
        building = self._show('hasty')
        deleted = self._cloud.rest('DELETE', '/servers/%s' % hasty)
        gone = self._show('hasty')
        self._say('letting the scheduler go')
        self._cloud.gate.open()

        def promises(found, hasty):
            yield ('no row of it in any database', not found.find(hasty))
            # The last step, so nothing of any server may be left.
            yield ('no row of any server in any database', not found.rows)

        return self._step(
            'deleted while building', '"hasty" is deleted while the '
            'scheduler still works on it; then the scheduler goes on.',
            [(boot, ''), (building, ''), (deleted, ''), (gone, '')],
            ['hasty'], promises,
            api=[('BUILD, then DELETE is 204, and then GET is 404',
                  building.server.get('status') == 'BUILD' and
                  (deleted.status, gone.status) == (204, 404))])

    # What several steps promise.

    # How a step is made.

    def _boot(self, name, flavor, cell):
        self._say('booting "%s"' % name)
        answer = self._cloud.rest('POST', '/servers', {'server': {
            'name': name,
            'flavorRef': self._cloud.flavors[flavor],
            'imageRef': self._cloud.image['id'],
            'availability_zone': demo_cloud.ZONES[cell],
            'networks': 'none',
        }}, expect=202)
        self._servers[name] = answer.server['id']
        return answer

    def _show(self, name):
        return self._cloud.rest('GET', '/servers/%s' % self._servers[name])

    def _action(self, name, body):
        action = next(iter(body))
        self._say('%s of "%s"' % (action, name))
        return self._cloud.rest(
            'POST', '/servers/%s/action' % self._servers[name], body)

    def _wait(self, name, status):
        self._say('waiting for "%s" to become %s' % (name, status)
                  if status else 'waiting for "%s" to go' % name)
        return self._cloud.wait_for_server(self._servers[name], status)

    def _step(self, name, what, answers, names, promises, api, read=(),
              wait=True):
        """Look at the databases once they have come to rest.

        :param promises: called with a Snapshot and the uuids of the servers;
            yields pairs of a text and whether it is so
        :param api: such pairs about what the API answered
        :param wait: whether the conductor must be through first
        """
        if wait and not self._cloud.tasks.wait_until_done(30):
            raise errors.DemoError(
                'The conductor was not through within 30 seconds.')
        servers = [self._servers[server] for server in names]
        deadline = time.monotonic() + PATIENCE
        before = None
        while True:
            found = rows.read(self._engines)
            kept = [demo_step.Promise(text, bool(so)) for text, so in api]
            if self._cloud.plugin:
                kept += [demo_step.Promise(text, bool(so))
                         for text, so in promises(found, *servers)]
            # On stock Nova nothing is promised of the rows; there, two equal
            # looks in a row must do.
            if found == before and all(promise.kept for promise in kept):
                break
            if time.monotonic() > deadline:
                break
            before = found
            time.sleep(0.3)
        return demo_step.Step(
            name, what, answers,
            {self._servers[server]: server for server in names},
            [row for server in servers for row in found.find(server)],
            kept, list(read))


def _flavor(server):
    return server.get('flavor', {}).get('original_name')


def _image(server):
    return (server.get('image') or {}).get('id')
