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

"""What is wrong with a server, told from its rows alone.

Pure functions of a Case. What is wrong has a code; each says what would mend
it, and reconcile/repair.py does that.
"""

from oslo_versionedobjects import exception as ovo_exc

from nova.compute import vm_states
from nova import exception as nova_exc

from nova_cells_persist import exception
from nova_cells_persist.reconcile import agreement
from nova_cells_persist.reconcile import case as of_server
from nova_cells_persist.reconcile import codes
from nova_cells_persist.reconcile import cross_cell_move

_MOVE_COPIES = ('move those to its cell that its history there lacks, and '
                'remove the others')


def find(case: of_server.Case) -> list[codes.Finding]:
    """Return what is wrong with a server.

    :param case: a Case
    :returns: a list of Finding, [] if all is well or something was written
        so lately that it cannot be told
    """
    if case.recent:
        return []
    if _was_deleted_as_build(case):
        return [_deleted_as_build(case)]
    if case.cell is None:
        found = _without_cell(case)
    elif case.instance is None:
        found = _not_in_its_cell(case)
    else:
        found = _in_its_cell(case)
    return found + _orphaned_copies(case)


def _was_deleted_as_build(case):
    """Whether a server was deleted before any host had it.

    Its owner deletes the build, and Nova marks the mapping. A conductor that
    has written the server into a cell by then would see that, and delete it;
    if only the build was lost, the mapping has no mark.
    """
    if not (case.mapping and case.mapping.queued_for_delete):
        return False   # as nearly always
    alive = case.alive()
    return bool(alive and not case.in_flight and all(
        _is_stuck(case.instances[cell]) and case.never_ran(cell)
        for cell in alive))


def _deleted_as_build(case):
    cells = tuple(sorted(case.alive()))
    where = ' and '.join(map(case.named, cells))
    return codes.Finding(
        codes.DELETED_BUILD, case.uuid,
        'deleted by its owner, and in %s in the state building, on no host' %
        where,
        'delete it from %s, and remove its mapping, request spec and '
        'allocations' % where, cells)


def _without_cell(case):
    alive = case.alive()
    if len(alive) > 1:
        return [_two_cells(case)]
    if alive:
        if (case.in_flight and not case.damage and
                not case.instances[alive[0]].hidden):
            return [codes.Finding(
                codes.STUCK_BUILD, case.uuid,
                'accepted at %s; %s has it, and the mapping has no cell'
                % (case.accepted_at, case.named(alive[0])),
                'map it to %s and remove the build' % case.named(alive[0]),
                (alive[0],))]
        return [_unmapped(case, alive[0])]
    if case.instances and case.in_flight:
        # The build has come back, with a backup of the API database.
        return [_landed_build(case, '%s, deleted' % ' and '.join(map(
            case.named, sorted(case.instances))))]
    if case.instances:
        return []   # deleted; nova-manage takes all of it when it archives
    if is_unreadable(case):
        return [_unreadable_build(case)]
    if case.in_flight:
        return [codes.Finding(
            codes.STUCK_BUILD, case.uuid,
            'accepted at %s, and in no cell' % case.accepted_at,
            'bury it in cell0 as ERROR, where its owner can delete it, once '
            'no super-conductor has it in its queue')]
    if case.mapping is not None:
        return [codes.Finding(
            codes.DELETED_BUILD, case.uuid,
            'mapped to no cell, and neither a build nor in any cell',
            'remove its mapping, request spec and allocations')]
    if case.nova_spec or case.waiting or case.build:
        return [codes.Finding(
            codes.ORPHANED_SPEC, case.uuid,
            'not mapped, and neither a build nor in any cell',
            'remove its request spec and allocations')]
    return []


def _unreadable_build(case):
    by_hand = False
    if lacks_spec(case):
        repair = 'rebuild its request spec from its newest revision'
    elif can_be_rewritten(case):
        repair = 'write it anew from build_requests'
    elif may_be_of_another_nova(case):
        repair = 'another Nova may have written it, upgrade this one'
        by_hand = True
    else:
        repair = 'remove it with its mapping, request spec and allocations'
    return codes.Finding(
        codes.UNREADABLE_BUILD, case.uuid, '; '.join(
            'its row in %s cannot be read: %s' % (
                table, exception.in_short(reason))
            for table, reason in sorted(case.damage.items())), repair,
        by_hand=by_hand)


def lacks_spec(case: of_server.Case) -> bool:
    """Whether a build lacks its request spec, and that can be rebuilt.

    What stands in both is in the row of the build once only.
    """
    return case.saved_spec is not None and (
        case.nova_spec is None or
        agreement.fields_of(case.nova_spec) is None)


def is_unreadable(case: of_server.Case) -> bool:
    """Whether a build is damaged where it is read first."""
    return ('build_request' if case.build else 'build_requests') in case.damage


def can_be_rewritten(case: of_server.Case) -> bool:
    """Whether what Nova's own table has of a damaged build can be read."""
    return case.mirror is not None and 'build_requests' not in case.damage


def may_be_of_another_nova(case: of_server.Case) -> bool:
    """Whether a build that cannot be read may be none that is damaged."""
    # Of an instance of another version Nova says that there is no build.
    return any(isinstance(reason, (ovo_exc.IncompatibleObjectVersion,
                                   nova_exc.BuildRequestNotFound))
               for reason in case.damage.values())


def _not_in_its_cell(case):
    alive = case.alive()
    if len(alive) > 1:
        return [_two_cells(case)]
    if alive:
        return [_unmapped(case, alive[0])]
    return [codes.Finding(
        codes.ORPHANED_MAPPING, case.uuid,
        'mapped to %s, which does not have it, nor has another' %
        case.named(case.cell),
        'remove its mapping, request spec and allocations', (case.cell,))]


