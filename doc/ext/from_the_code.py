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

"""What pages have from the code, and from tools that may not have been run."""

import os

from docutils import nodes
from docutils.parsers.rst.directives import misc
from sphinx.util import docutils

from nova_cells_persist.reconcile import codes


class Findings(docutils.SphinxDirective):
    """A table of all findings, their meanings from the code.

    What "heal" does about each is the content, a list of fields named as the
    codes, in their order.
    """

    has_content = True

    def run(self):
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        repairs = {field[0].astext(): field[1].children
                   for field in parsed.findall(nodes.field)}
        if list(repairs) != list(codes.MEANINGS):
            raise self.error(
                'The findings are %s, and the page has %s.' % (
                    ', '.join(codes.MEANINGS), ', '.join(repairs)))
        rows = [_row(*(nodes.paragraph('', text) for text in (
            'Code', 'What is wrong', 'What "heal" does')))]
        rows += [_row(
            nodes.paragraph('', '', nodes.literal('', code)),
            nodes.paragraph('', meaning), *repairs[code])
            for code, meaning in codes.MEANINGS.items()]
        return [_table((25, 35, 40), rows)]


def _row(first, second, *third):
    return nodes.row('', nodes.entry('', first), nodes.entry('', second),
                     nodes.entry('', *third))


def _table(widths, rows):
    """Return a table, whose first row is its header."""
    group = nodes.tgroup('', *(nodes.colspec(colwidth=width)
                               for width in widths), cols=len(widths))
    group += nodes.thead('', rows[0])
    group += nodes.tbody('', *rows[1:])
    return nodes.table('', group, classes=['colwidths-given'])


class IncludeIfWritten(misc.Include):
    """As "include", of a file that a tool writes.

    The content stands there instead as long as the tool has not been run.
    """

    has_content = True

    def run(self):
        folder = os.path.dirname(self.state.document.current_source)
        if os.path.exists(os.path.join(folder, self.arguments[0])):
            return super().run()
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        return parsed.children


def setup(app):
    """Entry point of Sphinx."""
    app.add_directive('findings', Findings)
    app.add_directive('include-if-written', IncludeIfWritten)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
