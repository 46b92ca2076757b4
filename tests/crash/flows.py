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


"""What a user or an operator does, during which a service may die."""

import fixtures

from nova.compute import manager

#: One of those of Nova's fixture, that servers are not booted of.
OTHER_IMAGE = 'a2459075-d96c-40d5-893e-577ff92e721c'


class Flow:
    """One server is prepared for, then something is done to it.

    :cvar HOSTS: {host: cell}, of the cloud in which it is done
    :cvar DELETES: whether a server may be gone in the end
    :param cloud: a cloud.Cloud
    """

    HOSTS = {'host1': 'cell1', 'host2': 'cell1', 'host3': 'cell2'}
    DELETES = False

    def __init__(self, cloud):
        self.cloud = cloud

    def prepare(self):
        """Make what the flow begins with.

        :returns: the server as the API shows it, None if there is none yet
        """
        return self.cloud.boot(host='host1')

    def act(self, server):
        """Do it, to the end.

        :param server: what prepare() returned
        """
        raise NotImplementedError

    def go_on(self):
        """Do what an operator does once more when it was cut short."""

    def do(self, server, action, **arguments):
        """Post an action of a server."""
        self.cloud.api.post_server_action(
            server['id'], {action: arguments or None})

    def resize(self, server):
        self.do(server, 'resize', flavorRef=self.cloud.flavors[1]['id'])


class _Build(Flow):

    def prepare(self):
        return None

    def accept(self, **body):
        return self.cloud.accept(dict(body, host='host1'))


class Boot(_Build):

    def act(self, server):
        self.accept()


class Batch(_Build):

    def act(self, server):
        self.accept(min_count=3)


class DeleteBeforeScheduled(_Build):
    """The super-conductor gets the build when it has been deleted."""

    DELETES = True

    def act(self, server):
        with self.cloud.bus.held():
            server = self.accept()
            self.cloud.api.delete_server(server['id'])
        self.cloud.bus.deliver()


class DeleteWhileScheduled(_Build):
    """It is deleted while the scheduler looks for a host."""

    DELETES = True

    def act(self, server):
        with self.cloud.bus.held():
            server = self.accept()
        self.cloud.bus.before['select_destinations'] = (
            lambda: self.cloud.api.delete_server(server['id']))
        self.cloud.bus.deliver()


class Burial(_Build):
    """No host will have it, so it goes to cell0."""

    def act(self, server):
        self.cloud.accept(az='nova:nowhere')


class OverQuota(_Build):
    """Once it is in its cell, the quota is found to be exceeded."""

    def act(self, server):
        with self.cloud.bus.held():
            self.accept()
        self.cloud.flags(instances=0, group='quota')
        try:
            self.cloud.bus.deliver()
        finally:
            self.cloud.reset_flags('instances', group='quota')


class ResizeConfirm(Flow):

    def act(self, server):
        self.resize(server)
        self.do(server, 'confirmResize')


class ResizeRevert(Flow):

    def act(self, server):
        self.resize(server)
        self.do(server, 'revertResize')


class FailedResize(Flow):
    """The host that it leaves cannot let go of it."""

    def act(self, server):
        with fixtures.MonkeyPatch(
                'nova.virt.fake.FakeDriver.migrate_disk_and_power_off', _fail):
            self.resize(server)


class Reschedule(Flow):
    """The first host that a resize goes to refuses it."""

    HOSTS = dict(Flow.HOSTS, host5='cell1')

    def act(self, server):
        prep_resize = manager.ComputeManager._prep_resize
        hosts = []

        def refuse_once(compute, *args, **kwargs):
            hosts.append(compute.host)
            return (_fail if len(hosts) == 1 else prep_resize)(
                compute, *args, **kwargs)

        with fixtures.MonkeyPatch(
                'nova.compute.manager.ComputeManager._prep_resize',
                refuse_once):
            self.resize(server)


class _CrossCell(Flow):

    HOSTS = {'host1': 'cell1', 'host3': 'cell2'}

    def prepare(self):
        self.cloud.allow_cross_cell_resize()
        return super().prepare()


class CrossCellConfirm(_CrossCell, ResizeConfirm):
    pass


class CrossCellRevert(_CrossCell, ResizeRevert):
    pass


class Rebuild(Flow):

    def act(self, server):
        self.do(server, 'rebuild', imageRef=OTHER_IMAGE)


class Unshelve(Flow):

    def prepare(self):
        self.cloud.flags(shelved_offload_time=0)
        server = super().prepare()
        self.do(server, 'shelve')
        return server

    def act(self, server):
        self.do(server, 'unshelve')


class Archive(Flow):
    """An operator takes away what was deleted."""

    DELETES = True

    def __init__(self, cloud):
        super().__init__(cloud)
        # Who stays: a cell without any server is taken for the wrong one.
        cloud.boot(host='host1')

    def prepare(self):
        server = super().prepare()
        self.cloud.api.delete_server(server['id'])
        return server

    def act(self, server):
        self.cloud.archive()

    def go_on(self):
        self.cloud.archive()


def _fail(*args, **kwargs):
    raise RuntimeError('it was told to fail')
