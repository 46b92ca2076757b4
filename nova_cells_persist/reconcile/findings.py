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

import collections

from oslo_serialization import jsonutils
from oslo_versionedobjects import exception as ovo_exc

from nova.compute import vm_states
from nova import exception as nova_exc

from nova_cells_persist import exception
from nova_cells_persist.objects import contract
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import primitive
from nova_cells_persist.reconcile import codes

#: ``evidence`` says in words what is wrong, ``repair`` what would be done;
#: ``cells`` are the ids of the cells that it is about.
Finding = collections.namedtuple(
    'Finding', 'code uuid evidence repair cells', defaults=((),))

# Servers in these have not yet, or not any more, what a request spec says.
_NOT_THERE = frozenset([vm_states.BUILDING, vm_states.DELETED,
                        vm_states.SOFT_DELETED])


def find(case):
    """Return what is wrong with a server.

    :param case: a Case
    :returns: a list of Finding, [] if all is well or something was written
        so lately that it cannot be told
    """
    if case.recent:
        return []
    if case.cell is None:
        found = _without_cell(case)
    elif case.instance is None:
        found = _not_in_its_cell(case)
    else:
        found = _in_its_cell(case)
    return found + _orphaned_copies(case)


def _without_cell(case):
    alive = case.alive()
    if len(alive) > 1:
        return [_two_cells(case)]
    if alive:
        if case.in_flight and not case.damage:
            return [Finding(
                codes.STUCK_BUILD, case.uuid,
                'accepted at %s; %s has it, and the mapping has no cell'
                % (case.accepted_at, case.named(alive[0])),
                'map it to %s and remove the build' % case.named(alive[0]),
                (alive[0],))]
        return [_unmapped(case, alive[0])]
    if is_unreadable(case):
        return [_unreadable_build(case)]
    if case.in_flight:
        return [Finding(
            codes.STUCK_BUILD, case.uuid,
            'accepted at %s, and in no cell' % case.accepted_at,
            'bury it in cell0 as ERROR, where its owner can delete it')]
    if case.instances:
        return []   # deleted; nova-manage takes all of it when it archives
    if case.mapping is not None:
        return [Finding(
            codes.DELETED_BUILD, case.uuid,
            'mapped to no cell, and neither a build nor in any cell',
            'remove its mapping, request spec and allocations')]
    if case.nova_spec or case.waiting or case.build:
        return [Finding(
            codes.ORPHANED_SPEC, case.uuid,
            'not mapped, and neither a build nor in any cell',
            'remove its request spec')]
    return []


def _unreadable_build(case):
    return Finding(
        codes.UNREADABLE_BUILD, case.uuid, '; '.join(
            'its row in %s cannot be read: %s' % (
                table, exception.in_short(reason))
            for table, reason in sorted(case.damage.items())),
        'write it anew from build_requests' if can_be_rewritten(case) else
        'none: another Nova may have written it, upgrade this one'
        if may_be_of_another_nova(case) else
        'remove it with its mapping, request spec and allocations')


def is_unreadable(case):
    """Whether a build is damaged where it is read first."""
    return ('build_request' if case.build else 'build_requests') in case.damage


def can_be_rewritten(case):
    """Whether what Nova's own table has of a damaged build can be read."""
    return case.mirror is not None and 'build_requests' not in case.damage


def may_be_of_another_nova(case):
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
    return [Finding(
        codes.ORPHANED_MAPPING, case.uuid,
        'mapped to %s, which does not have it, nor has another' %
        case.named(case.cell),
        'remove its mapping, request spec and allocations', (case.cell,))]


