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

"""nova-cells-persist backfill: copies for servers from before the plugin."""

import collections

from cliff import lister

from nova_cells_persist.cmd import main
from nova_cells_persist.cmd import options


class Backfill(lister.Lister):
    """Write the copy of its request spec into the cell of each server.

    Of those that have none: they were built before the plugin was there. It
    can be run again, and be interrupted, at any time. As with "nova-manage db
    online_data_migrations" the exit status is 0 if all is done, 1 if some was
    done and more remains, and 2 if something failed.
    """

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--max-count', metavar='N', type=options.positive,
            help='Write no more than that many.')
        options.add_sleep(parser)
        return parser

    def take_action(self, parsed_args):
        from nova import context
        from nova_cells_persist.reconcile import audit
        from nova_cells_persist.reconcile import backfill
        cloud = audit.Cloud(context.get_admin_context())
        needed = backfill.needed(cloud)
        written, failed = collections.Counter(), collections.Counter()
        try:
            with self.app.progress(sum(needed.values())) as bar:
                for batch in backfill.run(cloud, parsed_args.max_count,
                                          parsed_args.sleep):
                    written[batch.cell] += batch.written
                    failed[batch.cell] += batch.failed
                    bar.update(batch.found)
            interrupted = False
        except KeyboardInterrupt:
            self.app.stderr.write('Interrupted. Run it again to go on.\n')
            interrupted = True
        done = sum(written.values())
        self._status = _status(
            interrupted, bool(sum(failed.values())),
            parsed_args.max_count == done < sum(needed.values()))
        return ('Cell', 'Needed', 'Written', 'Failed'), [
            (cloud.names[cell], number, written[cell], failed[cell])
            for cell, number in needed.items()]

    def run(self, parsed_args):
        return super().run(parsed_args) or self._status


def _status(interrupted, failed, more_remains):
    if failed:
        return main.ERRORS
    return main.FINDINGS if interrupted or more_remains else 0
