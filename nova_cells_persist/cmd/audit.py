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

"""nova-cells-persist audit, heal, purge and undo."""

import collections
import itertools
import operator

from cliff import command
from cliff import lister
from oslo_utils import timeutils

from nova_cells_persist.cmd import main
from nova_cells_persist.cmd import options
from nova_cells_persist import exception
from nova_cells_persist.reconcile import codes


class _OverServers(lister.Lister):
    """A command that goes through all servers."""

    older_than = '1h'

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        options.add_older_than(
            parser, self.older_than, 'Only what nothing has touched for that '
            'long')
        options.add_sleep(parser)
        parser.add_argument(
            '--server', metavar='UUID',
            help='Only that server.')
        parser.add_argument(
            '--after', metavar='UUID', default='',
            help='Only servers whose uuid comes after that one: where a run '
                 'was interrupted.')
        parser.add_argument(
            '--empty-cell', metavar='NAME', action='append', default=[],
            help='Believe that the cell of that name or uuid has no server, '
                 'though some are mapped to it; may be given several times.')
        parser.add_argument(
            '--workers', metavar='N', type=options.positive,
            help='How many processes look. Default: one for each processor '
                 'if there are many servers, else one.')
        parser.add_argument(
            '--show', metavar='N', type=options.positive, default=1000,
            help='List no more than that many; all are counted. '
                 'Default: %(default)s.')
        return parser

    def take_action(self, parsed_args):
        from nova import context
        from nova_cells_persist.reconcile import audit
        self._counts = collections.Counter()
        self._status = 0
        self._shown = []
        self._last = parsed_args.after
        self.since = timeutils.utcnow() - parsed_args.older_than
        self.cloud = audit.Cloud(context.get_admin_context(),
                                 parsed_args.empty_cell)
        self.begin(parsed_args)
        try:
            self._look(parsed_args)
        except KeyboardInterrupt:
            self._status = main.FINDINGS
            self.say('Interrupted. To go on there: --after %s' % self._last)
        finally:
            self.end()
        self.say('%s.' % (', '.join('%d %s' % (count, what) for what, count
                                    in sorted(self._counts.items())) or
                          'Nothing found'))
        return self.columns, self._shown

    def _look(self, args):
        servers = 1 if args.server else self.cloud.number_of_servers()
        with self.app.progress(servers) as bar:
            for lot in self._lots(args, servers):
                for uuid, found in itertools.groupby(
                        lot.found, operator.attrgetter('uuid')):
                    self.look_at(args, uuid, list(found))
                    self._last = uuid
                self._last = lot.last
                bar.update(lot.servers)

    def _lots(self, args, servers):
        from nova_cells_persist.reconcile import search
        wanted = self.wanted(args)
        if not args.server:
            return search.search(self.cloud, servers, wanted, args.after,
                                 self.since, args.sleep, args.workers)
        case = self.cloud.case(args.server, self.since)
        return [search.Lot(1, case.uuid, [
            finding for finding in self.cloud.findings(case)
            if finding.code in wanted])]

    def wanted(self, args):
        """Return the codes that are looked for."""
        return frozenset(codes.MEANINGS)

    def begin(self, args):
        """Prepare for it."""

    def look_at(self, args, uuid, found):
        """Do it, with what was found about one server.

        :param found: a list of Finding
        """

    def end(self):
        """Clean up after it."""

    def tell(self, args, row, what):
        """Take a row into the list, and count it."""
        self._counts[what] += 1
        if len(self._shown) < args.show:
            self._shown.append(row)

    def worsen(self, status):
        """Make the exit status no better than that."""
        self._status = max(self._status, status)

    def say(self, text):
        """Say what is no part of the output."""
        self.app.stderr.write(text + '\n')

    def run(self, parsed_args):
        return super().run(parsed_args) or self._status


def _code(text):
    return options.one_of(codes.MEANINGS, text)


class _OfCodes(_OverServers):

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'codes', metavar='CODE', nargs='*', type=_code,
            help='What to look for; everything if none is given. %s.' %
            '; '.join('%s: %s' % each for each in codes.MEANINGS.items()))
        return parser

    def wanted(self, args):
        """Return the codes that were asked for."""
        return frozenset(args.codes or codes.MEANINGS)


class Audit(_OfCodes):
    """Find what is wrong, in the API database and in every cell.

    Nothing is changed. Each finding has a code, what proves it, and what
    "heal" would do about it. The exit status is 1 if there is any.
    """

    columns = 'Code', 'Server', 'Evidence', 'Repair'

    def look_at(self, args, uuid, found):
        for finding in found:
            self.tell(args, finding[:4], finding.code)
            self.worsen(main.FINDINGS)


class _Mending(_OverServers):

    columns = 'Code', 'Server', 'Evidence', 'Repair', 'Result'

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--yes', action='store_true',
            help='Do it. Without this it is only said what would be done.')
        parser.add_argument(
            '--undo-file', metavar='PATH',
            help='Where what is removed or changed is written first. '
                 'Default: a new file in the current folder.')
        return parser

    def begin(self, args):
        from nova_cells_persist.reconcile import undo
        self._journal = undo.Journal(args.undo_file)

    def look_at(self, args, uuid, found):
        if not args.yes:
            for finding in found:
                self.tell(args, finding[:4] + ('proposed',),
                          '%s proposed' % finding.code)
                self.worsen(main.FINDINGS)
            return
        from nova_cells_persist.reconcile import repair
        for finding, reason in repair.mend(
                self.cloud, uuid, self.wanted(args), self.since,
                self._journal):
            self.tell(args, finding[:4] + (
                'mended' if reason is None else str(reason),),
                '%s %s' % (finding.code,
                           'mended' if reason is None else 'not mended'))
            if reason is not None:
                self.worsen(main.FINDINGS if isinstance(
                    reason, (exception.ByHand, exception.ServerBusy))
                    else main.ERRORS)

    def end(self):
        self._journal.close()
        if self._journal.is_written:
            self.say('All of it can be put back with: nova-cells-persist '
                     'undo %s' % self._journal.path)


class Heal(_Mending, _OfCodes):
    """Mend what audit finds.

    Without --yes it only says what it would do, and the exit status is 1 if
    that is anything. Each finding is checked again before it is mended.
    """


class Purge(_Mending):
    """Remove what belongs to no server any more.

    Request specs, revisions, mappings and builds that were left behind. As
    "heal" does it, without --yes it only says what it would do.
    """

    older_than = '90d'

    def wanted(self, args):
        return codes.RUBBISH


class Undo(command.Command):
    """Put back what "heal" or "purge" have removed or changed.

    The last repair in the file comes first. A server that was changed since
    its repair is left as it is, and named, unless --force.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('file', metavar='FILE',
                            help='The undo file of that run.')
        parser.add_argument(
            '--force', action='store_true',
            help='Put back the rows of servers that were changed since, too, '
                 'and of those whose repair was cut short.')
        return parser

    def take_action(self, parsed_args):
        from nova import context
        from nova_cells_persist.reconcile import audit
        from nova_cells_persist.reconcile import undo
        entries = undo.read(parsed_args.file)
        cloud = audit.Cloud(context.get_admin_context())
        failed = []
        for entry in entries:
            try:
                done = undo.undo(cloud, entry, parsed_args.force)
                self.app.stdout.write('%s %s: %s\n' % (
                    entry['uuid'], entry['code'],
                    'put back' if done else 'is as it was'))
            except exception.ChangedSince as exc:
                failed.append(exc)
        if failed:
            raise exception.SeveralErrors(errors=failed)