def _in_its_cell(case):
    instance = case.instance
    found = [] if len(case.instances) == 1 else _elsewhere_too(case)
    if case.build or case.mirror:
        found.append(Finding(
            codes.LANDED_BUILD, case.uuid,
            'in %s, and there is a row of it in %s' % (
                case.named(case.cell), ' and '.join(
                    table for table, row in (
                        ('build_request', case.build),
                        ('build_requests', case.mirror)) if row)),
            'remove the build'))
    if case.waiting:
        found.append(Finding(
            codes.MISPLACED_COPY, case.uuid,
            'in %s, and the API database has revisions' %
            case.named(case.cell),
            'move them to the cell', (case.cell,)))
    if instance.deleted:
        return found
    if _is_stuck(instance):
        found.append(Finding(
            codes.STUCK_INSTANCE, case.uuid,
            'in %s in the state building, on no host' %
            case.named(case.cell),
            'set it to ERROR, so that its owner can delete it',
            (case.cell,)))
    return found + _contract(case, instance)


def _elsewhere_too(case):
    # While it moves to another cell one of the two is hidden.
    others = [cell for cell in case.alive() if cell != case.cell and
              not (case.instances[cell].hidden and
                   not case.instance.deleted)]
    return [_two_cells(case)] if others else []


def _is_stuck(instance):
    return (instance.vm_state == vm_states.BUILDING and
            instance.host is None)


def _two_cells(case):
    spare = sorted(
        cell for cell in case.alive() if cell != case.cell and
        case.instances[cell].host is None and
        not case.instances[cell].was_launched)
    certain = case.instance is not None and len(spare) == 1
    return Finding(
        codes.TWO_CELLS, case.uuid, 'in %s, mapped to %s' % (
            ' and '.join('%s (host %s)' % (
                case.named(cell), case.instances[cell].host or 'none')
                for cell in sorted(case.alive())),
            'no cell' if case.cell is None else case.named(case.cell)),
        'mark it deleted in %s, where it never ran' % case.named(spare[0])
        if certain else
        'none: see where it runs, and delete the other one from its cell',
        tuple(spare) if certain else ())


def _unmapped(case, cell):
    return Finding(
        codes.UNMAPPED_INSTANCE, case.uuid, 'in %s, %s' % (
            case.named(cell), 'not mapped' if case.mapping is None else
            'mapped to %s' % ('no cell' if case.cell is None
                              else case.named(case.cell))),
        'map it to %s' % case.named(cell), (cell,))


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
        return [Finding(codes.MISPLACED_COPY, case.uuid,
                        'in %s, and there are revisions in %s' %
                        (case.named(case.cell), where),
                        'move them to its cell', cells)]
    return [Finding(codes.ORPHANED_COPY, case.uuid,
                    'revisions in %s, where there is no such server' %
                    where, 'remove them', cells)]


def _contract(case, instance):
    """What is wrong with the two sides of the request spec."""
    text = case.nova_spec
    if text is None:
        if not instance.was_launched and instance.host is None:
            return []   # never built: Nova has deleted it
        return [Finding(
            codes.MISSING_SPEC, case.uuid, 'no row in request_specs',
            'rebuild it from %s' % _source(instance))]
    data = fields_of(text)
    if data is None:
        return [_unreadable_spec(case, instance)]
    found = _copy(case, instance, text)
    # What is pending is newer, and may say what the server is.
    if not found or not instance.pending:
        found += _differences(case, instance, data)
    return found


def _source(instance):
    return ('its newest revision' if instance.revision else
            'the server itself')


def _copy(case, instance, text):
    if not instance.revision:
        # Those that stand elsewhere are moved here first.
        return [] if case.waiting or case.strays else [Finding(
            codes.MISSING_COPY, case.uuid,
            'no revision in %s' % case.named(case.cell), 'write one',
            (case.cell,))]
    if instance.spec == text and not instance.pending:
        return []
    if fields_of(instance.spec) is None:
        return [_unreadable_copy(case, instance)]
    digest = primitive.digest(text)
    same = primitive.digest(instance.spec) == digest
    if not same:
        found = _damaged(case, instance, text)
        if found:
            return found
    if not instance.pending:
        return [] if same else [Finding(
            codes.STALE_COPY, case.uuid,
            'revision %d in %s is not what request_specs has' % (
                instance.revision, case.named(case.cell)),
            'write the request spec as a new one', (case.cell,))]
    if same or instance.base_digest == digest:
        return [Finding(
            codes.PENDING_REVISION, case.uuid,
            'revision %d in %s is pending' % (
                instance.revision, case.named(case.cell)),
            'write it to request_specs', (case.cell,))]
    return [Finding(
        codes.CONFLICTING_REVISION, case.uuid,
        'revision %d in %s is pending, and request_specs has changed since'
        % (instance.revision, case.named(case.cell)),
        'let request_specs win; the revision stays in the history',
        (case.cell,))]


