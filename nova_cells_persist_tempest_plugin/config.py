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

"""Options of the section [cells_persist] of tempest.conf."""

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'cells_persist',
    title='Tests of nova-cells-persist',
    help='What the tests cannot ask the API of the cloud that they run in.')


def parse_cells(text):
    """Return the hosts of each cell: a dict of lists.

    :param text: ``cell1:host1,host2;cell2:host3,host4``
    """
    cells = {}
    for cell in filter(None, text.split(';')):
        name, _, hosts = cell.partition(':')
        cells[name.strip()] = [host.strip() for host in hosts.split(',')]
        if not all(cells[name.strip()]):
            raise ValueError('"%s" is not of the form cell:host,host' % cell)
    return cells


def parse_extra_specs(text):
    """Return a dict of what is written as ``key=value,key=value``."""
    specs = {}
    for spec in filter(None, text.split(',')):
        key, separator, value = spec.partition('=')
        if not separator:
            raise ValueError('"%s" is not of the form key=value' % spec)
        specs[key.strip()] = value.strip()
    return specs


OPTS = [
    cfg.BoolOpt(
        'enabled',
        default=True,
        help="""
Whether the plugin is switched on in the Nova of this cloud.

Most of what is tested is the contract of Nova itself, and stock Nova keeps it.
Turn this off to run the tests on stock Nova, for example to see whether a
failure has to do with the plugin: what stock Nova is known not to do is then
skipped, each with the promise that it breaks.
"""),
    cfg.Opt(
        'cells',
        type=parse_cells,
        default='',
        metavar='CELL:HOST,HOST;CELL:HOST,HOST',
        help="""
The cells and the hosts in each, as ``cell1:host1,host2;cell2:host3,host4``.

The API does not tell which host is in which cell. A server stays in its cell
when it is moved, so what is tested of moves is tested in the first two cells,
and skipped for a cell that has fewer than two hosts. Name two hosts of each:
the tests rely on there being exactly two that a server can be on.
"""),
    cfg.StrOpt(
        'hold_command',
        help="""
A command that stops the super-conductor where it stands, so that servers that
are accepted from then on stay without a cell: as long as a test needs to look
at them. ``kill -STOP`` of the process and its children does it.

The window in which a server has no cell is otherwise too short to be seen, and
nothing in the API can hold it open. Tests that need it are skipped if this is
not set. They run alone, since no server of anybody is built in the meantime;
each window is open for less than a minute.

It is split into words as by a shell, and run without one.
"""),
    cfg.StrOpt(
        'release_command',
        help="""
The command that lets the super-conductor go on again. It is run after each
test that has held it, whatever became of the test, and may be run when nothing
is held.
"""),
    cfg.IntOpt(
        'command_timeout',
        default=30, min=1,
        help="""
How many seconds each of the two commands may take. One that takes longer is
killed, and its test fails: raise it where it has to cross a slow connection.
"""),
    cfg.Opt(
        'refused_extra_specs',
        type=parse_extra_specs,
        default='',
        metavar='KEY=VALUE,KEY=VALUE',
        help="""
Extra specs of a flavor that the scheduler has a host for and that every host
then refuses. A resize to it fails after scheduling, on the host: only then is
a request spec saved that the server does not get.

For example ``pci_passthrough:alias=absent:1``, where ``[pci] alias`` in each
nova.conf has an alias of that name for a device that no host has, and
PciPassthroughFilter, which would notice that, is not enabled. Tests of such
failures are skipped if this is not set.
"""),
]
