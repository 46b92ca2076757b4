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

"""The command ``tools/cloud``."""

import argparse
import contextlib
import os
import subprocess
import sys
import time

import keystoneauth1.exceptions
import openstack

from tools import errors as tools_errors
from tools.onebox import cloud as clouds
from tools.onebox import drills
from tools.onebox import errors
from tools.onebox import place as places
from tools.onebox import report
from tools.onebox import tempest as tempests
from tools import run_tests

FOLDER = os.path.join(places.ROOT, '.cloud')
NOVA = '34.0.0'
FIRST_PORT = 21700


def cache(args):
    """Return the folder of the virtual environments, which outlive a cloud."""
    return os.path.join(args.folder, 'environments')


def found(args):
    """Return the cloud that was brought up.

    :raises: NoCloud
    """
    return clouds.Cloud(places.known(args.folder))


def running(args):
    """Return the cloud that is up.

    :raises: NoCloud
    """
    cloud = found(args)
    if not cloud.processes.running():
        raise errors.NoCloud(args.folder)
    return cloud


def up(args):
    began = time.monotonic()
    cloud = clouds.Cloud(places.new(
        args.folder, args.first_port, args.nova, args.stock))
    bring_up(cloud, args)
    report.services(cloud)
    report.say('%s: up in %.0f s.' % (
        describe(args.nova, args.stock), time.monotonic() - began))


def bring_up(cloud, args):
    """Bring a cloud up, or leave nothing of it running."""
    cloud.begin()
    try:
        for name, step in cloud.steps(cache(args)):
            with report.progress(name):
                step()
    except BaseException:
        with report.progress('stopping'):
            cloud.down()
        raise


def describe(nova, stock):
    return 'Nova %s, %s' % (nova, 'stock' if stock else 'with the plugin')


def status(args):
    return 1 if report.services(found(args)) else 0


def logs(args):
    cloud = found(args)
    path = cloud.place.log(args.service)
    if not os.path.exists(path):
        raise errors.NoService(args.service, sorted(
            name.removesuffix('.log')
            for name in os.listdir(cloud.place.path('log'))))
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run(['tail', '-n', str(args.lines),
                        *(['-f'] if args.follow else []), path])


def down(args):
    cloud = found(args)
    with report.progress('stopping'):
        cloud.down()


def tempest(args):
    outcome = run_parts(args, [tempests.Part('chosen', regex)
                               for regex in args.regex])
    if args.json:
        run_tests.write_run(args.json, outcome)
    report.say(run_tests.describe(outcome.counts()))
    return 0 if outcome.ok else 1


def run_parts(args, parts=None):
    """Run tests on the cloud that is up, all if no parts are given."""
    runner = tempests.Tempest(running(args), cache(args))
    with report.progress('packages'):
        runner.prepare()
    total = run_tests.Run()
    for part in parts or tempests.PARTS:
        with report.tests(part.name) as seen:
            run = runner.run(part, seen)
        report.outcome(part.name, run)
        total.add(run)
    return total


def accept(args):
    """Run all tests on stock Nova, then with the plugin, and compare."""
    spoilt = []
    for version in args.nova or [NOVA]:
        stock, plugin = [whole_run(args, version, stock)
                         for stock in (True, False)]
        spoilt += report.compared('Nova ' + version, stock, plugin)
        if not plugin.count('passed'):
            spoilt.append('all of Nova ' + version)
    return 1 if spoilt else 0


def whole_run(args, version, stock):
    """Run all tests on a cloud of their own, and keep what came of them."""
    cloud = clouds.Cloud(places.new(
        args.folder, args.first_port, version, stock))
    report.say('== ' + describe(version, stock))
    bring_up(cloud, args)
    try:
        run = run_parts(args)
    finally:
        down(args)
    run_tests.write_run(
        cloud.place.path('results', '%s-%s.json' % (
            version, 'stock' if stock else 'plugin')),
        run, verdicts=run.verdicts)
    return run


def drill(args):
    cloud = running(args)
    played = {}
    for name in args.name or drills.DRILLS:
        report.say('== %s: %s' % (name, drills.DRILLS[name].title))
        played[name] = drills.play(
            cloud, name, lambda line: report.say('   ' + line), report.check)
    return 0 if report.drills(played) else 1


def known_drill(name):
    """Return a name that was given, if it is that of a drill."""
    if name not in drills.DRILLS:
        raise argparse.ArgumentTypeError('there is no %s; there are %s' % (
            name, ', '.join(drills.DRILLS)))
    return name


def hold(args):
    found(args).hold(args.service)


def release(args):
    found(args).release(args.service)


def parser():
    commands = argparse.ArgumentParser(
        prog='tools/cloud', description='A small OpenStack compute cloud of '
        'two cells on this machine, of released packages, with the plugin.')
    commands.add_argument(
        '--folder', default=os.environ.get('CLOUD_FOLDER', FOLDER),
        type=os.path.abspath,
        help='where it keeps everything (default: $CLOUD_FOLDER, or .cloud '
        'in this tree)')
    verbs = commands.add_subparsers(required=True, metavar='COMMAND')

    def verb(function, text):
        added = verbs.add_parser(function.__name__, help=text,
                                 description=text + '.')
        added.set_defaults(function=function)
        return added

    added = verb(up, 'Bring it up, anew')
    added.add_argument(
        '--nova', default=NOVA, metavar='VERSION',
        help='which Nova (default: %(default)s)')
    added.add_argument(
        '--stock', action='store_true', help='leave the plugin out')
    _first_port(added)
    verb(status, 'Show what runs, with its memory')
    added = verb(logs, 'Show what a service has logged')
    added.add_argument('service')
    added.add_argument('-n', '--lines', default='40')
    added.add_argument('-f', '--follow', action='store_true',
                       help='go on until Ctrl-C')
    added = verb(
        tempest, 'Run the compute tests of tempest, and those of the plugin')
    added.add_argument('regex', nargs='*', help='run what matches instead')
    added.add_argument('--json', metavar='FILE', help='write the counts here')
    added = verb(accept, 'Run all of them on stock Nova, then with the plugin,'
                 ' each on a cloud of its own, and compare')
    added.add_argument('--nova', action='append', metavar='VERSION',
                       help='may be given several times (default: %s)' % NOVA)
    _first_port(added)
    verb(drill, 'Break something, and see whether promises are kept'
         ).add_argument('name', nargs='*', type=known_drill,
                        help='%s; all if none is given' % ', '.join(
                            drills.DRILLS))
    verb(down, 'Stop what was started, and nothing else')
    verb(hold, 'Stop a service as it stands, so that a moment lasts'
         ).add_argument('service')
    verb(release, 'Let a service that was held go on'
         ).add_argument('service')
    return commands


def _first_port(command):
    command.add_argument(
        '--first-port', type=int, default=FIRST_PORT, metavar='PORT',
        help='of %d that are used, one after the other (default: '
        '%%(default)s)' % len(places.LISTENERS))


def main():
    args = parser().parse_args()
    # This package was found through it. What is started is to find the plugin
    # as it is installed, not this tree.
    os.environ.pop('PYTHONPATH', None)
    try:
        return args.function(args)
    except tools_errors.ToolError as error:
        print(error, file=sys.stderr)
        return 2
    except (keystoneauth1.exceptions.ClientException,
            openstack.exceptions.SDKException) as error:
        print('The cloud does not answer as it should, see "tools/cloud '
              'status": %s' % error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main())
