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

"""heal mends what is broken, and changes nothing that is healthy.

Servers that a running Nova has made in every state are copied row by row, so
that there are many, and some of the copies are broken at random.
"""

import hashlib
import itertools
import os

import fixtures
import hypothesis
from hypothesis import strategies
from oslo_serialization import jsonutils
from oslo_utils import uuidutils
import sqlalchemy as sa

from nova_cells_persist.db import rows
from nova_cells_persist.objects import primitive
from nova_cells_persist.reconcile import audit
from nova_cells_persist.reconcile import codes
from nova_cells_persist.reconcile import findings
from nova_cells_persist.reconcile import journal as files
from nova_cells_persist.reconcile import repair
from nova_cells_persist.reconcile import undo

from tests.functional import base

EXAMPLES = int(os.environ.get('HEAL_EXAMPLES', '12'))

#: How the uuid of a server is called in the tables that have it.
KEYS = ('instance_uuid', 'uuid', 'resource_id')

LIVE = ('active', 'elsewhere', 'grouped', 'resized', 'shelved', 'stopped')
LANDED = LIVE + ('deleted', 'buried')


class World:
    """What the databases have, by server."""

    def __init__(self, engines):
        """Look at the tables.

        :param engines: {place: Engine}
        """
        self._engines = engines
        self._tables = {}
        for place, engine in engines.items():
            metadata = sa.MetaData()
            metadata.reflect(engine)
            for table in metadata.sorted_tables:
                for key in KEYS:
                    if (key in table.c and table.name != 'migrations' and
                            not table.name.startswith('shadow_')):
                        self._tables.setdefault(place, []).append(
                            (table, table.c[key]))
                        break

    def read(self):
        """Return {uuid: {(place, table): [row as a dict]}}, of all."""
        found = {}
        for place, tables in self._tables.items():
            with self._engines[place].connect() as connection:
                for table, key in tables:
                    for row in connection.execute(sa.select(table).order_by(
                            *table.primary_key.columns)).mappings().all():
                        found.setdefault(row[key.name], {}).setdefault(
                            (place, table.name), []).append(dict(row))
        return found

    def of(self, uuid):
        """Return what read() has of one server."""
        return self.read().get(uuid, {})

    def copy(self, found, uuid):
        """Write the rows of a server as those of a new one.

        :returns: the uuid of that
        """
        new = uuidutils.generate_uuid()
        for place, tables in self._tables.items():
            with self._engines[place].begin() as connection:
                for table, key in tables:
                    for row in found.get((place, table.name), ()):
                        row = {name: value.replace(uuid, new)
                               if isinstance(value, str) else value
                               for name, value in row.items()}
                        row.pop('id', None)
                        if 'uuid' in row and key.name != 'uuid':
                            row['uuid'] = uuidutils.generate_uuid()
                        if 'mirror_id' in row:
                            row['mirror_id'] = self._mirror(connection, new)
                        connection.execute(table.insert(), row)
        return new

    def _mirror(self, connection, uuid):
        return connection.execute(
            sa.text('SELECT id FROM build_requests '
                    'WHERE instance_uuid = :uuid'), {'uuid': uuid}).scalar()

    def forget(self, uuid):
        for place, tables in self._tables.items():
            with self._engines[place].begin() as connection:
                for table, key in reversed(tables):
                    connection.execute(table.delete().where(key == uuid))

    def execute(self, place, statement, **values):
        with self._engines[place].begin() as connection:
            connection.execute(sa.text(statement), values)

    def lose(self, uuid, cell):
        """Delete a server from a cell, with all that refers to it."""
        with self._engines[cell].begin() as connection:
            rows.delete_instance(connection, uuid)

    def move(self, uuid, place, to):
        """Move the revisions of a server to another database."""
        for row in self.of(uuid).get((place, 'request_spec'), ()):
            del row['id']
            with self._engines[to].begin() as connection:
                connection.execute(sa.text(
                    'INSERT INTO request_spec (%s) VALUES (%s)' % (
                        ', '.join(row), ', '.join(':' + name
                                                  for name in row))), row)
        self.execute(place, 'DELETE FROM request_spec '
                     'WHERE instance_uuid = :uuid', uuid=uuid)


def delete_from(table, place='api'):
    return lambda world, uuid, cell: world.execute(
        place or cell, 'DELETE FROM %s WHERE instance_uuid = :uuid' % table,
        uuid=uuid)


def damage(table, place, text):
    return lambda world, uuid, cell: world.execute(
        place or cell, 'UPDATE %s SET spec = :text '
        'WHERE instance_uuid = :uuid' % table, uuid=uuid, text=text)


def change(table, place, old, new, **values):
    """Return a breakage that replaces a text in a JSON."""
    more = ''.join(', %s = :%s' % (name, name) for name in values)
    return lambda world, uuid, cell: world.execute(
        place or cell, 'UPDATE %s SET spec = REPLACE(spec, :old, :new)%s '
        'WHERE instance_uuid = :uuid' % (table, more),
        uuid=uuid, old=old, new=new, **values)


