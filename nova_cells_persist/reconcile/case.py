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

"""What all databases know of one server, beside each other."""

import dataclasses
import datetime
from typing import Any

#: Of a Stream of db/census.py, which decides what attributes it has.
Row = Any


@dataclasses.dataclass(slots=True)
class Case:
    """One server, or what is left of it.

    Rows are of the streams of db/census.py; cells are the ids that mappings
    have.

    :ivar uuid: of the server
    :ivar names: {cell: what it is called}
    :ivar mapping: a row of ``mapping``; None if it is not mapped, not even
        to no cell
    :ivar cell: the cell that it is mapped to, None if to none
    :ivar nova_spec: the JSON in Nova's own row, None if there is none
    :ivar group: the uuid of its server group, or None
    :ivar waiting: whether the API database has revisions of it
    :ivar build: a row of ``build``; None if the plugin has none
    :ivar mirror: a row of ``mirror``; None if Nova has none
    :ivar damage: {name of a table: why its row of the build cannot be read},
        of those that cannot
    :ivar saved_spec: the JSON of the newest revision in the API database that
        can be read, of a build that cannot; None if there is none
    :ivar instances: {cell: row of ``instance``}, deleted ones too
    :ivar flavor: the id of the flavor that Nova shows for it, None as long as
        nobody has looked; it is read only where it may differ from that in
        the row of the instance
    :ivar zone: the availability zone that its host is in, likewise
    :ivar moves: {cell: status of its last migration to another cell}, of the
        cells in which it is not deleted, if these are several; of its cell,
        if it is to be confirmed or reverted after such a move
    :ivar strays: the cells that have revisions of it, and no instance
    :ivar since: when something has to be written to be recent; None if
        nothing is
    :ivar recent: whether something of it was written so lately that all of
        it may be about to change
    """

    uuid: str
    names: dict[int, str] = dataclasses.field(default_factory=dict)
    mapping: Row | None = None
    cell: int | None = None
    nova_spec: str | None = None
    group: str | None = None
    waiting: bool = False
    build: Row | None = None
    mirror: Row | None = None
    damage: dict[str, Exception] = dataclasses.field(default_factory=dict)
    saved_spec: str | None = None
    instances: dict[int, Row] = dataclasses.field(default_factory=dict)
    flavor: int | None = None
    zone: str | None = None
    moves: dict[int, str | None] = dataclasses.field(default_factory=dict)
    strays: set[int] = dataclasses.field(default_factory=set)
    since: datetime.datetime | None = None
    recent: bool = False

    def add(self, name, cell, row):
        """Take in one row.

        :param name: of its stream
        :param cell: where it was read, None for the API database
        """
        if row.recent:
            self.recent = True
        if name == 'instance':
            self.instances[cell] = row
        elif name == 'mapping':
            self.mapping = row
            self.cell, self.nova_spec = row.cell_id, row.spec
        elif name == 'spec':
            self.nova_spec = row.spec
        elif name == 'member':
            self.group = row.group
        elif name == 'waiting':
            self.waiting = True
        elif name == 'stray':
            self.strays.add(cell)
        else:   # a build, or its mirror
            setattr(self, name, row)

    @property
    def instance(self) -> Row | None:
        """The instance in that cell, None if it is not there."""
        return None if self.cell is None else self.instances.get(self.cell)

    @property
    def is_known(self) -> bool:
        """Whether any database has anything of it."""
        return bool(self.mapping or self.nova_spec is not None or
                    self.group or self.waiting or self.build or
                    self.mirror or self.instances or self.strays)

    @property
    def may_land(self) -> bool:
        """Whether it was mapped so lately that it may be landing."""
        return bool(self.mapping and self.mapping.may_land)

    @property
    def in_flight(self) -> bool:
        """Whether Nova's API shows it as a build, if it has no cell."""
        return bool(self.mirror or self.build and self.build.is_build)

    @property
    def accepted_at(self) -> datetime.datetime | None:
        """When the build was accepted, a datetime; None if there is none."""
        build = self.mirror or self.build
        return None if build is None else build.created_at

    def named(self, cell: int) -> str:
        """Return a cell in words."""
        return 'cell %s' % self.names.get(cell, cell)

    def alive(self) -> list[int]:
        """Return the cells in which it is not deleted, a list."""
        return [cell for cell, instance in self.instances.items()
                if not instance.deleted]

    def never_ran(self, cell: int) -> bool:
        """Whether no host has ever had the instance in a cell."""
        instance = self.instances[cell]
        return instance.host is None and not instance.was_launched

    def copies(self) -> set[int]:
        """Return the cells that have revisions of it, a set."""
        return self.strays | {cell for cell, instance in
                              self.instances.items() if instance.revision}
