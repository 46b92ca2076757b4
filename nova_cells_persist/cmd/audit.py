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
import datetime
import itertools
import operator

from cliff import command
from cliff import lister
from oslo_utils import timeutils

from nova_cells_persist.cmd import main
from nova_cells_persist.cmd import options
from nova_cells_persist import exception
from nova_cells_persist.reconcile import codes

#: What lies at most between the mapping of a server to its cell and the
#: removal of its build. If that is gone before a conductor removes it, the
#: conductor takes the server for deleted by its owner, and deletes it.
LANDING = datetime.timedelta(seconds=60)

#: How many findings are listed.
SHOWN = 1000


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
            '--server', metavar='UUID', type=options.server_uuid,
            help='Only that server.')
        parser.add_argument(
            '--after', metavar='UUID', type=options.server_uuid,
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
            '--show', metavar='N', type=options.positive, default=SHOWN,
            help='List no more than that many; all are counted. '
                 'Default: %d.' % SHOWN)
        return parser

    def take_action(self, parsed_args):
        from nova import context
        from nova_cells_persist.reconcile import audit
        self._counts = collections.Counter()
        self._status = 0
        self._shown = []
        self._last = parsed_args.after
        self.since = timeutils.utcnow() - parsed_args.older_than
        self.cloud = audit.Cloud(
            context.get_admin_context(), parsed_args.empty_cell,
            landed_before=self.landed_before(parsed_args))
        self.begin(parsed_args)
        try:
            self._look(parsed_args)
        except KeyboardInterrupt:
            self.worsen(main.FINDINGS)
            self.say('Interrupted. %s' % self._where_to_go_on())
        except exception.EndOfRun as exc:
            if not self._shown:
                raise
            self.worsen(main.ERRORS)
            self.say('%s %s' % (exc, self._where_to_go_on()))
        finally:
            self.end()
        self.say('%s.' % (', '.join('%d %s' % (count, what) for what, count
                                    in sorted(self._counts.items())) or
                          'Nothing found'))
        return self.columns, self._shown

    def _where_to_go_on(self):
        return ('To go on there: --after %s' % self._last if self._last
                else 'Run it again to begin anew.')

    def _look(self, args):
        servers = (self.cloud.number_of_servers()
                   if args.server is None else 1)
        with self.app.progress(servers) as bar:
            for lot in self._lots(args, servers):
                for uuid, found in itertools.groupby(
                        lot.found, operator.attrgetter('uuid')):
                    self.look_at(args, uuid, list(found))
                    self._last = uuid
                self._last = lot.last
                bar.update(lot.servers)

    def _lots(self, args, servers):
        from nova_cells_persist.reconcile import audit
        from nova_cells_persist.reconcile import search
        wanted = self.wanted(args)
        if args.server is None:
            return search.search(self.cloud, servers, wanted,
                                 args.after or audit.FIRST, self.since,
                                 args.sleep, args.workers)
        case = self.cloud.case(args.server, self.since)
        if not case.is_known:
            raise exception.NothingOfServer(instance_uuid=args.server)
        return [search.Lot(1, case.uuid, [
            finding for finding in self.cloud.findings(case)
            if finding.code in wanted])]

    def wanted(self, args):
        """Return the codes that are looked for."""
        return frozenset(codes.MEANINGS)

    def landed_before(self, args):
        """Return when a server was mapped that has landed; None if any has.

        :returns: a datetime or None
        """
        return None

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
            self.tell(args, finding.shown, finding.code)
            self.worsen(main.FINDINGS)


#: What a repair leaves to others, and has not failed in.
_LEFT_TO_DO = (exception.ByHand, exception.ServerBusy,
               exception.AllocationsLeft)


def _outcome(reason):
    """Return in words as what a repair is counted."""
    if reason is None:
        return 'mended'
    if isinstance(reason, exception.AllocationsLeft):
        return 'mended, allocations left'
    return 'not mended'


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

    def landed_before(self, args):
        return timeutils.utcnow() - LANDING if args.server is None else None

    def begin(self, args):
        from nova_cells_persist.reconcile import journal
        self._journal = journal.Journal(args.undo_file)

    def look_at(self, args, uuid, found):
        if not args.yes:
            for finding in found:
                result = 'by hand' if finding.by_hand else 'proposed'
                self.tell(args, finding.shown + (result,),
                          '%s %s' % (finding.code, result))
                self.worsen(main.FINDINGS)
            return
        from nova_cells_persist.reconcile import repair
        for finding, reason in repair.mend(
                self.cloud, uuid, self.wanted(args), self.since,
                self._journal):
            self.tell(args, finding.shown + (
                'mended' if reason is None else str(reason),),
                '%s %s' % (finding.code, _outcome(reason)))
            if reason is not None:
                self.worsen(main.FINDINGS if isinstance(
                    reason, _LEFT_TO_DO) else main.ERRORS)

    def end(self):
        self._journal.close()
        if self._journal.has_changes:
            self.say('All of it can be put back with: nova-cells-persist '
                     'undo %s' % self._journal.path)


class Heal(_Mending, _OfCodes):
    """Mend what audit finds.

    Without --yes it only says what it would do, and the exit status is 1 if
    that is anything. Each finding is checked again before it is mended. The
    build of a server that came to its cell within this minute is left alone,
    unless it is named with --server: a conductor may be about to remove it.
    """


class Purge(_Mending):
    """Remove what belongs to no server any more.

    Request specs, revisions, mappings and builds that were left behind. As
    "heal" does it, without --yes it only says what it would do, and the build
    of a server that came to its cell within this minute is left alone.
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
                 'and of those whose repair was cut short. No server is '
                 'deleted from a cell, but for one that the repair has '
                 'written there.')
        parser.add_argument(
            '--undo-file', metavar='PATH',
            help='Where what --force overwrites is written first. Default: a '
                 'new file in the current folder.')
        return parser

    def take_action(self, parsed_args):
        from nova import context
        from nova_cells_persist.reconcile import audit
        from nova_cells_persist.reconcile import journal as files
        entries = files.read(parsed_args.file)
        cloud = audit.Cloud(context.get_admin_context())
        journal = files.Journal(parsed_args.undo_file)
        try:
            return self._undo_all(cloud, entries,
                                  journal if parsed_args.force else None)
        finally:
            journal.close()
            if journal.has_changes:
                self.app.stderr.write(
                    'What was overwritten can be put back with: '
                    'nova-cells-persist undo %s\n' % journal.path)

    def _undo_all(self, cloud, entries, journal):
        from nova_cells_persist.reconcile import undo
        failed, status = [], 0
        for entry in entries:
            try:
                done = undo.undo(cloud, entry, journal)
                self.app.stdout.write('%s %s: %s\n' % (
                    entry['uuid'], entry['code'],
                    'put back' if done else 'is as it was'))
            except (exception.DatabaseError, exception.UndoFile) as exc:
                failed.append(exc)
                break   # the next one would not fare better
            except exception.AllocationsNotPutBack as exc:
                self.app.stdout.write('%s\n' % exc)
                status = main.FINDINGS
            except exception.CellsPersistException as exc:
                failed.append(exc)
        if failed:
            raise exception.SeveralErrors(errors=failed)
        return status