def unmap(world, uuid, cell):
    world.execute('api', 'UPDATE instance_mappings SET cell_id = NULL '
                  'WHERE instance_uuid = :uuid', uuid=uuid)


def lose_instance(world, uuid, cell):
    world.lose(uuid, cell)


def make_pending(world, uuid, cell):
    """Save in the cell, on top of what it has; nothing if that is gone."""
    for row in world.of(uuid).get((cell, 'request_spec'), ())[-1:]:
        change('request_spec', None, '"num_instances":1',
               '"num_instances":3', pending=True,
               base_digest=primitive.digest_if_readable(row['spec']))(
            world, uuid, cell)


def other_flavor(world, uuid, cell):
    for place, table in (('api', 'request_specs'), (cell, 'request_spec')):
        for row in world.of(uuid).get((place, table), ()):
            spec = jsonutils.loads(row['spec'])
            flavor = spec['nova_object.data']['flavor']['nova_object.data']
            flavor.update(id=flavor['id'] + 100, name='other')
            damage(table, place, primitive.dumps(spec))(world, uuid, cell)


#: What can happen to a server that is in a cell: how, to those in which state.
BREAKAGES = {
    'no mapping': (delete_from('instance_mappings'), LIVE),
    'mapped to no cell': (unmap, LIVE),
    'instance lost': (lose_instance, LIVE),
    'spec lost': (delete_from('request_specs'), LIVE),
    'spec damaged': (damage('request_specs', 'api', '{'), LIVE),
    'copy lost': (delete_from('request_spec', None), LIVE),
    'copy damaged': (damage('request_spec', None, '{'), LIVE),
    'copy stale': (change('request_specs', 'api', '"num_instances":1',
                          '"num_instances":2'), LIVE),
    'pending': (make_pending, LIVE),
    'conflicting': (change('request_spec', None, '"num_instances":1',
                           '"num_instances":3', pending=True,
                           base_digest='0' * 64), LIVE),
    'other flavor': (other_flavor, ('active', 'elsewhere', 'shelved')),
    'copy in the API database': (
        lambda world, uuid, cell: world.move(uuid, cell, 'api'), LANDED),
    'copy in the wrong cell': (
        lambda world, uuid, cell: world.move(
            uuid, cell, {'cell1': 'cell2'}.get(cell, 'cell1')), LANDED),
    'build deleted': (lambda world, uuid, cell: [
        delete_from(table)(world, uuid, cell) for table in (
            'build_request', 'build_requests', 'build_request_item')],
        ('build',)),
    'mirror deleted': (delete_from('build_requests'), ('build',)),
    'spec of a build lost': (delete_from('request_specs'), ('build',)),
    'all but the spec deleted': (lambda world, uuid, cell: [
        delete_from(table)(world, uuid, cell) for table in (
            'build_request', 'build_requests', 'build_request_item',
            'instance_mappings')], ('build',)),
}

LOSE_SPEC = frozenset(['spec lost', 'spec damaged'])
LOSE_COPY = frozenset(['copy lost', 'copy damaged'])
#: After these a request spec is what it was. If both of its rows are gone, it
#: is made of the server, as far as that says it.
LOSE_NOTHING = LOSE_SPEC | LOSE_COPY | {
    'no mapping', 'mapped to no cell', 'copy in the API database',
    'copy in the wrong cell'}

#: What no server says: which zone, hosts and hints were asked for, and the
#: names of security groups, of which Neutron keeps the ports.
NOT_OF_SERVER = ('availability_zone', 'force_hosts', 'force_nodes',
                 'scheduler_hints', 'security_groups')
#: What Nova does not keep of the image of a server; min_disk it keeps as the
#: disk of the flavor.
NOT_OF_IMAGE = ('created_at', 'min_disk', 'name', 'protected', 'size',
                'status', 'tags', 'updated_at', 'visibility')

a_server = strategies.one_of(
    strategies.tuples(strategies.sampled_from(LANDED), strategies.just(())),
    *[strategies.tuples(strategies.sampled_from(states),
                        strategies.just((name,)))
      for name, (_, states) in BREAKAGES.items()],
    strategies.tuples(
        strategies.sampled_from(LIVE), strategies.lists(
            strategies.sampled_from(sorted(
                name for name, (_, states) in BREAKAGES.items()
                if states == LIVE)),
            min_size=2, max_size=2, unique=True).map(tuple)))


