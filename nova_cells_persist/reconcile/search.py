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

"""Find what is wrong with all servers, in several processes if there are many.

Each process goes through the servers of a part of all uuids. Nothing but
findings comes back from it, so that memory does not grow with the servers.
"""

import collections
from collections.abc import Iterator
from concurrent import futures
import gc
import itertools
import multiprocessing
import os
import signal
from typing import NamedTuple

from nova_cells_persist.reconcile import audit
from nova_cells_persist.reconcile import codes

#: As many servers are worth a second process.
MANY = 50000

#: Where the parts begin that a process takes one at a time: 64 of them.
PARTS = ['%02x' % first for first in range(0, 256, 4)]


class Lot(NamedTuple):
    """What was looked at.

    How many servers, the uuid of the last one, and the Findings, those of one
    server beside each other.
    """

    servers: int
    last: str | None
    found: list[codes.Finding]


#: The Cloud, in a process of its own.
_cloud = None


def search(cloud, servers, wanted, after, since, sleep=0,
           workers=None) -> Iterator[Lot]:
    """Yield all that is wrong, in the order of the uuids of the servers.

    :param cloud: an audit.Cloud
    :param servers: how many there are, as of Cloud.number_of_servers()
    :param wanted: the codes to look for
    :param after: as of Cloud.cases(), and so are since and sleep
    :param workers: the number of processes; None for as many as there are
        processors, if there are many servers
    :returns: an iterator of Lot
    :raises: DatabaseError if a database ceases to answer
    """
    if workers is None:
        workers = (1 if servers < MANY else len(os.sched_getaffinity(0)))
    if workers == 1:
        return _lots(cloud, wanted, after, audit.LAST, since, sleep)
    return _by_processes(cloud, wanted, after, since, sleep, workers)


def _lots(cloud, wanted, after, until, since, sleep):
    cases = cloud.cases(after, until, since, sleep)
    while True:
        lot = list(itertools.islice(cases, audit.PAGE))
        if not lot:
            return
        yield Lot(len(lot), lot[-1].uuid, [
            finding for case in lot for finding in cloud.findings(case)
            if finding.code in wanted])


def _by_processes(cloud, wanted, after, since, sleep, workers):
    parts = _parts(after)
    # No two processes may have one connection.
    cloud.hang_up()
    # What there is of Nova in memory they share, unless somebody touches it.
    gc.freeze()
    pool = futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context('fork'), _begin, (cloud,))
    # No more are on their way than what is to be held in memory.
    pending: collections.deque[futures.Future[Lot]] = collections.deque()
    try:
        while parts or pending:
            while parts and len(pending) < workers + 1:
                pending.append(pool.submit(
                    _search_part, wanted, *parts.pop(0), since, sleep))
            lot = pending.popleft().result()
            if lot.servers:
                yield lot
    finally:
        pool.shutdown(cancel_futures=True)


def _parts(after: str) -> list[tuple[str, str]]:
    """Return [(after, until)] of the parts that are left."""
    bounds = [after] + [first for first in PARTS if first > after]
    return list(zip(bounds, bounds[1:] + [audit.LAST]))


def _begin(cloud):
    global _cloud
    _cloud = cloud
    # Ctrl-C is for the process that waits for this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _search_part(wanted, after: str, until: str, since, sleep) -> Lot:
    lots = list(_lots(_cloud, wanted, after, until, since, sleep))
    return Lot(sum(lot.servers for lot in lots),
               lots[-1].last if lots else None,
               [finding for lot in lots for finding in lot.found])
