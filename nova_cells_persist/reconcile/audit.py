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

"""Goes through all servers of all databases, in the order of their uuids.

Nothing is written, no transaction is longer than a page, and what is held in
memory is two pages of each stream, however many servers there are.
"""

import collections
from concurrent import futures
import contextlib
import heapq
import itertools
import operator
import time

from sqlalchemy.engine import url
from sqlalchemy import exc as sa_exc

from nova.compute import vm_states
from nova import objects

from nova_cells_persist.db import cell_mapping
from nova_cells_persist.db import census
from nova_cells_persist.db import database
from nova_cells_persist.db import instance as db_instance
from nova_cells_persist import exception
from nova_cells_persist.objects import contract
from nova_cells_persist.reconcile import agreement
from nova_cells_persist.reconcile import answers
from nova_cells_persist.reconcile import builds
from nova_cells_persist.reconcile import case as of_server
from nova_cells_persist.reconcile import codes
from nova_cells_persist.reconcile import findings

#: How many rows of a stream are read at once.
PAGE = 500

#: How many hosts are named of a database that is the wrong one.
SHOWN = 3

#: Before and behind all uuids.
FIRST, LAST = '', 'zzzz'

#: A database: the id of its cell, None for the API database; what it is
#: called; the CellMapping; its streams.
Place = collections.namedtuple('Place', 'cell name mapping streams')


