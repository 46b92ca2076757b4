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

"""One class a situation; each carries its data and one sentence.

The sentence says what happened, to which server, in which database, and what
to do. Nothing of Nova is imported here.
"""


class CellsPersistException(Exception):
    """Base of all of them. Subclasses set ``message``, a %-format."""

    message = 'An unknown error occurred in nova-cells-persist.'

    def __init__(self, **data):
        self.data = data
        super().__init__(self.message % data)

    def __reduce__(self):
        # It may have to come from another process.
        return _again, (type(self), self.data)


def _again(cls, data):
    return cls(**data)


class EndOfRun(CellsPersistException):
    """A run over many servers ends: the next one would not fare better."""


class DatabaseError(EndOfRun):
    """The command line's answer to a database that cannot be used."""

    message = ('The %(database)s cannot be used: %(reason)s. Mend that, then '
               'run the command again.')


class WrongTransport(DatabaseError):
    """As that: Nova opens the database of a cell and its queue at once."""

    message = ('The transport_url in the mapping of cell %(cell)s cannot be '
               'used: %(reason)s. Correct it with "nova-manage cell_v2 '
               'update_cell --cell_uuid %(uuid)s", then run it again.')


class StatementFailed(CellsPersistException):
    """A database that can be used has refused something about one server."""

    message = ('Server %(instance_uuid)s: a statement failed in the '
               '%(database)s: %(reason)s. Mend that, then run the command '
               'again.')


class Deadlock(StatementFailed):
    message = ('Server %(instance_uuid)s: in the %(database)s other '
               'transactions got in the way each time: %(reason)s. Run the '
               'command again.')


class UnknownMigrations(CellsPersistException):
    message = ('There is no migration repository %(name)r in '
               'nova_cells_persist.migrations; there is %(known)s.')


class MigrateMissing(CellsPersistException):
    message = ('Nova %(nova)d needs sqlalchemy-migrate for its tables, which '
               'cannot be imported: %(reason)s. Install '
               'nova-cells-persist[migrate].')


class UnknownCell(CellsPersistException):
    message = ('No cell is named %(name)r or has that uuid. The cells are: '
               '%(known)s.')


class NoAPIDatabase(CellsPersistException):
    message = ('This nova.conf has no [api_database]connection, so only the '
               'database in its [database] is known. Leave out --api and '
               '--cell, or give the nova.conf of nova-api with --config-file.')


class OneCellOnly(CellsPersistException):
    message = ('This nova.conf has no [api_database]connection, and this '
               'command looks at all databases of a cloud. Give the nova.conf '
               'of nova-api with --config-file.')


class NotConfirmed(CellsPersistException):
    message = 'Nothing was dropped, since the answer was not "yes".'


class OnlyHere(CellsPersistException):
    message = ('The %(database)s has what Nova has nowhere: %(what)s. Nothing '
               'was dropped anywhere. See what "nova-cells-persist-status '
               'upgrade check" says, run "nova-cells-persist heal '
               'pending-revision conflicting-revision --yes", and wait for '
               'the builds; or drop it all the same with --force.')


class SeveralErrors(CellsPersistException):
    """One line for each; ``errors`` is a list of exceptions."""

    def __init__(self, errors):
        self.data = {'errors': errors}
        Exception.__init__(self, '\n'.join(str(error) for error in errors))


class UnknownServer(CellsPersistException):
    message = ('No request spec of server %(instance_uuid)s is in any '
               'database that this nova.conf knows. Check the uuid.')


class NothingOfServer(CellsPersistException):
    message = ('No database that this nova.conf knows has anything of server '
               '%(instance_uuid)s. Check the uuid.')


class UnknownBuild(CellsPersistException):
    message = ('Server %(instance_uuid)s is not being built: it is in a '
               'cell, was deleted or never was. "nova-cells-persist build '
               'explain" tells which.')


class NoInstance(CellsPersistException):
    message = ('Server %(instance_uuid)s is not in the %(database)s, so there '
               'is nothing to compare its request spec with.')


class NoSpec(CellsPersistException):
    message = ('Server %(instance_uuid)s has no request spec in the API '
               'database. "nova-cells-persist heal missing-spec --server '
               '%(instance_uuid)s --yes" rebuilds it.')


class ServerBusy(CellsPersistException):
    message = ('Server %(instance_uuid)s is in the middle of a task '
               '(%(task)s), so its request spec was left as it is. Run the '
               'command again when that has ended.')


class NoFormerRevision(CellsPersistException):
    message = ('No revision of the request spec of server %(instance_uuid)s '
               'says anything else than the request spec does now.')


class UnknownRevision(CellsPersistException):
    message = ('The request spec of server %(instance_uuid)s has no revision '
               '%(number)d; its revisions are: %(known)s.')


class EmptyCell(CellsPersistException):
    message = ('The %(database)s has no server at all, though servers are '
               'mapped to it. Nothing was changed anywhere: see whether its '
               'cell mapping connects to the right database. If it does, say '
               'so with "--empty-cell %(cell)s".')