def _in_its_cell(case):
    instance = case.instance
    found = (_confirmed_half(case) if len(case.instances) == 1
             else _elsewhere_too(case))
    if case.build or case.mirror:
        found.append(_landed_build(case, case.named(case.cell)))
    if case.waiting:
        found.append(codes.Finding(
            codes.MISPLACED_COPY, case.uuid,
            'in %s, and the API database has revisions' %
            case.named(case.cell),
            _MOVE_COPIES, (case.cell,)))
    if instance.deleted:
        return found
    if _is_stuck(instance):
        found.append(codes.Finding(
            codes.STUCK_INSTANCE, case.uuid,
            'in %s in the state building, on no host' %
            case.named(case.cell),
            'set it to ERROR, so that its owner can delete it',
            (case.cell,)))
    return found + agreement.find(case, instance)


def _landed_build(case, where):
    return codes.Finding(
        codes.LANDED_BUILD, case.uuid,
        'in %s, and there is a row of it in %s' % (where, ' and '.join(
            table for table, row in (
                ('build_request', case.build),
                ('build_requests', case.mirror)) if row)),
        'remove the build')


def _elsewhere_too(case):
    if cross_cell_move.second(case) is not None:
        return _interrupted_move(case)
    others = set(case.alive()) - {case.cell}
    return [_two_cells(case)] if others else []


def _interrupted_move(case):
    if cross_cell_move.is_confirmed_in_vain(case):
        return [codes.Finding(
            codes.INTERRUPTED_MOVE, case.uuid, _in_cells(case),
            'once nobody is confirming it any more, set the status of its '
            'migration in %s back to finished; then confirm or revert it' %
            case.named(case.cell), by_hand=True)]
    ending, task = cross_cell_move.ending(case), case.instance.task_state
    if ending is None:
        return []
    home, other, is_kept = ending
    repair = ('hide it in %s' if is_kept else 'delete the copy in %s'
              ) % case.named(other)
    if home != case.cell:
        repair = 'map it to %s, and %s' % (case.named(home), repair)
    if task is not None and not case.instance.deleted:
        if case.instances[other].hidden:
            return []   # it moves, for all that can be told
        return [codes.Finding(
            codes.INTERRUPTED_MOVE, case.uuid, _in_cells(case),
            'once nobody is %s any more, reset its state' % task,
            by_hand=True)]
    return [codes.Finding(codes.INTERRUPTED_MOVE, case.uuid,
                          _in_cells(case), repair, (home, other))]


def _confirmed_half(case):
    """A confirmation that has deleted the other instance, and no more."""
    if not cross_cell_move.is_confirmed_in_vain(case):
        return []
    where = case.named(case.cell)
    return [codes.Finding(
        codes.INTERRUPTED_MOVE, case.uuid,
        'in %s alone (host %s), and still to be confirmed' % (
            where, case.instance.host),
        'once nobody is confirming it any more, set the status of its '
        'migration in %s to confirmed, and its state to active' % where,
        by_hand=True)]


def _is_stuck(instance):
    return (instance.vm_state == vm_states.BUILDING and
            instance.host is None)


def _two_cells(case):
    spare = sorted(
        cell for cell in case.alive() if cell != case.cell and
        case.never_ran(cell))
    certain = case.instance is not None and len(spare) == 1
    if not certain:
        return codes.Finding(
            codes.TWO_CELLS, case.uuid, _in_cells(case),
            'see where it runs, and delete the row of the other one from '
            'its cell: one that is only marked as deleted takes the mapping '
            'with it when it is archived',
            by_hand=True)
    return codes.Finding(
        codes.TWO_CELLS, case.uuid, _in_cells(case),
        'delete it from %s, where it never ran' % case.named(spare[0]),
        tuple(spare))


def _in_cells(case):
    return 'in %s, mapped to %s' % (
        ' and '.join('%s (host %s)' % (
            case.named(cell), case.instances[cell].host or 'none')
            for cell in sorted(case.alive())),
        'no cell' if case.cell is None else case.named(case.cell))


def _unmapped(case, cell):
    if case.instances[cell].hidden:
        # Of a move to another cell, in which what was the server is gone:
        # its owner may have deleted it, or it was lost.
        return codes.Finding(
            codes.UNMAPPED_INSTANCE, case.uuid, 'in %s, hidden, %s' % (
                case.named(cell), _where_mapped(case)),
            'see whether its owner has deleted it, and then delete the row '
            'in %s; if not, set "hidden" to 0 there, and heal it' %
            case.named(cell), (cell,), by_hand=True)
    return codes.Finding(
        codes.UNMAPPED_INSTANCE, case.uuid, 'in %s, %s' % (
            case.named(cell), _where_mapped(case)),
        'map it to %s' % case.named(cell), (cell,))


def _where_mapped(case):
    if case.mapping is None:
        return 'not mapped'
    return 'mapped to %s' % ('no cell' if case.cell is None
                             else case.named(case.cell))


def _orphaned_copies(case):
    """Revisions in cells that do not have the server."""
    lost = case.strays and case.strays - {case.cell}
    if not lost or case.cell is None and case.in_flight:
        return []
    cells = tuple(sorted(lost))
    where = ', '.join(map(case.named, cells))
    if case.instance is None and (case.alive() or case.instances):
        return []   # they follow once it is mapped
    if case.instance is not None and not case.instance.deleted:
        return [codes.Finding(codes.MISPLACED_COPY, case.uuid,
                        'in %s, and there are revisions in %s' %
                        (case.named(case.cell), where),
                        _MOVE_COPIES, cells)]
    return [codes.Finding(codes.ORPHANED_COPY, case.uuid,
                    'revisions in %s, where there is no such server' %
                    where, 'remove them', cells)]
