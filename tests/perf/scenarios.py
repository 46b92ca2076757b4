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

"""What is measured: each scenario is run once at a time, on either side."""

import gc
import itertools
import time

import sqlalchemy as sa

from tests.perf import estate
from tests.perf import filling

STOCK = 'stock'
PLUGIN = 'plugin'


class Stopwatch:
    """Measures a ``with`` block.

    :ivar ms: how many milliseconds it took
    """

    def __enter__(self):
        # What went before is not on the account of this block.
        gc.collect()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *exc_info):
        self.ms = (time.perf_counter() - self._began) * 1000


class Scenario:
    """One thing that a Cloud can be asked to do."""

    #: What it is called on the command line.
    name = ''
    #: What it is called in the report.
    title = ''
    #: With how many things it is done; (None,) where that is no question.
    sizes = (None,)
    #: What it is done on.
    sides = (STOCK, PLUGIN)
    #: Where it can be done.
    databases = ('sqlite', 'mariadb')
    #: How often each side has its turn in one round. The shorter a turn, the
    #: less can the machine be another one in the turn of the other side.
    turns = 1

    def prepare(self, cloud):
        """Make what every run of it needs."""

    def run(self, cloud, size):
        """Run it once.

        :returns: a dict, unit to number
        """
        raise NotImplementedError()

    def clean_up(self, cloud):
        """Take away what prepare() has made."""


class Quick(Scenario):
    """One that is so quick that a run of it is many."""

    times = 10
    turns = 5

    def run(self, cloud, size):
        with Stopwatch() as watch:
            for _ in range(self.times):
                self.once(cloud)
        return {'ms': watch.ms / self.times}

    def once(self, cloud):
        raise NotImplementedError()


class ListBuilds(Scenario):

    name = 'list-builds'
    title = 'list 50 of N builds in flight'
    sizes = (10, 100, 1000, 10000)
    limit = 50

    def prepare(self, cloud):
        # What all builds have alike would be hydrated once.
        originals = cloud.accept_variety()
        self._uuids = list(originals)
        for size in self.sizes:
            self._uuids += filling.copy_servers(
                cloud.databases['API'], originals, size,
                **{cloud.project_id: self._project(size)})

    def run(self, cloud, size):
        with Stopwatch() as watch:
            builds = cloud.list_builds(self._project(size), self.limit)
        assert len(builds) == min(size, self.limit), len(builds)
        return {'ms': watch.ms}

    def clean_up(self, cloud):
        filling.forget(cloud.databases['API'], self._uuids)

    def _project(self, size):
        return 'project-with-%d-builds' % size


class OneBuild(Quick):
    """With a server that stays a build."""

    def prepare(self, cloud):
        self._uuid = cloud.accept_only()

    def clean_up(self, cloud):
        filling.forget(cloud.databases['API'], [self._uuid])


class GetBuild(OneBuild):

    name = 'get-build'
    title = 'get a building server for GET /servers/{id}'

    def once(self, cloud):
        cloud.get(self._uuid)


class ShowBuild(OneBuild):

    name = 'show-build'
    title = 'GET /servers/{id} of a building server'

    def once(self, cloud):
        cloud.rest('GET', '/servers/%s' % self._uuid, expect=200)


class PostServer(Scenario):

    name = 'post-server'
    title = 'POST /servers until 202'
    times = 2
    turns = 5

    def run(self, cloud, size):
        with Stopwatch() as watch:
            uuids = [cloud.accept_only() for _ in range(self.times)]
        filling.forget(cloud.databases['API'], uuids)
        return {'ms': watch.ms / self.times}


class Boot(Scenario):

    name = 'boot'
    title = 'boot, from POST /servers until ACTIVE'
    # Where the request spec of a server that has booted stands.
    specs = {STOCK: (('API', 'request_specs'),),
             PLUGIN: (('API', 'request_specs'), ('cell1', 'request_spec'))}

    def run(self, cloud, size):
        with cloud.count() as count:
            with Stopwatch() as watch:
                uuid = cloud.boot('alpha')
            # Also those of the conductor, which may be the last to be done.
            cloud.managers.wait_until_idle()
        cloud.expect(uuid, 'ACTIVE')
        rows = [len(spec) for place in self.specs[cloud.side]
                for spec in self._specs(cloud, uuid, *place)]
        cloud.delete(uuid)
        return {'ms': watch.ms, 'statements': len(count.statements),
                'transactions': len(count.transactions),
                'bytes': sum(rows), 'bytes/row': max(rows)}

    def _specs(self, cloud, uuid, database, table):
        """Return what all rows of a table have of a server, a list of bytes.

        :raises: AssertionError if there is none
        """
        with cloud.databases[database].connect() as connection:
            specs = connection.execute(
                sa.text('SELECT spec FROM %s WHERE instance_uuid = :uuid' %
                        table), {'uuid': uuid}).scalars().all()
        assert specs, table
        return [spec.encode() for spec in specs]


