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

"""What can go wrong with the cloud, each with the sentence that is shown."""

from tools import errors


class CloudError(errors.ToolError):
    """Shown without a traceback."""


class NotInstalled(CloudError):
    """A program of the distribution is not there."""

    def __init__(self, program):
        super().__init__(
            'There is no %s, neither on PATH nor where distributions put it. '
            'bindep.txt names the packages, under [cloud].' % program)
        self.program = program


class PortTaken(CloudError):
    """Something listens already where a service of the cloud is to."""

    def __init__(self, service, port):
        super().__init__(
            'Port %d on 127.0.0.1, meant for %s, is in use. "tools/cloud '
            'status" shows whether that is a cloud of yours; otherwise give '
            'another --first-port.' % (port, service))
        self.service = service
        self.port = port


class NotStarted(CloudError):
    """A service has ended, or does not answer in time.

    :param lines: the last ones of what it logged, a list of str
    """

    def __init__(self, service, reason, log, lines):
        super().__init__('%s %s. The last lines of %s:\n\n%s' % (
            service, reason, log, '\n'.join('  ' + line for line in lines)))
        self.service = service


class NoCloud(CloudError):
    """The cloud is not up."""

    def __init__(self, folder):
        super().__init__(
            'No cloud runs in %s. "tools/cloud up" brings one up.'
            % folder)


class AlreadyUp(CloudError):
    """The cloud is up, or what is left of one."""

    def __init__(self, folder, names):
        super().__init__(
            'A cloud in %s runs already (%s). "tools/cloud down" stops it.'
            % (folder, ', '.join(names)))


class NoService(CloudError):
    """A service was named that the cloud does not have."""

    def __init__(self, name, names):
        super().__init__('The cloud has no service %s. It has: %s.' % (
            name, ', '.join(names)))


class TimedOut(CloudError):
    """Something that was waited for did not come."""

    def __init__(self, what, seconds, last):
        super().__init__('Waited %d s for %s. Last seen: %s' % (
            seconds, what, last))


class NoTest(CloudError):
    """Tempest has run no test."""

    def __init__(self, regex, log, lines):
        super().__init__(
            'No test matches %s, or tempest found none. The last lines of %s:'
            '\n\n%s' % (regex, log, '\n'.join('  ' + line for line in lines)))


class Refused(CloudError):
    """The API did not accept what it should have."""

    def __init__(self, what, status, body):
        super().__init__('%s was answered with HTTP %d: %s' % (
            what, status, body))


class NeedsPlugin(CloudError):
    """A drill is about what stock Nova does not have."""

    def __init__(self, drill):
        super().__init__(
            'The drill "%s" needs the plugin. The cloud that is up is of '
            'stock Nova: "tools/cloud down", then "up" without --stock.'
            % drill)