class HealTest(base.CloudTestCase):

    def setUp(self):
        super().setUp()
        self.states = self.make_servers()
        self.world = World(self.engines())
        there = self.world.read()
        self.templates = {state: there[uuid]
                          for state, uuid in self.states.items()}
        self.cloud = audit.Cloud(self.context)
        self.folder = self.useFixture(fixtures.TempDir()).path

    def make_servers(self):
        """Return {state: uuid}, of servers in all states."""
        self._start_compute('host2', cell_name='cell1')
        states = {
            'active': self.boot(host='host1')['id'],
            'elsewhere': self.boot(host='host3')['id'],
            'grouped': self._wait_for_state_change(self.accept(
                hints={'group': self.create_group()}, az='nova:host1'),
                'ACTIVE')['id']}
        server = self.boot(host='host1')
        self._resize_server(server, self.flavors[1]['id'])
        states['resized'] = server['id']
        server = self.boot(host='host1')
        self._shelve_server(server)
        states['shelved'] = server['id']
        server = self.boot(host='host1')
        self._stop_server(server)
        states['stopped'] = server['id']
        server = self.boot(host='host1')
        self._delete_server(server)
        states['deleted'] = server['id']
        states['buried'] = self.wait_until_buried(
            self.accept(az='nova:nowhere'))['id']
        self._wait_for_assert(lambda: self.assertEqual(
            ['create', 'resize'], [event for _, event in self.revisions(
                states['resized'], 'cell1')]))
        with self.held_builds():
            states['build'] = self.accept()['id']
        return states

    def cell_of(self, state):
        for place, table in self.templates[state]:
            if table == 'instances':
                return place
        return None

    def mend_all(self, journal):
        for case in list(self.cloud.cases()):
            if case.uuid != self.states['build']:
                for finding, reason in repair.mend(
                        self.cloud, case.uuid, frozenset(codes.MEANINGS), None,
                        journal):
                    self.assertIsNone(reason, finding)

    def test_heal(self):
        @hypothesis.settings(
            max_examples=EXAMPLES, deadline=None, database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
        @hypothesis.example([(state, ('spec lost', 'copy lost'))
                             for state in LIVE])
        @hypothesis.example([(state, (name,)) for state, name in zip(
            itertools.cycle(LIVE), sorted(LOSE_NOTHING))])
        @hypothesis.example([('deleted', (name,))
                             for name in sorted(LOSE_NOTHING)
                             if 'deleted' in BREAKAGES[name][1]])
        @hypothesis.given(strategies.lists(a_server, min_size=1, max_size=8))
        def run(chosen):
            made = [(self.world.copy(self.templates[state],
                                     self.states[state]), state, broken)
                    for state, broken in chosen]
            try:
                self.check(made)
            finally:
                for uuid, _, _ in made:
                    self.world.forget(uuid)

        run()

    def check(self, made):
        whole = self.world.read()
        for uuid, state, broken in made:
            for name in broken:
                BREAKAGES[name][0](self.world, uuid, self.cell_of(state))
        before = self.world.read()
        journal = files.Journal(os.path.join(self.folder, hashlib.sha256(
            repr(made).encode()).hexdigest()))
        self.mend_all(journal)
        journal.close()

        # What was healthy is as it was; of what was not, nothing is left.
        after = self.world.read()
        broken = {uuid for uuid, _, broken in made if broken}
        servers = {uuid for uuid, _, _ in made}.union(self.states.values())
        for uuid in servers - broken:
            self.assertEqual([], _differences(before[uuid], after[uuid]))
        self.assertEqual([], [
            finding for case in self.cloud.cases()
            if case.uuid != self.states['build']
            for finding in findings.find(case)])
        for uuid, state, names in made:
            if LOSE_NOTHING.issuperset(names) and not (
                    # What a cell has of a deleted server goes if it is not
                    # that server's: it would never be archived there.
                    state == 'deleted' and 'copy in the wrong cell' in names):
                self.assertEqual(_said(whole[uuid], names),
                                 _said(after[uuid], names), names)
        if not journal.has_changes:
            return
        # And all of it can be undone.
        for entry in files.read(journal.path):
            undo.undo(self.cloud, entry)
        after = self.world.read()
        for uuid in servers:
            self.assertEqual([], _differences(_comparable(before[uuid]),
                                              _comparable(after[uuid])))


def _said(found, broken):
    """Return the fields of the request spec of a server, by place and table.

    :param broken: by what; what cannot be known after that is left out
    """
    said = {place: primitive.data(primitive.compact(rows[-1]['spec']))
            for place, rows in found.items()
            if place[1] in ('request_specs', 'request_spec')}
    if LOSE_SPEC.intersection(broken) and LOSE_COPY.intersection(broken):
        for fields in said.values():
            for name in NOT_OF_SERVER:
                fields.pop(name)
            for name in NOT_OF_IMAGE:
                fields['image'][primitive.DATA].pop(name, None)
            # The server's own, which the request need not say.
            fields['pci_requests'][primitive.DATA].pop('instance_uuid', None)
    return said


def _differences(before, after):
    """Return [(place, table, column, before, after)]."""
    return [(*place, name, [row.get(name) for row in before.get(place, ())],
             [row.get(name) for row in after.get(place, ())])
            for place in sorted(before.keys() | after.keys())
            for name in sorted({
                name for row in before.get(place, []) + after.get(place, [])
                for name in row})
            if [row.get(name) for row in before.get(place, ())] !=
            [row.get(name) for row in after.get(place, ())]]


def _comparable(found):
    """Return what undo puts back, in place of what may have been added."""
    return {place: [
        {name: value for name, value in row.items() if name != 'updated_at'}
        for row in rows] for place, rows in found.items()
        if place[1] not in ('instance_actions', 'instance_faults')}