class OtherDatabase(CellsPersistException):
    message = ('The %(database)s has hosts (%(hosts)s), and none of those '
               'that are mapped to it (%(mapped)s). Nothing was changed '
               'anywhere: see whether its cell mapping connects to the right '
               'database. If it does: nova-manage cell_v2 discover_hosts '
               '--cell_uuid %(uuid)s')


class SharedDatabase(EndOfRun):
    message = ('The cell mappings of the %(one)s and of the %(other)s '
               'connect to the same database. Nothing was changed anywhere: '
               'correct the one that is wrong with "nova-manage cell_v2 '
               'update_cell".')


class UndoFile(EndOfRun):
    message = ('The undo file %(path)s cannot be used: %(reason)s. Without '
               'it nothing is changed.')


class NotNoted(EndOfRun):
    message = ('Server %(instance_uuid)s (%(code)s) was changed in the '
               '%(databases)s, but how it is now could not be noted in the '
               'undo file %(path)s: %(reason)s. What was changed can be put '
               'back with: nova-cells-persist undo --force %(path)s')


class NotSeen(EndOfRun):
    message = ('Server %(instance_uuid)s (%(code)s) may have been changed, '
               'but how it is now could not be seen: %(reason)s. What was '
               'changed can be put back with: nova-cells-persist undo --force '
               '%(path)s')


class ChangedSince(CellsPersistException):
    message = ('Server %(instance_uuid)s has been changed since it was '
               'repaired (%(code)s), so it was left as it is.')


class NotPutBack(CellsPersistException):
    message = ('What was repaired of server %(instance_uuid)s (%(code)s) '
               'could not be put back, so it was left as it is: %(reason)s')


class AllocationsLeft(CellsPersistException):
    message = ('mended, but placement may still have allocations of server '
               '%(instance_uuid)s: it did not answer, or refused to remove '
               'them, see the log. Once it does: openstack resource provider '
               'allocation delete %(instance_uuid)s')


class AllocationsOfMove(AllocationsLeft):
    message = ('mended, but in placement migration %(migration)s may still '
               'have what server %(instance_uuid)s uses, and the server what '
               'it was to move to: placement did not answer, or refused, see '
               'the log. Once it does: openstack resource provider '
               'allocation delete %(migration)s; nova-manage placement '
               'heal_allocations --force --instance %(instance_uuid)s')


class AllocationsNotPutBack(CellsPersistException):
    message = ('The rows of server %(instance_uuid)s are as they were before '
               'the repair, its allocations are not: placement did not '
               'answer, or refused them, see the log. Mend that, then run '
               'the command again.')


class ByHand(CellsPersistException):
    message = ('This is not mended by itself: %(evidence)s. To do by hand: '
               '%(repair)s.')


class NotMended(CellsPersistException):
    message = 'Still there after the repair: %(evidence)s. See the log.'


class NothingToRebuildFrom(CellsPersistException):
    message = ('The request spec of server %(instance_uuid)s cannot be '
               'rebuilt: there is no revision of it that can be read, and '
               'the server itself does not tell enough, or its cell did not '
               'answer. The log says which.')


class NotWritten(CellsPersistException):
    message = ('The copy of the request spec of server %(instance_uuid)s '
               'could not be written in the %(database)s. See the log, then '
               'run the command again.')


class SpecTooLarge(CellsPersistException):
    message = ('The request spec of server %(instance_uuid)s takes %(size)d '
               'bytes, the column holds %(limit)d. Nothing was written.')


class BuildTooLarge(CellsPersistException):
    message = ('The build request of server %(instance_uuid)s takes '
               '%(size)d bytes, the column holds %(limit)d. Nothing was '
               'written.')


class TooManyWriters(CellsPersistException):
    message = ('The request spec of server %(instance_uuid)s was not saved '
               'in the %(database)s: %(attempts)d times another writer was '
               'faster. Try again.')


class UnreadableRow(CellsPersistException):
    """A row is there but is no object that this process understands."""

    message = ('Table %(table)s in the %(database)s: the row of server '
               '%(instance_uuid)s cannot be read: %(reason)s')

    def __init__(self, **data):
        super().__init__(**dict(data, reason=in_short(data['reason'])))


class UnreadableSpec(UnreadableRow):
    message = UnreadableRow.message + (
        '. If it was not rebuilt just now, see what "nova-cells-persist heal '
        'unreadable-spec --server %(instance_uuid)s" would do.')


class UnreadableRevision(UnreadableRow):
    message = ('Table %(table)s in the %(database)s: revision %(revision)d of '
               'server %(instance_uuid)s cannot be read: %(reason)s. The '
               'others are in "nova-cells-persist spec history '
               '%(instance_uuid)s"; if it is the newest one, '
               '"nova-cells-persist heal unreadable-copy --server '
               '%(instance_uuid)s --yes" mends it.')


class UnreadableBuild(UnreadableRow):
    message = UnreadableRow.message + (
        '. Until that is mended its owner sees no such server. See what '
        '"nova-cells-persist heal unreadable-build --server '
        '%(instance_uuid)s" would do.')


def in_short(reason):
    """Return in one line why a row cannot be read.

    What is in the row may be in it, and that may be anything.
    """
    text = (repr if isinstance(reason, LookupError) else str)(reason)
    return ' '.join(text[:200].split()).encode(
        'ascii', 'backslashreplace').decode()
