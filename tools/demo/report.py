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

"""Prints the story.

On a terminal with colours and a progress line; into a file or a pipe the same
text, plain, with one line for each stage.
"""

import itertools
import sys

from rich import box
from rich import console
from rich import markup
from rich import table

from tools.demo import rows


class Report:
    """Everything that the demo prints.

    :param quiet: print nothing but what went wrong
    """

    def __init__(self, quiet=False):
        width = None if sys.stdout.isatty() else 110
        # The streams of now: Nova's noise is sent elsewhere later on.
        self._out = console.Console(
            file=sys.stdout, width=width, highlight=False, quiet=quiet)
        self._err = console.Console(
            file=sys.stderr, width=width, highlight=False, soft_wrap=True)
        self._status = self._out.status('')
        self._number = 0

    def __enter__(self):
        if self._out.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *exc_info):
        self._status.stop()

    def say(self, text):
        """Show what goes on right now."""
        if self._out.is_terminal:
            self._status.update(markup.escape(text))
        else:
            self._out.print('... %s' % text, markup=False)

    def title(self, text):
        self._out.print()
        self._out.print(text, style='bold', markup=False)

    def step(self, step):
        """Print a Step: answers, rows, and whether the promises are kept."""
        self._number += 1
        self._out.print()
        self._out.rule('[bold]%s. %s' % (self._number, step.name),
                       align='left', characters='-')
        self._out.print(step.what, style='italic', markup=False)
        self._answers(step)
        self._rows(step)
        self._promises(step)

    def _answers(self, step):
        answers = table.Table.grid(padding=(0, 2))
        for answer, remark in step.answers:
            path = answer.path
            for uuid, name in step.servers.items():
                path = path.replace(uuid, '{%s}' % name)
            answers.add_row(
                '  %s' % markup.escape('%s %s' % (answer.method, path)),
                str(answer.status),
                markup.escape('; '.join(
                    filter(None, [_server(answer.server), remark]))))
        if step.answers:
            self._out.print(answers)

    def _rows(self, step):
        if not step.found:
            self._out.print('  No row in any database.')
            return
        found = table.Table(box=box.SIMPLE_HEAD)
        for name in ('database', 'table', 'server', 'row'):
            found.add_column(name)
        last = None
        for row in sorted(step.found, key=lambda row: rows.order(
                row.database)):
            found.add_row(
                row.database if row.database != last else '',
                row.table, step.servers[row.server], markup.escape(row.text),
                style='cyan' if row.table in rows.PLUGIN else None)
            last = row.database
        self._out.print(found)

    def _promises(self, step):
        promises = table.Table.grid(padding=(0, 2))
        for promise in step.promises:
            promises.add_row(
                '[green]  kept[/]' if promise.kept else
                '[bold red]  BROKEN[/]', markup.escape(promise.text))
        self._out.print(promises)

    def comparison(self, with_plugin, stock):
        """Print what stood where, on stock Nova and with the plugin.

        :param with_plugin: what measure() returned for each step
        :param stock: the same of the run on stock Nova
        """
        self.title('The same story on stock Nova, measured in a second run: '
                   'what stands where')
        compared = table.Table(box=box.SIMPLE_HEAD)
        compared.add_column('step')
        compared.add_column('stock Nova')
        compared.add_column('with nova-cells-persist')
        lines = [(theirs['name'], _measured(theirs), _measured(ours))
                 for theirs, ours in zip(stock, with_plugin)]
        # Steps that leave everything as it was share a line.
        for measured, steps in itertools.groupby(
                lines, key=lambda line: line[1:]):
            compared.add_row(
                ',\n'.join(step[0] for step in steps),
                *(markup.escape(text) for text in measured),
                end_section=True)
        self._out.print(compared)
        self._out.print(
            'With every server deleted and archived, stock Nova still has: %s.'
            '\nWith the plugin it has: %s.' % (
                _measured(stock[-1]), _measured(with_plugin[-1])),
            style='bold', markup=False)

    def done(self, text):
        self._out.print(text, style='bold green', markup=False)

    def problem(self, text):
        """Print one sentence on what went wrong, past any quiet."""
        self._status.stop()
        self._err.print(text, style='bold red', markup=False)


def measure(step):
    """What a Step contributes to the comparison, fit for JSON."""
    return {'name': step.name, 'rows': step.summary(), 'read': step.read,
            'untruths': step.untruths()}


def _measured(measured):
    lines = ['%s: %s' % (database, tables)
             for database, tables in measured['rows']]
    if measured['read']:
        lines.append('answered from: %s' % ', '.join(measured['read']))
    lines.extend(measured['untruths'])
    return '\n'.join(lines) or 'nothing'


def _server(server):
    """What the API says of a server, in short; '' if it says nothing."""
    if 'status' not in server:
        return ''
    # While a server builds it is in no zone yet, but may be pinned to one.
    zone = (server.get('OS-EXT-AZ:availability_zone') or
            '%s (pinned)' % server.get('pinned_availability_zone'))
    return '%s: %s, flavor %s, image %s, host %s, zone %s' % (
        server['name'], server['status'], server['flavor']['original_name'],
        server['image']['id'][:8],
        server.get('OS-EXT-SRV-ATTR:host') or '-', zone)
