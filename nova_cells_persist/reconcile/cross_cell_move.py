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

"""How a move to another cell that was cut short is to end.

nova/conductor/tasks/cross_cell_migrate.py writes a second instance into the
cell that the server moves to. It is hidden until the server has moved; then
the first one is, until the move is confirmed or reverted, and what is of no
more use is deleted. A service that dies in between leaves both.

Pure functions of a Case.
"""

import collections

from nova.compute import vm_states

#: ``home`` is the id of the cell that is to have the server, ``other`` that of
#: the second instance; ``is_kept`` says whether that stays, hidden, because
#: the move can still be confirmed or reverted.
Ending = collections.namedtuple('Ending', 'home other is_kept')

# The status of a migration whose server is where it moves to, and of one that
# nova-api has cast to be confirmed.
_FINISHED = 'finished'
_CONFIRMING = 'confirming'

# Those of one that nobody can confirm or revert any more. What seems to wait
# for that elsewhere came back with a backup of its cell.
_OVER = ('confirmed', 'reverted')


def second(case):
    """Return the id of the cell that has the second instance.

    :returns: None if there is no such move, or no second one
    """
    others = [cell for cell in case.alive() if cell != case.cell]
    if case.instance is None or len(others) != 1:
        return None
    other, = others
    return other if case.instances[other].hidden or (
        not case.instance.deleted and case.moves.get(other) and
        case.moves.get(case.cell) and not _is_over(case)) else None


def ending(case):
    """Return the Ending of a move, None if it is as Nova leaves it.

    What is mapped is the server, but for one that is all in its new cell and
    lacks no more than the mapping: Nova would not turn back there either.

    :param case: of which second() is not None
    """
    home, other = case.cell, second(case)
    if case.instance.deleted:
        return Ending(home, other, False)
    if (_has_arrived(case, other) and not _has_arrived(case, home) and
            not _is_over(case)):
        home, other = other, home
    is_kept = case.instances[home].vm_state == vm_states.RESIZED
    if home == case.cell and is_kept and case.instances[other].hidden:
        return None
    return Ending(home, other, is_kept)


def is_confirmed_in_vain(case):
    """Whether somebody confirms it, or died when he did.

    Nova lets nobody confirm or revert it any more.
    """
    return (case.moves.get(case.cell) == _CONFIRMING and
            case.instance.vm_state == vm_states.RESIZED)


def _is_over(case):
    return case.moves.get(case.cell) in _OVER


def _has_arrived(case, cell):
    return (case.moves.get(cell) == _FINISHED and
            case.instances[cell].vm_state == vm_states.RESIZED)
