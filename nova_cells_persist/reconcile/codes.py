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

"""What can be wrong with a server."""

from typing import NamedTuple


class Finding(NamedTuple):
    """What is wrong with a server.

    ``evidence`` says in words what is wrong, ``repair`` what would be done,
    or has to be by hand if ``by_hand``; ``cells`` are the ids of the cells
    that it is about.
    """

    code: str
    uuid: str
    evidence: str
    repair: str
    cells: tuple[int, ...] = ()
    by_hand: bool = False

    @property
    def shown(self) -> tuple[str, str, str, str]:
        """What is listed of it: its code, server, evidence and repair."""
        return self.code, self.uuid, self.evidence, (
            'by hand: %s' if self.by_hand else '%s') % self.repair


STUCK_BUILD = 'stuck-build'
UNREADABLE_BUILD = 'unreadable-build'
STUCK_INSTANCE = 'stuck-instance'
DELETED_BUILD = 'deleted-build'
LANDED_BUILD = 'landed-build'
UNMAPPED_INSTANCE = 'unmapped-instance'
TWO_CELLS = 'two-cells'
INTERRUPTED_MOVE = 'interrupted-move'
ORPHANED_MAPPING = 'orphaned-mapping'
ORPHANED_SPEC = 'orphaned-spec'
ORPHANED_COPY = 'orphaned-copy'
MISPLACED_COPY = 'misplaced-copy'
MISSING_SPEC = 'missing-spec'
UNREADABLE_SPEC = 'unreadable-spec'
MISSING_COPY = 'missing-copy'
UNREADABLE_COPY = 'unreadable-copy'
STALE_COPY = 'stale-copy'
PENDING_REVISION = 'pending-revision'
CONFLICTING_REVISION = 'conflicting-revision'
SPEC_DIFFERS = 'spec-differs'

#: What each is.
MEANINGS: dict[str, str] = {
    STUCK_BUILD: 'accepted, and no cell has taken it',
    UNREADABLE_BUILD: 'a build that is damaged, and not shown to its owner',
    STUCK_INSTANCE: 'in a cell, and no host builds it',
    DELETED_BUILD: 'deleted while it was a build, and not all of it went',
    LANDED_BUILD: 'in its cell, and still kept as a build',
    UNMAPPED_INSTANCE: 'in a cell, and not mapped to it',
    TWO_CELLS: 'in two cells at once',
    INTERRUPTED_MOVE: 'a move to another cell was cut short',
    ORPHANED_MAPPING: 'mapped to a cell that does not have it',
    ORPHANED_SPEC: 'a request spec in the API database, of no server',
    ORPHANED_COPY: 'revisions in a cell, of no server',
    MISPLACED_COPY: 'revisions where the server is not',
    MISSING_SPEC: 'no request spec in the API database',
    UNREADABLE_SPEC: 'a request spec in the API database that is damaged',
    MISSING_COPY: 'no copy of the request spec in the cell',
    UNREADABLE_COPY: 'a copy of the request spec that is damaged',
    STALE_COPY: 'an older copy than the request spec',
    PENDING_REVISION: 'saved in the cell only',
    CONFLICTING_REVISION: 'saved both in the cell and in the API database',
    SPEC_DIFFERS: 'a request spec that does not describe the server',
}

#: What a repair returns if there was nothing to mend any more.
GONE = object()

#: What belongs to nothing any more: purge removes it.
RUBBISH = frozenset([DELETED_BUILD, LANDED_BUILD, ORPHANED_MAPPING,
                     ORPHANED_SPEC, ORPHANED_COPY])
