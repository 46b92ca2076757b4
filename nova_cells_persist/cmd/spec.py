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

"""nova-cells-persist spec: the request spec of a server, and its revisions."""

from cliff import command
from cliff import lister
from cliff import show

from nova_cells_persist.cmd import main
from nova_cells_persist.cmd import options


class _OfServer:
    """A command on one server."""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        options.add_uuid(parser)
        return parser

    def server(self, parsed_args):
        """Return the Server, from the databases.

        :raises: UnknownServer, DatabaseError
        """
        from nova import context
        from nova_cells_persist.reconcile import server
        return server.Server(context.get_admin_context(), parsed_args.uuid)


class Show(_OfServer, show.ShowOne):
    """Show the request spec of a server, field by field.

    That is Nova's own row, under which the server is scheduled next; in the
    conductor of a cell the newest revision. Fields of objects are named with
    dots.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('--revision', metavar='N', type=int,
                            help='Show that revision.')
        return parser

    def take_action(self, parsed_args):
        from nova_cells_persist.reconcile import fields
        server = self.server(parsed_args)
        text, origin, legible = _spec(server, parsed_args.revision)
        with legible:
            found = dict(origin, **fields.flat(text))
        return tuple(found), tuple(map(fields.shown, found.values()))


def _spec(server, number):
    """Return the JSON of a request spec, and where it is from.

    :returns: (the JSON; a dict of where it is from; a context manager in
        which it is read)
    """
    from nova_cells_persist.db import database
    from nova_cells_persist.reconcile import legibility
    if number is None and server.nova_spec is not None:
        return server.nova_spec, {
            'stored in': 'request_specs, %s' % database.API_DATABASE
        }, legibility.of_nova_row(server.instance_uuid)
    found = (server.revisions[-1] if number is None
             else server.revision(number))
    return found.row.spec, {
        'stored in': 'request_spec, %s' % found.database,
        'revision': found.row.revision, 'event': found.row.event,
        'saved at': str(found.row.created_at)
    }, legibility.of(server.instance_uuid, found.database,
                     found.row.revision)


class History(_OfServer, lister.Lister):
    """List the revisions of the request spec of a server, oldest first.

    A pending revision was saved where the API database was out of reach, and
    is not in Nova's own row yet.
    """

    def take_action(self, parsed_args):
        return (('Revision', 'Event', 'Saved at', 'Changed', 'Pending',
                 'Database'), list(_rows(self.server(parsed_args).revisions)))


def _rows(revisions):
    from nova_cells_persist.reconcile import fields
    before = None
    for each in revisions:
        try:
            after = fields.flat(each.row.spec)
            changed = ', '.join(fields.top_level(fields.differences(
                after if before is None else before, after)))
        except ValueError:
            after, changed = None, 'unreadable'
        yield (each.row.revision, each.row.event, str(each.row.created_at),
               changed, bool(each.row.pending), each.database)
        before = after


class Diff(_OfServer, lister.Lister):
    """Show where the request spec of a server differs.

    From the server itself; given a revision, that from the request spec;
    given two, these from each other. The exit status is 1 if they differ.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument('old', metavar='REV', type=int, nargs='?',
                            help='The number of a revision.')
        parser.add_argument('new', metavar='REV', type=int, nargs='?',
                            help='The number of a second one.')
        return parser

    def take_action(self, parsed_args):
        from nova_cells_persist.reconcile import fields
        server = self.server(parsed_args)
        if parsed_args.old is None:
            columns = ('Request spec', 'Server')
            before, after = _spec_and_instance(server)
        else:
            columns = tuple('Request spec' if number is None else
                            'Revision %d' % number for number in
                            (parsed_args.old, parsed_args.new))
            before, after = (_fields(server, number) for number in
                             (parsed_args.old, parsed_args.new))
        names = fields.differences(before, after)
        self._differ = bool(names)
        return ('Field',) + columns, [
            (name, fields.shown(before.get(name)),
             fields.shown(after.get(name))) for name in names]

    def run(self, parsed_args):
        return super().run(parsed_args) or (
            main.FINDINGS if self._differ else 0)


class Restore(_OfServer, command.Command):
    """Put back a revision of the request spec of a server.

    It becomes a new one, so nothing of the history is lost. What of it does
    not describe the server as it is holds until the next move looks. One that
    is damaged is not put back.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--revision', metavar='N', type=int,
            help='Which one. Default: the last that says anything else than '
                 'the request spec does now.')
        return parser

    def take_action(self, parsed_args):
        from nova import context
        from nova_cells_persist.reconcile import sync
        number = sync.restore(context.get_admin_context(),
                              self.server(parsed_args), parsed_args.revision)
        self.app.stdout.write(
            'The request spec says what that revision says already.\n'
            if number is None else 'Revision %d was put back.\n' % number)


class Sync(_OfServer, command.Command):
    """Make the request spec of a server say what the server is.

    In those fields in which "spec diff" shows a difference. A server for
    which no availability zone was asked is not tied to the one that it is in.
    """

    FIELDS = ('flavor', 'az', 'image', 'group', 'pci')

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--field', metavar='FIELD,...', type=self._fields,
            default=self.FIELDS,
            help='Only these: %s.' % ', '.join(self.FIELDS))
        return parser

    def _fields(self, text):
        return [options.one_of(self.FIELDS, name)
                for name in text.split(',')]

    def take_action(self, parsed_args):
        from nova import context
        from nova_cells_persist.reconcile import sync
        changed = sync.sync(context.get_admin_context(),
                            self.server(parsed_args), parsed_args.field)
        self.app.stdout.write(
            'Changed: %s.\n' % ', '.join(changed) if changed
            else 'Nothing differs.\n')


def _spec_and_instance(server):
    from nova import context
    from nova_cells_persist.objects import primitive
    from nova_cells_persist.reconcile import facts
    text, _, legible = _spec(server, None)
    instance, group = server.instance(context.get_admin_context())
    with legible:
        claimed, data = facts.of_spec(text), primitive.data(text)
    return claimed, facts.of_instance(instance, group, claimed, data)


def _fields(server, number):
    from nova_cells_persist.reconcile import fields
    text, _, legible = _spec(server, number)
    with legible:
        return fields.flat(text)
