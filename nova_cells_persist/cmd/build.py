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

"""nova-cells-persist build: servers that no cell has taken yet."""

from cliff import lister
from cliff import show
from oslo_utils import timeutils

from nova_cells_persist.cmd import main
from nova_cells_persist.cmd import options


def _admin():
    from nova import context
    return context.get_admin_context()


class List(lister.Lister):
    """List the builds in flight, the oldest first.

    Each with its age in seconds, and with the cell that its mapping has: a
    build whose server has landed is about to go, or audit finds it.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        options.add_older_than(parser, None, 'Only what was accepted that '
                               'long ago')
        parser.add_argument('--project', metavar='ID',
                            help='Only those of that project.')
        return parser

    def take_action(self, parsed_args):
        from nova_cells_persist.reconcile import builds
        found = builds.in_flight(_admin(), parsed_args.older_than,
                                 parsed_args.project)
        return (('Server', 'Age', 'Project', 'Name', 'Flavor', 'Image',
                 'Zone', 'State', 'Mapping'),
                [(build.uuid, build.age, build.project, build.name,
                  build.flavor, build.image, build.zone, build.state,
                  build.mapping) for build in found])


class Show(show.ShowOne):
    """Show a build in flight, and its request spec field by field."""

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        options.add_uuid(parser)
        return parser

    def take_action(self, parsed_args):
        from nova_cells_persist.reconcile import builds
        from nova_cells_persist.reconcile import fields
        build = builds.get(_admin(), parsed_args.uuid)
        found = build._asdict()
        found.update(found.pop('more'))
        spec = found.pop('spec')
        found['accepted_at'] = str(found['accepted_at'])
        try:
            found.update(('spec.' + name, fields.shown(value)) for name, value
                         in (fields.flat(spec) if spec else {}).items())
        except ValueError as exc:
            found['spec'] = 'unreadable: %s' % exc
        else:
            if not spec:
                found['spec'] = 'missing'
        return tuple(found), tuple(found.values())


class Explain(lister.Lister):
    """Tell the story of one server, from all databases in the order of time.

    In the end what is missing or wrong, and the command that would mend it,
    or what has to be done by hand; the exit status is 1 then.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        options.add_uuid(parser)
        options.add_older_than(
            parser, '10m', 'Call something wrong only if nothing of the '
            'server was written for that long')
        return parser

    def take_action(self, parsed_args):
        from nova_cells_persist.reconcile import audit
        from nova_cells_persist.reconcile import story
        events, self._found = story.tell(
            # What heal would not believe of an empty cell, it says itself.
            audit.Cloud(_admin()), parsed_args.uuid,
            timeutils.utcnow() - parsed_args.older_than)
        return ('Time', 'Database', 'What'), [
            (event.at and str(event.at), event.database, event.what)
            for event in events] + [
            (None, 'all', _explained(finding, parsed_args.older_than))
            for finding in self._found]

    def run(self, parsed_args):
        return super().run(parsed_args) or (
            main.FINDINGS if self._found else 0)


def _explained(finding, older_than):
    wrong = '%s: %s.' % (finding.code, finding.evidence)
    if finding.by_hand:
        return '%s To do by hand: %s.' % (wrong, finding.repair)
    return ('%s To %s: nova-cells-persist heal %s --server %s --older-than '
            '%ds --yes' % (wrong, finding.repair, finding.code, finding.uuid,
                           older_than.total_seconds()))
