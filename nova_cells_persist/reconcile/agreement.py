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

"""Whether both sides of a request spec agree, and with the server.

Pure functions of a Case.
"""

from oslo_serialization import jsonutils

from nova.compute import vm_states

from nova_cells_persist.objects import contract
from nova_cells_persist.objects import damage
from nova_cells_persist.objects import primitive
from nova_cells_persist.reconcile import codes


def find(case, instance):
    """Return what is wrong with the two sides of a request spec.

    :param case: a Case
    :param instance: the one in its cell, not deleted
    :returns: a list of Finding
    """
    text = case.nova_spec
    if text is None:
        if case.never_ran(case.cell):
            return []   # Nova has deleted it
        return [codes.Finding(
            codes.MISSING_SPEC, case.uuid, 'no row in request_specs',
            'rebuild it from %s' % _source(case, instance))]
    data = fields_of(text)
    if data is None:
        return [_unreadable_spec(case, instance)]
    found = _copy(case, instance, text)
    # What is pending is newer, and may say what the server is. What cannot be
    # read is rebuilt from the server.
    if found and (instance.pending or
                  found[0].code == codes.UNREADABLE_SPEC):
        return found
    return found + _differences(case, instance, data)


def _source(case, instance):
    """Return what it can be rebuilt from, in words; None if from nothing."""
    # What waits lands before it is asked.
    if instance.revision or case.waiting:
        return 'its newest revision'
    return None if case.never_ran(case.cell) else 'the server itself'


def _copy(case, instance, text):
    if not instance.revision:
        # Those that stand elsewhere are moved here first.
        if case.waiting or case.strays:
            return []
        if damage.of_spec(text):
            return [_unreadable_spec(case, instance)]
        return [codes.Finding(
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
        return [] if same else [_of_revision(
            case, instance, codes.STALE_COPY,
            'is not what request_specs has',
            'write the request spec as a new one')]
    if same or instance.base_digest == digest:
        return [_of_revision(
            case, instance, codes.PENDING_REVISION, 'is pending',
            'write it to request_specs')]
    return [_of_revision(
        case, instance, codes.CONFLICTING_REVISION,
        'is pending, and request_specs has changed since',
        'let request_specs win unless it has what the revision was made of; '
        'the revision stays in the history')]


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
    source = _source(case, instance)
    return codes.Finding(
        codes.UNREADABLE_SPEC, case.uuid,
        'its row in request_specs cannot be read',
        'rebuild it from %s' % source if source else
        'no host has had it, and nothing tells what it was: let its owner '
        'delete it', by_hand=source is None)


def _unreadable_copy(case, instance):
    return _of_revision(case, instance, codes.UNREADABLE_COPY,
                        'cannot be read',
                        'write the request spec as a new one')


def _of_revision(case, instance, code, what, repair):
    return codes.Finding(
        code, case.uuid, 'revision %d in %s %s' % (
            instance.revision, case.named(case.cell), what),
        repair, (case.cell,))


def _differences(case, instance, data):
    fields = differing(data, instance, case)
    if not fields:
        return []
    return [codes.Finding(
        codes.SPEC_DIFFERS, case.uuid, 'other than the server in: %s' %
        ', '.join(fields), 'take that over from the server, as "spec sync '
        '--field %s" does' % ','.join(fields))]


def fields_of(text):
    """Return the fields of a RequestSpec, None if it is damaged.

    :param text: its JSON
    """
    try:
        whole = jsonutils.loads(text)
        data = whole[primitive.DATA]
        damage.require_fields(data)
        if (whole[primitive.NAME] == 'RequestSpec' and
                whole[primitive.VERSION] and data['flavor']):
            return data
    except damage.UNREADABLE:
        pass
    return None


def flavor_id(text):
    """Return the id of the flavor that Nova shows of a server.

    :param text: as of db.instance.flavor()
    :returns: None if that has none, or cannot be read
    """
    try:
        return jsonutils.loads(text)['cur'][primitive.DATA]['id']
    except damage.UNREADABLE:
        return None


def differing(data, instance, case):
    """Return what a request spec says otherwise than its server.

    Where the row may be wrong, it is not if the case knows better: Nova
    writes the flavor into it after the flavor itself, in another transaction,
    and the zone before a move that may fail. A server group that is deleted
    is no constraint, and Nova skips it.

    :param data: as of fields_of()
    :param instance: a row of the stream ``instance``
    :param case: its Case
    :returns: a list of the fields that ``spec sync`` takes
    """
    if (instance.task_state is not None or not instance.was_launched or
            instance.vm_state in contract.NOT_THERE):
        return []
    found = _of_flavor(data, case.flavor or instance.instance_type_id)
    zone = data.get('availability_zone')
    # One that is offloaded is in none, whatever a failed unshelve has left.
    if (zone and instance.vm_state != vm_states.SHELVED_OFFLOADED and
            (case.zone or instance.availability_zone or zone) != zone):
        found.append('az')
    if (contract.tells_image(instance, data) and
            instance.image_ref != contract.image_of(data)):
        found.append('image')
    claimed = data.get('instance_group')
    if case.group and case.group != (
            claimed and claimed[primitive.DATA].get('uuid')):
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
        return ([] if contract.aliases(data) ==
                contract.wanted_aliases(extra_specs) else ['pci'])
    except ValueError:   # which Nova could not make sense of either
        return []