def _damaged(case, instance, text):
    """Which of two that differ Nova could not hydrate.

    That takes long, and two that are alike are taken for what was saved.
    """
    if damage.of_spec(text):
        return [_unreadable_spec(case, instance)]
    if damage.of_spec(instance.spec):
        return [_unreadable_copy(case, instance)]
    return []


def _unreadable_spec(case, instance):
    return Finding(
        codes.UNREADABLE_SPEC, case.uuid,
        'its row in request_specs cannot be read',
        'rebuild it from %s' % _source(instance))


def _unreadable_copy(case, instance):
    return Finding(
        codes.UNREADABLE_COPY, case.uuid,
        'revision %d in %s cannot be read' % (
            instance.revision, case.named(case.cell)),
        'write the request spec as a new one', (case.cell,))


def _differences(case, instance, data):
    fields = differing(data, instance, case.group, case.flavor)
    if not fields:
        return []
    return [Finding(
        codes.SPEC_DIFFERS, case.uuid, 'other than the server in: %s' %
        ', '.join(fields), 'spec sync --field %s' % ','.join(fields))]


def fields_of(text):
    """Return the fields of a RequestSpec, None if it is damaged.

    :param text: its JSON
    """
    try:
        whole = jsonutils.loads(text)
        data = whole[primitive.DATA]
        for name in ('flavor', 'image', 'pci_requests', 'instance_group'):
            if data.get(name) is not None:
                data[name][primitive.DATA].get('')
        if (whole[primitive.NAME] == 'RequestSpec' and
                whole[primitive.VERSION] and data['flavor']):
            return data
    except damage.UNREADABLE:
        pass
    return None


def differing(data, instance, group, flavor=None):
    """Return what a request spec says otherwise than its server.

    :param data: as of fields_of()
    :param instance: a row of the stream ``instance``
    :param group: the uuid of the server group that it is a member of, or
        None; one that is deleted is no constraint, and Nova skips it
    :param flavor: the id of its flavor, if the row does not have it: Nova
        writes that after the flavor itself, in another transaction
    :returns: a list of the fields that ``spec sync`` takes
    """
    if (instance.task_state is not None or not instance.was_launched or
            instance.vm_state in _NOT_THERE):
        return []
    found = _of_flavor(data, flavor or instance.instance_type_id)
    zone = data.get('availability_zone')
    if zone and (instance.availability_zone or zone) != zone:
        found.append('az')
    image = data.get('image')
    if instance.image_ref and instance.image_ref != (
            image and image[primitive.DATA].get('id')):
        found.append('image')
    claimed = data.get('instance_group')
    if group and group != (claimed and claimed[primitive.DATA].get('uuid')):
        found.append('group')
    return found


def _of_flavor(data, flavor_id):
    flavor = data['flavor'][primitive.DATA]
    if flavor.get('id') != flavor_id:
        return ['flavor']
    extra_specs = flavor.get('extra_specs') or {}
    if not (extra_specs.get(contract.ALIAS) or contract.pci_requests(data)):
        return []   # as nearly always
    try:
        wanted = contract.wanted_aliases(extra_specs)
    except ValueError:   # which Nova could not make sense of either
        return []
    return [] if contract.aliases(data) == wanted else ['pci']