class GetSpec(Quick):

    name = 'get-spec'
    title = 'RequestSpec.get_by_instance_uuid'

    def prepare(self, cloud):
        self._uuid = cloud.boot('alpha')
        cloud.expect(self._uuid, 'ACTIVE')

    def once(self, cloud):
        cloud.get_spec(self._uuid)

    def clean_up(self, cloud):
        cloud.delete(self._uuid)


class GetSpecs(Scenario):

    name = 'get-specs'
    title = 'RequestSpec.get_by_instance_uuids, in groups of ten'
    # A group of ten is as large as Nova's quota lets it be.
    sizes = (300,)
    members = 10

    def prepare(self, cloud):
        self._uuids = []
        # The servers of a group are alike, as they are mostly.
        for kind in itertools.islice(itertools.cycle(cloud.variety),
                                     self.sizes[0] // self.members):
            first = cloud.accept_only(group=cloud.create_group(), **kind)
            self._uuids += [first] + filling.copy_servers(
                cloud.databases['API'], [first], self.members - 1)

    def run(self, cloud, size):
        with Stopwatch() as watch:
            specs = cloud.get_specs(self._uuids)
        assert len(specs) == size, len(specs)
        assert all(spec.instance_group.members for spec in specs)
        return {'ms': watch.ms}

    def clean_up(self, cloud):
        filling.forget(cloud.databases['API'], self._uuids)


class Resize(Scenario):

    name = 'resize'
    title = 'resize, from POST until VERIFY_RESIZE'

    def run(self, cloud, size):
        uuid = cloud.boot('alpha')
        cloud.expect(uuid, 'ACTIVE')
        with Stopwatch() as watch:
            cloud.resize(uuid)
        cloud.expect(uuid, 'VERIFY_RESIZE')
        cloud.delete(uuid)
        return {'ms': watch.ms}


class FullCell(Scenario):
    """In cell1 there is hardly a request spec, in cell2 there are many."""

    name = 'full-cell'
    title = 'boot in a cell with N request specs'
    sides = (PLUGIN,)

    def __init__(self, rows):
        self.sizes = (0, rows)

    def prepare(self, cloud):
        uuid = cloud.boot('beta')
        cloud.expect(uuid, 'ACTIVE')
        filling.fill(cloud.databases['cell2'], 'request_spec', self.sizes[1])

    def run(self, cloud, size):
        with Stopwatch() as watch:
            uuid = cloud.boot('beta' if size else 'alpha')
        cloud.expect(uuid, 'ACTIVE')
        cloud.delete(uuid)
        return {'ms': watch.ms}


class OfAnEstate(Scenario):
    """With the command line, in a cloud of ten cells and N servers."""

    sides = (PLUGIN,)
    databases = ('mariadb',)

    def __init__(self, servers):
        self.sizes = (servers,)

    def prepare(self, cloud):
        if not hasattr(cloud, 'estate'):
            uuid = cloud.boot('alpha')
            cloud.expect(uuid, 'ACTIVE')
            cloud.estate = estate.Estate(
                cloud.databases['API'], cloud.databases['cell1'], uuid,
                self.sizes[0])
        self._estate = cloud.estate

    def _succeed(self, *argv):
        status, seconds, memory = self._estate.run(*argv)
        assert status == 0, status
        return seconds, memory


class Audit(OfAnEstate):

    name = 'audit'
    title = 'audit of ten cells with N servers'

    def run(self, cloud, size):
        driver = self._estate.read()
        seconds, memory = self._succeed('audit')
        return {'servers/s': size / seconds, 'MB': memory,
                'times plain driver': seconds / driver}


class Backfill(OfAnEstate):

    name = 'backfill'
    title = 'backfill of one cell of ten, of N servers'

    def run(self, cloud, size):
        self._estate.forget_copies()
        driver = self._estate.copy(500)
        self._estate.forget_copies()
        seconds, memory = self._succeed('backfill')
        return {'specs/s': size / estate.CELLS / seconds, 'MB': memory,
                'times plain driver': seconds / driver}


def make(rows):
    """Return all scenarios.

    :param rows: how many FullCell has
    :returns: a dict, name to Scenario
    """
    return {scenario.name: scenario for scenario in (
        ListBuilds(), GetBuild(), ShowBuild(), PostServer(), GetSpec(),
        GetSpecs(), Boot(), Resize(), FullCell(rows), Audit(rows),
        Backfill(rows))}
