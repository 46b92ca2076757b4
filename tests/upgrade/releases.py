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

"""Nova is upgraded below the plugin, from release to release."""

import contextlib
import json
import os

import fixtures

from nova_cells_persist.db import models
from tests.functional import cloud_databases
from tests.functional import process
from tests.upgrade import filling
from tests.upgrade import rows
from tests.upgrade import stores
from tools import environments

#: The releases that fill a cloud; those that it is brought to, in turn.
OLD = ('25.3.0', '27.5.1')
NEW = ('29.4.0', '31.3.1', '34.0.0')

CACHE = os.path.join(environments.ROOT, '.tox', 'environments')

# The clients of databases, and what Nova's fake driver imports.
REQUIREMENTS = ('PyMySQL', 'psycopg2-binary', 'fixtures')

NOVA = (('nova-manage', 'api_db', 'sync'), ('nova-manage', 'db', 'sync'))
ORDERS = {'nova first': (*NOVA, process.OF_PLUGIN),
          'plugin first': (process.OF_PLUGIN, *NOVA)}

#: A program, which only an environment with Nova can import.
HYDRATE = os.path.join(os.path.dirname(__file__), 'hydrate.py')

#: What is in an object whatever it says.
FORM = ('nova_object.version', 'nova_object.changes')


class Release:
    """A release of Nova with the plugin, in an environment of its own."""

    def __init__(self, version, wheel):
        self.version = version
        self.prefix = environments.nova(
            CACHE, version, wheel, REQUIREMENTS).folder

    @contextlib.contextmanager
    def deployed(self, databases, plugin=True):
        """Yield a Deployment at the API level, to run programs in."""
        with process.Deployment(self.prefix) as made:
            for section, name in (('api_database', 'api'),
                                  ('database', 'cell1')):
                made.options[section] = {'connection': databases.urls[name]}
            if not plugin:
                del made.options['DEFAULT']['config_source']
                del made.options['cells_persist']
            yield made

    def run(self, databases, *commands, statuses=(0,)):
        """Run commands and return the Result of the last.

        :raises: AssertionError if one ends with another status
        """
        with self.deployed(databases) as deployment:
            for command in commands:
                result = deployment.run(*command)
                assert result.status in statuses, (command, result)
            return result

    def read(self, databases, servers, plugin):
        """Return {uuid: {what: primitive}}, see hydrate.py."""
        with self.deployed(databases, plugin) as deployment:
            deployment.put('servers.json', json.dumps(servers))
            with open(HYDRATE) as file:
                deployment.put('hydrate.py', file.read())
            result = deployment.run('hydrate.py')
            assert result.status == 0, result.errors[-2000:]
            return json.loads(result.output)


class Filled:
    """What an old release has left, and what each later one must find.

    :ivar servers: {what it is: uuid}
    :ivar rows: how many there are
    :ivar objects: {whether with the plugin: {uuid: {what: primitive}}}
    :ivar findings: of audit
    """

    def __init__(self, release, databases):
        release.run(databases, *process.of_nova(databases.urls['cell0']),
                    process.OF_PLUGIN)
        self.servers = filling.fill(databases, release.prefix)
        # Nobody is to be called any more.
        databases.change(
            'api', "UPDATE cell_mappings SET transport_url = 'fake://'")
        self.rows = rows.number(rows.of(databases))
        self.objects = {plugin: self._read(release, databases, plugin)
                        for plugin in (True, False)}
        self.findings = audit(release, databases)
        self._check(databases)

    def _check(self, databases):
        """See that there is what the checks are about."""
        with_copy = {server for server, found in self.objects[True].items()
                     if any(what.startswith('revision') for what in found)}
        assert with_copy == set(self.servers.values()), self.objects[True]
        building = self.servers['in flight']
        assert 'build instance' in self.objects[True][building]
        assert self.findings == [('stuck-build', building)], self.findings
        assert versions(databases) == {models.MIGRATE_VERSION_TABLE}

    def _read(self, release, databases, plugin):
        return release.read(databases, sorted(self.servers.values()), plugin)

    def unlike(self, release, databases, plugin):
        """Return what the objects do not say any more, a list of str."""
        return list(missing(self.objects[plugin], self._read(
            release, databases, plugin)))


def play(verdicts, kinds=tuple(stores.KINDS), old=OLD):
    """Bring clouds of each old release to the new ones.

    :param verdicts: a Verdicts
    :param kinds: of databases
    :param old: the releases that they are of
    """
    with fixtures.TempDir() as folder:
        wheel = environments.wheel(os.path.join(folder.path, 'wheel'))
        made = {version: Release(version, wheel)
                for version in (*old, *NEW)}
    for kind in kinds:
        for version in old:
            with stores.KINDS[kind]() as store:
                _from(verdicts, store, kind, made[version],
                      [made[new] for new in NEW])


def _from(verdicts, store, kind, first, later):
    title = '%s, %s' % (kind, first.version)
    verdicts.begin('releases', title)
    filled = None
    with verdicts.check('fill'):
        filled = Filled(first, store.new('filled'))
    for order, commands in ORDERS.items():
        if filled is None:
            return
        databases = store.copy('filled', order.replace(' ', '_'))
        before = rows.of(databases)
        for release in later:
            verdicts.begin('releases', '%s -> %s, %s' % (
                title, release.version, order))
            _upgrade(verdicts, filled, databases, before, release, commands)
        _look(verdicts, filled, databases, later[-1])


def _upgrade(verdicts, filled, databases, before, release, commands):
    with verdicts.check('sync'):
        release.run(databases, *commands)
        assert models.ALEMBIC_VERSION_TABLE in versions(databases)
    with verdicts.check('%d rows are as they were' % rows.number(before)
                        ) as wrong:
        assert rows.number(before) == filled.rows
        wrong += rows.differences(before, rows.of(databases))
    with verdicts.check('%d servers are read with the plugin' % len(
            filled.servers)) as wrong:
        wrong += filled.unlike(release, databases, True)
    with verdicts.check('and without it') as wrong:
        wrong += filled.unlike(release, databases, False)


def _look(verdicts, filled, databases, release):
    """See what the plugin's own commands say in the end."""
    with verdicts.check('upgrade check'):
        release.run(databases, (
            'nova-cells-persist-status', 'upgrade', 'check'))
    with verdicts.check('audit finds what it did'):
        found = audit(release, databases)
        assert found == filled.findings, (found, filled.findings)


def versions(databases):
    """Return the tables in which versions of the plugin's are, a set."""
    return {table for name in cloud_databases.NAMES
            for table in databases.tables(name) & {
                models.MIGRATE_VERSION_TABLE, models.ALEMBIC_VERSION_TABLE}}


def audit(release, databases):
    """Return what audit finds, a sorted list of (code, server)."""
    result = release.run(databases, (
        'nova-cells-persist', 'audit', '--older-than', '0s', '-f', 'json'),
        statuses=(0, 1))
    return sorted((finding['Code'], finding['Server'])
                  for finding in json.loads(result.output or '[]'))


def missing(old, new, place=''):
    """Yield what the new tree does not have of the old one, as text.

    A release may add fields to an object, and to a list none.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(set(old).difference(FORM)):
            if name not in new:
                yield '%s/%s is not there' % (place, name)
            else:
                yield from missing(old[name], new[name],
                                   '%s/%s' % (place, name))
    elif isinstance(old, list) and isinstance(new, list) and (
            len(old) == len(new)):
        for number, (one, other) in enumerate(zip(old, new)):
            yield from missing(one, other, '%s/%d' % (place, number))
    elif old != new:
        yield '%s is %r, was %r' % (place, new, old)
