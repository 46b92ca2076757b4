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
import collections
import contextlib
import os
import subprocess
import sys
import time

import rich.console
import rich.table

from tools.onebox import cloud as clouds
from tools.onebox import comparison
from tools.onebox import drills
from tools.onebox import errors
from tools.onebox import place as places
from tools.onebox import tempest as tempests
from tools import run_tests

FOLDER = os.path.join(places.ROOT, '.cloud')
NOVA = '34.0.0'
FIRST_PORT = 21700

console = rich.console.Console(highlight=False, soft_wrap=True)


@contextlib.contextmanager
def progress(name):
    """Show that a step is under way, then how long it took."""
    began = time.monotonic()
    with console.status(name):
        yield
    console.print('%-36s %6.1f s' % (name, time.monotonic() - began))


def cache(args):
    """Return the folder of the virtual environments, which outlive a cloud."""
    return os.path.join(args.folder, 'environments')


def found(args):
    """Return the cloud that is there.

    :raises: NoCloud
    """
    return clouds.Cloud(places.known(args.folder))


def up(args):
    began = time.monotonic()
    cloud = clouds.Cloud(places.new(
        args.folder, args.first_port, args.nova, args.stock))
    bring_up(cloud, args)
    status(args)
    console.print('Nova %s, %s: up in %.0f s.' % (
        cloud.place.nova, describe(args.stock), time.monotonic() - began))


def bring_up(cloud, args):
    """Bring a cloud up, or leave nothing of it running."""
    cloud.begin()
    try:
        for name, step in cloud.steps(cache(args)):
            with progress(name):
                step()
    except BaseException:
        with progress('stopping'):
            cloud.down()
        raise


def describe(stock):
    return 'stock' if stock else 'with the plugin'


def status(args):
    cloud = found(args)
    table = rich.table.Table('service', 'pid', 'port', 'RSS MB', 'PSS MB',
                             box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = 'right'
    total = [0, 0]
    gone = []
    for name in cloud.processes.names():
        process = cloud.processes.find(name)
        if process is None:
            gone.append(name)
            continue
        memory = [taken >> 20 for taken in cloud.processes.memory(name)]
        total = [sum(pair) for pair in zip(total, memory)]
        port = (str(cloud.place.port(name))
                if name in places.LISTENERS else '')
        table.add_row(name, str(process.pid), port, *map(str, memory))
    table.add_row('in all', '', '', *map(str, total))
    console.print(table)
    for name in gone:
        console.print('%s has ended: see %s' % (name, cloud.place.log(name)))
    return 1 if gone else 0


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
    with progress('stopping'):
        cloud.down()


def tempest(args):
    outcome = run_parts(args, [tempests.Part('chosen', regex)
                               for regex in args.regex])
    if args.json:
        run_tests.write_json(args.json, outcome.counts(),
                             seconds=round(outcome.seconds))
    console.print(run_tests.describe(outcome.counts()))
    return 0 if outcome.ok else 1


def run_parts(args, parts=None):
    """Run tests on the cloud that is up, all if no parts are given."""
    runner = tempests.Tempest(found(args), cache(args))
    with progress('packages'):
        runner.prepare()
    total = run_tests.Run()
    for part in parts or tempests.PARTS:
        total.add(run_part(runner, part))
    return total


def run_part(runner, part):
    """Run some of the tests, show them pass, and say which did not."""
    counts = collections.Counter()
    with console.status(part.name) as shown:
        def seen(test, verdict):
            counts[verdict] += 1
            shown.update('%s: %d passed, %d failed, %d skipped, %s' % (
                part.name, *[counts[name] for name in run_tests.VERDICTS],
                short(test)))
        outcome = runner.run(part, seen)
    console.print('%s: %s, %.0f s' % (
        part.name, run_tests.describe(outcome.counts()), outcome.seconds))
    for test in outcome.failed():
        console.print('  failed: %s\n    %s' % (
            short(test), outcome.reasons[test]), markup=False)
    return outcome


def short(test):
    """Return the id of a test without its uuid and its attributes."""
    return test.partition('[')[0]


def accept(args):
    """Run all tests on stock Nova, then with the plugin, and compare."""
    ok = True
    for version in args.nova or [NOVA]:
        runs = {}
        for stock in (True, False):
            cloud = clouds.Cloud(places.new(
                args.folder, args.first_port, version, stock))
            console.print('== Nova %s, %s' % (version, describe(stock)))
            bring_up(cloud, args)
            try:
                runs[describe(stock)] = run_parts(args)
            finally:
                down(args)
        ok = compare(version, *runs.items()) and ok
    return 0 if ok else 1


def compare(version, stock, plugin):
    """Show two runs side by side, and whether the second is as good.

    :param stock: a pair of a name and a Run
    :param plugin: another
    """
    table = rich.table.Table(
        'Nova ' + version, *run_tests.VERDICTS, 'seconds', box=None,
        pad_edge=False)
    for name, run in (stock, plugin):
        table.add_row(name, *map(str, run.counts().values()),
                      '%.0f' % run.seconds)
    console.print(table)
    verdicts = stock[1].verdicts, plugin[1].verdicts
    for test, was, now in comparison.differences(*verdicts):
        console.print('  %s -> %s: %s' % (was, now, short(test)), markup=False)
    spoilt = comparison.worse(*verdicts)
    console.print('%d tests are worse with the plugin.' % len(spoilt))
    return plugin[1].count('passed') > 0 and not spoilt


def drill(args):
    cloud = found(args)
    verdicts = {name: play(cloud, name)
                for name in args.name or drills.DRILLS}
    table = rich.table.Table('drill', 'kept', 'broken', 'seconds', 'verdict',
                             box=None, pad_edge=False)
    for name, (checks, seconds) in verdicts.items():
        broken = sum(1 for check in checks if not check.kept)
        table.add_row(name, str(len(checks) - broken), str(broken),
                      '%.0f' % seconds, 'broken' if broken else 'kept')
    console.print(table)
    return 0 if all(check.kept for checks, _ in verdicts.values()
                    for check in checks) else 1


def known_drill(name):
    if name not in drills.DRILLS:
        raise argparse.ArgumentTypeError('there is no %s; there are %s' % (
            name, ', '.join(drills.DRILLS)))
    return name


def play(cloud, name):
    """Play a drill, and show what was promised and what was kept."""
    console.print('== %s: %s' % (name, drills.DRILLS[name].title))
    checks, seconds = drills.play(
        cloud, name, lambda line: console.print('   ' + line, markup=False))
    for check in checks:
        console.print('  %s %s' % (
            'kept  ' if check.kept else 'BROKEN', check.promise) + (
                ' (%s)' % check.detail if check.detail else ''), markup=False)
    return checks, seconds


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
    except errors.CloudError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == '__main__':
    sys.exit(main())
