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

"""What the cloud of the bench has that Nova's test equipment has not."""

import contextlib
import functools
import threading
import time
import types

import fixtures
from nova.compute import manager as compute_manager
from nova.conductor import manager as conductor_manager
from oslo_messaging._drivers import impl_fake

#: For what takes a second, on a machine that has much else to do.
TIMEOUT = 100


class PromptBus(fixtures.Fixture):
    """Have the messages of oslo.messaging's fake driver taken as they come.

    The driver looks for them every 50 ms. A boot has three hops, a resize
    five: a third of it would be these pauses, and most of the noise.
    """

    def _setUp(self):
        arrived = threading.Condition()
        deliver = impl_fake.FakeExchange.deliver_message

        def deliver_and_tell(*args, **kwargs):
            deliver(*args, **kwargs)
            with arrived:
                arrived.notify_all()

        def wait(seconds):
            with arrived:
                arrived.wait(seconds)

        self.useFixture(fixtures.MockPatchObject(
            impl_fake.FakeExchange, 'deliver_message', deliver_and_tell))
        self.useFixture(fixtures.MockPatchObject(
            impl_fake, 'time',
            types.SimpleNamespace(time=time.time, sleep=wait)))


class Managers(fixtures.Fixture):
    """Knows what Nova's managers have in hand, and what they have done.

    The API says the same when it is asked often enough; that takes time and
    statements which are not to be measured.
    """

    METHODS = {
        conductor_manager.ComputeTaskManager: (
            'schedule_and_build_instances', 'migrate_server'),
        compute_manager.ComputeManager: (
            '_do_build_and_run_instance', 'prep_resize', 'resize_instance',
            'finish_resize', 'terminate_instance'),
    }

    def _setUp(self):
        self._changed = threading.Condition()
        self._in_hand = 0
        self._done = set()
        for manager, methods in self.METHODS.items():
            for method in methods:
                self.useFixture(fixtures.MockPatchObject(
                    manager, method, self._noted(getattr(manager, method))))

    @contextlib.contextmanager
    def until(self, method):
        """Do not end the block before what it began has done that method.

        Something else of it may still be in hand.
        """
        self._done.clear()
        yield
        self._wait_for(lambda: method in self._done)

    def wait_until_idle(self):
        self._wait_for(lambda: not self._in_hand)

    def _noted(self, method):
        @functools.wraps(method)
        def noted(*args, **kwargs):
            with self._changed:
                self._in_hand += 1
            try:
                return method(*args, **kwargs)
            finally:
                with self._changed:
                    self._in_hand -= 1
                    self._done.add(method.__name__)
                    self._changed.notify_all()
        return noted

    def _wait_for(self, condition):
        with self._changed:
            if not self._changed.wait_for(condition, TIMEOUT):
                raise RuntimeError(
                    'After %d seconds there is still something in hand; all '
                    'that was done is %s.' % (TIMEOUT, sorted(self._done)))
