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

"""A step of the story: what was answered, what stands where, what is promised.
"""

import dataclasses

from tools.demo import rows


@dataclasses.dataclass
class Promise:
    """One thing that must be true at a step."""

    text: str
    kept: bool


@dataclasses.dataclass
class Step:
    """What came of one step.

    :ivar answers: pairs of an Answer and a remark on it, '' for none
    :ivar servers: the names of the servers it is about, by their uuids
    :ivar found: the rows of these servers
    :ivar read: the tables that were read to answer, when the step is about
        that
    """

    name: str
    what: str
    answers: list
    servers: dict
    found: list
    promises: list
    read: list = dataclasses.field(default_factory=list)

    @property
    def broken(self):
        return [promise for promise in self.promises if not promise.kept]

    def untruths(self):
        """What a request spec says of a server and is not so, in words."""
        flavors = {row.server: row.flavor for row in self.found
                   if row.table == 'instances'}
        return ['the request spec says flavor %s, the server has %s' % (
                    row.flavor, flavors[row.server])
                for row in self.found if row.table == 'request_specs' and
                row.flavor != flavors.get(row.server, row.flavor)]

    def summary(self):
        """The rows in short: [[database, 'table, table x2, ...'], ...]."""
        lines = {}
        for row in self.found:
            tables = lines.setdefault(row.database, {})
            table = row.table + (' (deleted)' if row.deleted else '')
            tables.setdefault(table, []).append(row)
        return [[database, ', '.join(_in_short(table, tables[table])
                                     for table in tables)]
                for database, tables in sorted(
                    lines.items(), key=lambda line: rows.order(line[0]))]


def _in_short(table, found):
    revisions = sorted({row.revision for row in found if row.revision})
    servers = len({row.server for row in found})
    text = table
    if revisions:
        text += ' rev. %s' % revisions[0]
        if len(revisions) > 1:
            text += '-%s' % revisions[-1]
    if servers > 1:
        text += ' x%s' % servers
    return text
