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

"""nova-cells-persist db: the tables of the plugin, in every database."""

import functools
import logging

from cliff import command
from cliff import lister

from nova_cells_persist.cmd import main
from nova_cells_persist.db import reason
from nova_cells_persist import exception

LOG = logging.getLogger(__name__)


class _Schemas:
    """Which databases a command is about, and how it goes through them."""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--api', action='store_true',
            help='Only the API database (and the cells given with --cell).')
        parser.add_argument(
            '--cell', metavar='NAME', action='append', default=[],
            help='Only the database of the cell of that name or uuid; may be '
                 'given several times.')
        return parser

    def for_each(self, chosen, function):
        """Call function(schema) for each database that was asked for.

        One that cannot be used does not keep the others from theirs: run()
        names it in the end.

        :param chosen: as of _chosen()
        :returns: an iterator of (schema name, what the function returned)
        """
        for name, open_schema in chosen:
            try:
                yield name, function(open_schema())
            except exception.CellsPersistException as exc:
                self._failed.append(exc)
            except Exception as exc:
                # Of the driver, of SQLAlchemy, oslo.db or an engine of
                # migrations: whatever it is, it is about this database.
                LOG.debug('%s: %s', name, exc, exc_info=True)
                self._failed.append(exception.DatabaseError(
                    database=name, reason=reason.of(exc)))

    def run(self, parsed_args):
        """Run the command.

        :raises: SeveralErrors with all databases that could not be used,
            after the output about the others
        """
        self._failed = []
        status = super().run(parsed_args)
        if self._failed:
            raise exception.SeveralErrors(errors=self._failed)
        return status


def _chosen(args):
    """Return (name, function that opens the Schema) of each database."""
    from nova_cells_persist.db import database
    from nova_cells_persist.db import migration
    if database.is_cell_level():
        if args.api or args.cell:
            raise exception.NoAPIDatabase()
        return _own_cell()
    chosen = []
    if args.api or not args.cell:
        chosen.append((database.API_DATABASE, migration.api_schema))
    if args.cell or not args.api:
        chosen.extend(_cells(args.cell))
    return chosen


def _own_cell():
    from nova import context
    from nova_cells_persist.db import database
    from nova_cells_persist.db import migration
    admin = context.get_admin_context()
    return [(database.OWN_DATABASE, lambda: migration.cell_schema(admin))]


def _cells(wanted):
    from nova import context
    from nova_cells_persist.db import cell_mapping
    from nova_cells_persist.db import database
    from nova_cells_persist.db import migration
    admin = context.get_admin_context()
    try:
        mappings = cell_mapping.get_all(admin)
    except Exception as exc:
        raise exception.DatabaseError(
            database='list of cells in the API database',
            reason=reason.of(exc))
    for name in wanted:
        cell_mapping.named(mappings, name)
    return [(database.name_of(cell),
             functools.partial(migration.mapped_schema, cell))
            for cell in mappings
            if not wanted or {cell.name, cell.uuid} & set(wanted)]


class Sync(_Schemas, command.Command):
    """Make the tables, or bring them to the version that this code needs.

    Run it after "nova-manage api_db sync" and "nova-manage db sync", and
    again after each upgrade of the plugin or of Nova. It does nothing where
    nothing is to be done.
    """

    def take_action(self, parsed_args):
        def sync(schema):
            return schema.sync(), schema.needed

        for name, (before, after) in self.for_each(_chosen(parsed_args), sync):
            self.app.stdout.write(
                '%s: %s\n' % (name, 'is at version %s' % after
                              if before == after else
                              'brought from version %s to version %s' %
                              (before or 'none', after)))


class Version(_Schemas, lister.Lister):
    """Show which version the tables are at in each database."""

    def take_action(self, parsed_args):
        found = self.for_each(
            _chosen(parsed_args),
            lambda schema: (schema.version() or 'none', schema.needed))
        return (('Database', 'Version', 'Needed'),
                [(name,) + versions for name, versions in found])


class Check(_Schemas, lister.Lister):
    """Show where the tables differ from what this code expects.

    The exit status is 1 if they do anywhere, 0 if they agree.
    """

    def take_action(self, parsed_args):
        found = self.for_each(_chosen(parsed_args),
                              lambda schema: schema.differences())
        rows = [(name, difference) for name, differences in found
                for difference in differences]
        self._differ = bool(rows)
        return ('Database', 'Difference'), rows

    def run(self, parsed_args):
        return super().run(parsed_args) or (
            main.FINDINGS if self._differ else 0)


class Drop(_Schemas, command.Command):
    """Drop the tables with all that is in them, to remove the plugin.

    Switch the plugin off in the nova.conf of every service first and restart
    them; in that of nova-manage afterwards, for archive_deleted_rows ends at
    a table that it does not know. Nova's own tables are left alone. Nothing
    is dropped anywhere if a database has builds in flight that Nova has no
    row of, or pending revisions, unless --force.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('--yes', action='store_true',
                            help='Do not ask.')
        parser.add_argument(
            '--force', action='store_true',
            help='Drop them whatever would be lost.')
        return parser

    def take_action(self, parsed_args):
        chosen = _chosen(parsed_args)
        if not parsed_args.force:
            chosen = self._without_loss(chosen)
        if chosen and not parsed_args.yes and not self._confirmed(chosen):
            raise exception.NotConfirmed()
        for name, dropped in self.for_each(
                chosen, lambda schema: schema.drop()):
            self.app.stdout.write(
                '%s: %s\n' % (name, 'dropped ' + ', '.join(dropped)
                              if dropped else 'has no table of the plugin'))

    def _without_loss(self, chosen):
        """Return those of the databases that could be looked at.

        :raises: SeveralErrors if one of them has what nothing else has
        """
        found = list(self.for_each(
            chosen, lambda schema: (schema, schema.only_here())))
        lost = [exception.OnlyHere(database=name, what=', '.join(
            '%d %s' % (number, what) for what, number in only_here.items()))
            for name, (_, only_here) in found if only_here]
        if lost:
            raise exception.SeveralErrors(errors=lost + self._failed)
        return [(name, lambda schema=schema: schema)
                for name, (schema, _) in found]

    def _confirmed(self, chosen):
        from nova_cells_persist.db import models
        self.app.stdout.write(
            'The tables %s in the %s will be dropped, with every revision of '
            'every request spec, and every build, that is in them. Type '
            '"yes" to drop them: ' % (
                ', '.join(sorted(models.TABLE_NAMES)),
                ', '.join(name for name, _ in chosen)))
        self.app.stdout.flush()
        return self.app.stdin.readline().strip().lower() == 'yes'
