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

"""Waiting for Nova, on a machine that has other things to do."""

import time

#: How many seconds something that Nova does may take.
PATIENCE = 90


def _patiently(name):
    def wait(self, *args, **kwargs):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return getattr(super(Patient, self), name)(*args, **kwargs)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    return wait


class Patient:
    """Waits as Nova's InstanceHelperMixin does, but until a deadline.

    That looks ten times, every half a second, and then a test has failed.
    """

    _wait_for_assert = _patiently('_wait_for_assert')
    _wait_for_instance_action_event = _patiently(
        '_wait_for_instance_action_event')
    _wait_for_migration_status = _patiently('_wait_for_migration_status')
    _wait_for_server_parameter = _patiently('_wait_for_server_parameter')
