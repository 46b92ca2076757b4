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

"""A terminal for the commands of a page, in a cloud of a test.

It runs what stands behind a "$" in a page and compares what that prints with
what the page shows. Uuids, times and names of undo files are as good as any
others, and so is the width of a table.

With RUNBOOKS=write in the environment what is printed is written into the page
instead.
"""

import argparse
import contextlib
import io
import json
import os
import re
import shlex
import string
import types
import warnings

import fixtures
import sqlalchemy as sa

from nova_cells_persist.cmd import status
from nova_cells_persist import conf

from tests.functional import command
from tests import pages

#: The uuid of the server of the examples.
EXAMPLE = '5c6e1d0a-9f0b-4a55-8d0e-2f4b7c1e93d8'

# What differs each time, and something as long that does not.
_UNLIKE = (
    (re.compile(r'undo-\d{8}T\d{6}\.\d{6}'), 'undo-file'),
    (re.compile(r'\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?'), 'time'),
    (re.compile('(?!%s)' % EXAMPLE +
                r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'), 'uuid'),
    (re.compile(r'(?<=[ -])[ -]+'), ''),
)


def alike(text):
    """Return a text without what differs each time."""
    for pattern, word in _UNLIKE:
        text = pattern.sub(word, text)
    return '\n'.join(line.rstrip() for line in text.splitlines()).rstrip()


class TerminalMixin(command.CommandMixin):
    """For a test case with the API and the databases of base.PluggedMixin."""

    #: The path of the page that is followed, below doc/source.
    PAGE = ('admin', 'runbooks.rst')

    def follow(self, section, first=0, last=None, **variables):
        """Run the blocks of a section of the page, one after the other.

        :param section: how its title begins
        :param first: the number of the first block
        :param last: the number of the one behind the last
        :param variables: of the shell; SERVER is shown as EXAMPLE
        """
        path = os.path.join(pages.SOURCE, *self.PAGE)
        found = [block for block in pages.blocks(path)
                 if block.section.startswith(section) and
                 block.language == 'console'][first:last]
        self.assertNotEqual([], found)
        # From the last one on: a page that is written keeps its lines.
        printed = [self._printed(block, variables) for block in found]
        for block, texts in reversed(list(zip(found, printed))):
            expected = [output for _, output in pages.commands(block)]
            if [*map(alike, texts)] == [*map(alike, expected)]:
                continue
            if os.environ.get('RUNBOOKS') != 'write':
                self.assertEqual('\n\n'.join(map(alike, expected)),
                                 '\n\n'.join(map(alike, texts)))
            pages.write(block, texts)

    def _printed(self, block, variables):
        server = variables.get('SERVER', EXAMPLE)
        variables = dict(variables, NOVA='', AUTH='X-Auth-Token: token')
        return [self._run(string.Template(text).safe_substitute(variables))
                .replace(server, EXAMPLE).rstrip()
                for text, _ in pages.commands(block)]

    def _run(self, line):
        """Run a command line and return what is printed."""
        words, jq = shlex.split(line), None
        if '|' in words:
            pipe = words.index('|')
            words, jq = words[:pipe], words[pipe + 2:]
        program = words[0].replace('-', '_')
        printed = getattr(self, '_program_' + program)(*words[1:])
        return _jq(jq, printed) if jq else printed

    def _program_nova_cells_persist(self, *argv):
        # Its undo file is written where it is.
        before = os.getcwd()
        os.chdir(self.useFixture(fixtures.TempDir()).path)
        try:
            with warnings.catch_warnings():
                # Which Python does not show outside of tests.
                warnings.simplefilter('ignore', DeprecationWarning)
                code, stdout, stderr = self.command(*argv)
        finally:
            os.chdir(before)
        self.assertIn(code, (0, 1), stderr)
        return stderr + stdout

    def _program_nova_cells_persist_status(self, *argv):
        self.assertEqual(('upgrade', 'check'), argv)
        stdout = io.StringIO()
        status._outcome.cache_clear()
        with contextlib.redirect_stdout(stdout), fixtures.MonkeyPatch(
                'nova_cells_persist.cmd.status._drivers',
                lambda: [conf.DRIVER]), fixtures.MonkeyPatch(
                    'nova_cells_persist.cmd.status._empty_cells',
                    list), fixtures.MonkeyPatch(
                    'oslo_upgradecheck.upgradecheck.CONF',
                    types.SimpleNamespace(
                        command=types.SimpleNamespace(json=False))):
            self.assertEqual(0, status.Checks().check())
        return stdout.getvalue()

    def _program_mysql(self, database, option, statement):
        self.assertEqual('-e', option)
        self.assertTrue(database.startswith('nova_'), database)
        cell = database[len('nova_'):]
        with self.engine(None if cell == 'api' else cell).connect() as conn:
            result = conn.execute(sa.text(statement.replace(':', '\\:')))
            return _as_table(result.keys(), result.all())

    def _program_curl(self, *argv):
        parser = argparse.ArgumentParser()
        parser.add_argument('-s', action='store_true')
        parser.add_argument('-H', dest='headers', action='append')
        parser.add_argument('-X', dest='method', default='GET')
        parser.add_argument('-d', dest='body')
        parser.add_argument('-o', dest='output')
        parser.add_argument('-w', dest='write', default='')
        parser.add_argument('url')
        args = parser.parse_args(argv)
        headers = dict(each.split(': ') for each in args.headers)
        version = headers.get('OpenStack-API-Version', 'compute 2.1')
        # What curl says of a body unless it is told.
        sent_as = headers.get('Content-Type', args.body and
                              'application/x-www-form-urlencoded')
        code, text = self.call_api(args.method, args.url, args.body,
                                   version.split()[1], sent_as)
        return ('' if args.output else text) + args.write.replace(
            '%{http_code}', str(code)).replace('\\n', '\n')

    def call_api(self, method, path, body, version, sent_as):
        """Send a request to nova-api.

        :param body: JSON, or None
        :param sent_as: the type that the request says its body has
        :returns: (the status of the answer, its text)
        """
        self.api.microversion = version
        response = self.api.api_request(
            path, method=method, body=body,
            headers={'Content-Type': sent_as})
        return response.status_code, response.text


def _as_table(columns, rows):
    """Return rows as the client of MySQL shows them on a terminal."""
    if not rows:
        return ''
    shown = [['NULL' if value is None else str(value) for value in row]
             for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *shown)]
    frame = '+%s+' % '+'.join('-' * (width + 2) for width in widths)

    def line(values, numbers):
        return '|%s|' % '|'.join(
            ' %s ' % (value.rjust(width) if is_number else value.ljust(width))
            for value, width, is_number in zip(values, widths, numbers))

    numbers = [isinstance(value, int) for value in rows[0]]
    return '\n'.join([
        frame, line(columns, [False] * len(widths)), frame,
        *(line(row, numbers) for row in shown), frame])


def _jq(words, text):
    """Do as jq does with a path such as ".servers[].name", and -r."""
    *options, path = words
    values = [json.loads(text)]
    for name, many in re.findall(r'\.(\w+)(\[\])?', path):
        values = [value[name] for value in values]
        if many:
            values = [each for value in values for each in value]
    return '\n'.join(value if '-r' in options and isinstance(value, str)
                     else json.dumps(value) for value in values)
