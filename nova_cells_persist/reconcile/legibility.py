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

"""Which row of a request spec cannot be read."""

import contextlib

from nova_cells_persist import exception
from nova_cells_persist.objects import revision as revisions


def error(instance_uuid, database, revision, reason):
    """Return the exception that says it of a revision.

    :param database: what it is called
    :param revision: the number of the revision
    :param reason: an exception
    """
    return exception.UnreadableRevision(
        table='request_spec', database=database, revision=revision,
        instance_uuid=instance_uuid, reason=reason)


@contextlib.contextmanager
def of(instance_uuid, database, revision):
    """Say which revision could not be read, in a ``with`` block.

    :raises: UnreadableRevision
    """
    try:
        yield
    except ValueError as exc:
        raise error(instance_uuid, database, revision, exc)


@contextlib.contextmanager
def of_nova_row(instance_uuid):
    """As of(), where Nova's own row is read.

    :raises: UnreadableSpec
    """
    try:
        yield
    except ValueError as exc:
        raise revisions.unreadable(instance_uuid, exc)