class Cloud:
    """All databases of a cloud.

    :ivar cells: {id: CellMapping}, cell0 included
    :ivar names: {id: what the cell is called}
    """

    def __init__(self, context, empty=None, landed_before=None):
        """Look which databases there are, and that each one answers.

        :param context: an admin context, not targeted
        :param empty: the names or uuids of cells that are known to have no
            server, whatever is mapped to them; None if nobody wants to know
            what is an orphan
        :param landed_before: a datetime: a server that was mapped to its cell
            later may be landing, and its build is no finding; None if all
            have landed
        :raises: UnknownCell; OneCellOnly in a process that serves one cell;
            DatabaseError, which names the first one that does not answer or
            is not mapped as it can be;
            EmptyCell, SharedDatabase or OtherDatabase, if what a cell mapping
            connects to cannot be that cell's database
        """
        if database.is_cell_level():
            raise exception.OneCellOnly()
        self.context = context
        self._landed_before = landed_before
        with answers.opening(database.API_DATABASE):
            self.cells = {cell.id: cell
                          for cell in cell_mapping.get_all(context)}
        self._places = [Place(None, database.API_DATABASE, None, census.API)]
        self._places += [
            Place(cell.id, database.name_of(cell), cell, census.CELL)
            for cell in self.cells.values()]
        self.names = {number: cell.name or cell.uuid
                       for number, cell in self.cells.items()}
        without = self._check_connections()
        self._check_hosts()
        if empty is not None:
            self._check_servers(
                without - {self.find(cell).id for cell in empty})

    @property
    def cell0(self):
        """The CellMapping of cell0.

        :raises: UnknownCell
        """
        return self.find(objects.CellMapping.CELL0_UUID)

    def find(self, name):
        """Return the CellMapping of that name or uuid.

        :raises: UnknownCell
        """
        return cell_mapping.named(self.cells.values(), name)

    def name_of(self, cell):
        """Return what the database of a cell is called.

        :param cell: its id
        """
        return database.name_of(self.cells[cell])

    def number_of_servers(self):
        """Return how many servers there are, as good as can be told."""
        with self._reading(self._places[0]) as session:
            return census.number_of_mappings(session)

    def cases(self, after=FIRST, until=LAST, since=None, sleep=0):
        """Yield the Case of each server, in the order of their uuids.

        :param after: the uuid after which it begins
        :param until: the last uuid
        :param since: a datetime: a Case with something that was written
            later is recent
        :param sleep: seconds to wait after each page
        :raises: DatabaseError, if a database ceases to answer
        """
        # The next page is read while this one is looked at.
        with futures.ThreadPoolExecutor(1) as ahead:
            # The number tells rows of one uuid apart, so that none of their
            # other columns are compared.
            rows = heapq.merge(*[
                self._rows(number, *source, after, until, since, sleep, ahead)
                for number, source in enumerate(
                    (place, stream) for place in self._places
                    for stream in place.streams)])
            for uuid, group in itertools.groupby(
                    rows, operator.itemgetter(0)):
                found = of_server.Case(uuid, self.names, since=since)
                for _, _, name, cell, row in group:
                    found.add(name, cell, row)
                self._look_at_build(found)
                yield found

    def case(self, uuid, since=None, session=None):
        """Return the Case of one server.

        :param since: as for cases()
        :param session: of a transaction in the API database in which that
            is read
        """
        found = of_server.Case(uuid, self.names, since=since)
        for place in self._places:
            with self._reading(place, session) as reading:
                for stream in place.streams:
                    # There is no other uuid behind so much of it, but for
                    # those that differ in the last digit.
                    for row in self._page(reading, stream, uuid[:-1], uuid,
                                          since):
                        if row[0] == uuid:
                            found.add(stream.name, place.cell, row)
        self._look_at_build(found, session)
        return found

    def _look_at_build(self, found, session=None):
        # There are few, and each may be long.
        if found.in_flight and not found.recent:
            with self._reading(self._places[0], session) as reading:
                found.damage = builds.damage(reading, self.context,
                                             found.uuid)
                if found.damage and found.waiting:
                    found.saved_spec = builds.saved_spec(reading, found.uuid)

    def findings(self, case):
        """Return what is wrong with a server, as findings.find() does.

        :raises: DatabaseError
        """
        if not case.recent:
            self._look_at_moves(case)
        found = findings.find(case)
        if case.flavor is None and any(
                finding.code == codes.SPEC_DIFFERS for finding in found):
            with self.reading(case.cell) as session:
                case.flavor = agreement.flavor_id(
                    db_instance.flavor(session, case.uuid))
            case.zone = contract.zone(self.context, case.instance)
            found = findings.find(case)
        return [finding for finding in found if not (
            finding.code == codes.LANDED_BUILD and case.may_land)]

    def _look_at_moves(self, case):
        # Few servers are in two cells, or wait to be confirmed.
        alone = len(case.instances) == 1
        if alone and (case.instance is None or
                      case.instance.vm_state != vm_states.RESIZED):
            return
        for cell in case.alive():
            with self.reading(cell) as session:
                move = db_instance.cross_cell_move(session, case.uuid)
                last = alone and db_instance.task(session, case.uuid)
            if last and move and last.migration_status != move.status:
                move = None   # of another move than what it waits in
            case.moves[cell] = move and move.status
            if move and case.since and (
                    move.updated_at or move.created_at) > case.since:
                case.recent = True

    def _rows(self, number, place, stream, after, until, since, sleep,
              ahead):
        """Yield (uuid, number, name of the stream, cell, row)."""
        def read(after):
            with self._reading(place) as session:
                return self._page(session, stream, after, until, since)

        reading = ahead.submit(read, after)
        while reading is not None:
            page, reading = reading.result(), None
            if len(page) == PAGE:
                time.sleep(sleep)
                reading = ahead.submit(read, page[-1][0])
            for row in page:
                yield row[0], number, stream.name, place.cell, row

    def _page(self, session, stream, after, until, since):
        return census.page(session, stream, after, until, PAGE, since,
                           self._landed_before)

    def reading(self, cell):
        """Return a context manager that yields a session, to read.

        :param cell: the id of a cell; None for the API database
        """
        return self._reading(self._place(cell))

    @contextlib.contextmanager
    def writing(self, cell, instance_uuid):
        """As reading(), to write what a server has.

        :raises: DatabaseError, StatementFailed
        """
        place = self._place(cell)
        with answers.session(place.name, database.writer,
                             self.targeted(place.mapping),
                             instance_uuid) as session:
            yield session

    @contextlib.contextmanager
    def acting(self, cell, instance_uuid):
        """As writing(), but yield a context, for Nova's objects."""
        place = self._place(cell)
        with answers.about(place.name, instance_uuid):
            yield self.targeted(place.mapping)

    def _place(self, cell):
        return next(place for place in self._places if place.cell == cell)

    @contextlib.contextmanager
    def _reading(self, place, session=None):
        if session is not None and place.cell is None:
            with answers.of(place.name):
                yield session
            return
        with answers.session(place.name, database.reader,
                             self.targeted(place.mapping)) as own:
            yield own

    def hang_up(self):
        """Close the connections to all databases; they are opened again."""
        for place in self._places:
            database.engine(self.targeted(place.mapping)).dispose()

    def targeted(self, cell):
        """Return a context for the database of a cell, or for the API's.

        :param cell: a CellMapping, or None
        :raises: WrongTransport
        """
        return answers.targeted(self.context, cell)

    def _check_connections(self):
        """Return the ids of the cells that have no server, a set."""
        owners: dict[url.URL | str, Place] = {}
        without = set()
        for place in self._places[1:]:
            with self._reading(place) as session:
                if not census.has_instances(session):
                    without.add(place.cell)
                marks = census.services(session)
            # There are many ways to write the URL of one database.
            marks.add(_of_whoever(place.mapping.database_connection))
            for mark in marks:
                other = owners.setdefault(mark, place)
                if other is not place:
                    raise self.shared_database(other.cell, place.cell)
        return without

    def _check_hosts(self):
        # The database of another cell, or of another cloud, has servers too.
        with self._reading(self._places[0]) as session:
            mapped = census.mapped_hosts(session)
        for place in self._places[1:]:
            if place.cell not in mapped:
                continue
            with self._reading(place) as session:
                hosts = census.hosts(session)
            if hosts and hosts.isdisjoint(mapped[place.cell]):
                raise exception.OtherDatabase(
                    database=place.name, hosts=_some(hosts),
                    mapped=_some(mapped[place.cell]),
                    uuid=place.mapping.uuid)

    def shared_database(self, one, other):
        """Return the exception that says so of two cells.

        :param one: the id of a cell
        """
        return exception.SharedDatabase(
            one=self._in_full(one), other=self._in_full(other))

    def _in_full(self, cell):
        # Two cells may have one name.
        return '%s (%s)' % (self.name_of(cell), self.cells[cell].uuid)

    def _check_servers(self, without):
        # A cell that seems to have nothing would make an orphan of all that
        # is mapped to it.
        with self._reading(self._places[0]) as session:
            mapped = census.mapped_cells(session)
        for cell in sorted(mapped & without):
            raise exception.EmptyCell(database=self.name_of(cell),
                                      cell=self.names[cell])


def _some(hosts):
    """Return the first of several hosts, in words."""
    first = sorted(hosts)[:SHOWN]
    return ', '.join(first + ['...'] * (len(hosts) > len(first)))


def _of_whoever(connection: str) -> url.URL | str:
    """Return the URL of a database without who connects."""
    try:
        return url.make_url(connection)._replace(username=None,
                                                  password=None)
    except (sa_exc.ArgumentError, ValueError):
        return connection   # it has been answered all the same
