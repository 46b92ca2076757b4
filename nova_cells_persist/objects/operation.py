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

"""Which operation on a server is under way in this thread.

A hook says so round a function of Nova; a revision that is saved within is
called after it.
"""

import contextvars

from nova_cells_persist.objects import scope

_current = contextvars.ContextVar('nova_cells_persist_operation',
                                  default=None)


class Operation:
    """One operation on one server.

    :ivar event: its name, such as 'resize'
    :ivar complete: a function of the JSON that Nova would save; returns the
        JSON to be saved
    :ivar before_read: a function of a context and the uuid of the server, to
        be called before the request spec is read for the first time; or None
    :ivar revision: the number of the revision that it saved last, None if
        none
    :ivar saved: (the JSON that was persisted before, the JSON that it saved)
        of that, whether there is a revision of it or not; None if there is
        none
    """

    def __init__(self, event, complete=None, before_read=None):
        self.event = event
        self.complete = complete or _as_it_is
        self.before_read = before_read
        self.revision = None
        self.saved = None


def during(event, complete=None, before_read=None):
    """Be in an operation in a ``with`` block, and yield it."""
    return scope.of(_current, Operation(event, complete, before_read))


def current():
    """Return the Operation that is under way; one called 'save' if none."""
    return _current.get() or Operation('save')


def reads(context, instance_uuid):
    """Do what is to be done before a request spec is read."""
    operation = _current.get()
    if operation is not None and operation.before_read is not None:
        before_read, operation.before_read = operation.before_read, None
        before_read(context, instance_uuid)


def _as_it_is(text):
    return text
