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

"""The command nova-cells-persist-status."""

import collections
import functools
import logging
import sys

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from nova_cells_persist.cmd import main as command
from nova_cells_persist import conf
from nova_cells_persist.db import reason
from nova_cells_persist import exception
from nova_cells_persist.reconcile import codes
from nova_cells_persist.reconcile import traces
from nova_cells_persist import releases
from nova_cells_persist import setup_error

LOG = logging.getLogger(__name__)

#: How many rows may be left of servers that are gone.
ORPHANS = 100

#: Builds that Nova has no row of, which is nothing wrong.
WITHOUT_MIRROR = 'build-without-mirror'

#: Builds whose row in Nova's table is damaged; the plugin shows its own.
UNREADABLE_MIRROR = 'unreadable-mirror'

#: What no database tells.
EVERYWHERE = cfg.BoolOpt(
    'all-nodes-have-plugin', default=False,
    help='Say that every nova-api and every super-conductor has the plugin, '
         'in its configuration and started with it. Without that it would '
         'lose servers to turn off mirror_build_requests.')

EMPTY = cfg.MultiStrOpt(
    'empty-cell', metavar='NAME', default=[],
    help='Believe that the cell of that name or uuid has no server, though '
         'some are mapped to it; may be given several times.')


def _guarded(check):
    """Decorate a check: one that cannot be made is one that fails."""
    @functools.wraps(check)
    def guarded(self):
        try:
            return check(self)
        except exception.CellsPersistException as exc:
            return _result(str(exc))
        except Exception as exc:
            # Not what it says: that may be of a row, or of a password.
            LOG.debug('%s', check.__name__, exc_info=True)
            return _result('This could not be checked: %s. See where it is '
                           'from with "nova-cells-persist --debug audit".' %
                           type(exc).__name__)
    return guarded


class Checks(upgradecheck.UpgradeCommands):
    """Whether an upgrade, or the removal of the plugin, may begin."""

    def _nova(self):
        releases.check_supported()
        return _result()

    def _configuration(self):
        if conf.DRIVER in _drivers():
            return _result()
        misspelt = conf.value_in_files(cfg.CONF, 'DEFAULT', 'config_sources')
        return _result(
            'This configuration does not load the plugin: %s.' % (
                'it says "config_sources", and the option is "config_source"'
                if misspelt else 'set "config_source = cells_persist" in '
                '[DEFAULT] and "driver = nova_cells_persist" in '
                '[cells_persist]'))

    def _schema(self):
        return _result('; '.join(_schemas()))

    def _mirror(self):
        if cfg.CONF.cells_persist.mirror_build_requests:
            return _result()
        found = self._findings(
            'mirror_build_requests is off, and there is a nova-api or super-'
            'conductor without the plugin, or was: %(number)d builds show it '
            '(%(what)s). Set it to true, restart every nova-api with that, '
            'and run "nova-cells-persist heal --yes".', traces.NAMES,
            upgradecheck.Code.FAILURE)
        if found.code or _is_everywhere():
            return found
        return _result(
            'mirror_build_requests is off. A super-conductor without the '
            'plugin would drop builds, a nova-api without it would not show '
            'them, and no database tells whether there is one. If there is '
            'none, say so with --%s.' % EVERYWHERE.name,
            upgradecheck.Code.WARNING)

    def _backfill(self):
        return self._findings(
            '%(number)d servers have no copy of their request spec (%(what)s)'
            '. Run "nova-cells-persist backfill".', (codes.MISSING_COPY,),
            upgradecheck.Code.WARNING)

    def _readable(self):
        return self._findings(
            '%(number)d rows cannot be read (%(what)s). See "nova-cells-'
            'persist audit"; "heal %(codes)s --yes" mends it.',
            (codes.UNREADABLE_SPEC, codes.UNREADABLE_COPY,
             codes.UNREADABLE_BUILD),
            upgradecheck.Code.FAILURE)

    def _orphans(self):
        return self._findings(
            '%(number)d rows belong to no server any more (%(what)s). Run '
            '"nova-cells-persist purge --yes", which removes those that are '
            '90 days old.', codes.RUBBISH, upgradecheck.Code.WARNING, ORPHANS)

    def _removable(self):
        return self._findings(
            'Nova without the plugin would not know what %(number)d servers '
            'have (%(what)s). Run "nova-cells-persist heal %(codes)s --yes" '
            'before the plugin is removed, and wait for builds that Nova has '
            'no row of, or one that it cannot read.',
            (codes.MISSING_SPEC, codes.UNREADABLE_SPEC,
             codes.PENDING_REVISION, codes.CONFLICTING_REVISION,
             WITHOUT_MIRROR, UNREADABLE_MIRROR),
            upgradecheck.Code.WARNING)

    def _findings(self, text, wanted, code, allowed=0):
        found = _counts()
        number = sum(found[each] for each in wanted)
        return _result(number > allowed and text % {
            'number': number,
            'codes': ' '.join(each for each in wanted
                              if each in codes.MEANINGS),
            'what': ', '.join(
                '%d %s' % (found[each], each) for each in sorted(wanted)
                if found[each])}, code)

    _upgrade_checks = tuple((name, _guarded(check)) for name, check in (
        ('Supported Nova', _nova),
        ('Plugin in this configuration', _configuration),
        ('Tables in every database', _schema),
        ('Mirror of builds', _mirror),
        ('Backfill', _backfill),
        ('Readable rows', _readable),
        ('Orphans', _orphans),
        ('Safe to remove', _removable),
    ))


def _result(problem=None, code=upgradecheck.Code.FAILURE):
    return upgradecheck.Result(code if problem else upgradecheck.Code.SUCCESS,
                               problem or None)


def _is_everywhere():
    """Return whether the operator says that nothing is without the plugin."""
    return cfg.CONF.all_nodes_have_plugin


def _empty_cells():
    """Return the cells of which the operator says that they are empty."""
    return cfg.CONF.empty_cell


def _drivers():
    """Return the drivers of configuration that were loaded."""
    groups = [getattr(cfg.CONF, name, None)
              for name in cfg.CONF.config_source]
    return [group.driver for group in groups if group is not None]


def _schemas():
    """Return what is wrong with the tables, a list of str."""
    from nova import context
    from nova_cells_persist.db import cell_mapping
    from nova_cells_persist.db import database
    from nova_cells_persist.db import migration
    from nova_cells_persist.reconcile import answers
    if database.is_cell_level():
        raise exception.OneCellOnly()
    with answers.opening(database.API_DATABASE):
        cells = cell_mapping.get_all(context.get_admin_context())
    places = [(database.API_DATABASE, migration.api_schema)] + [
        (database.name_of(cell), functools.partial(
            migration.mapped_schema, cell))
        for cell in cells]
    problems = []
    for name, open_schema in places:
        try:
            schema = open_schema()
            schema.require_current()
            problems += ['%s: %s' % (name, difference)
                         for difference in schema.differences()]
        except exception.CellsPersistException as exc:
            problems.append(str(exc))
        except Exception as exc:   # whatever it is, it is about this one
            LOG.debug('%s: %s', name, exc, exc_info=True)
            problems.append(str(exception.DatabaseError(
                database=name, reason=reason.of(exc))))
    return problems


def _counts():
    """Return what is wrong with all servers, as of _count().

    One pass serves all checks, also one that fails.
    """
    found, failure = _outcome()
    if failure is not None:
        raise failure
    return found


@functools.lru_cache(maxsize=1)
def _outcome():
    try:
        return _count(), None
    except Exception as exc:
        return None, exc


def _count():
    """Go through all servers, and count what is wrong.

    :returns: {code: number}, and builds WITHOUT_MIRROR, with an
        UNREADABLE_MIRROR and with traces
    """
    from nova import context
    from nova_cells_persist.reconcile import audit
    found = collections.Counter()
    cloud = audit.Cloud(context.get_admin_context(), _empty_cells())
    for case in cloud.cases():
        found.update(finding.code for finding in cloud.findings(case))
        found.update(traces.sure(cloud, case))
        if case.in_flight and not case.mirror:
            found[WITHOUT_MIRROR] += 1
        if case.cell is None and 'build_requests' in case.damage:
            found[UNREADABLE_MIRROR] += 1
    return found


def main(argv=None):
    """Run the checks.

    :param argv: the arguments; those of the process if None
    :returns: the exit status: 0, or 1 for a warning, 2 for a failure, 127
        for arguments that it does not take
    """
    cfg.CONF.register_cli_opts([EVERYWHERE, EMPTY])
    upgradecheck.register_cli_options(cfg.CONF, Checks())
    try:
        command.configure(sys.argv[1:] if argv is None else argv)
    except (setup_error.SetupError, cfg.Error) as exc:
        print(exc, file=sys.stderr)
        return command.ERRORS
    except SystemExit as exc:
        return command.status_of(exc)
    upgradecheck.CONF = cfg.CONF
    _outcome.cache_clear()
    try:
        return int(upgradecheck.run(cfg.CONF))
    except KeyboardInterrupt:
        print('Interrupted: not all was checked.', file=sys.stderr)
        return command.ERRORS


if __name__ == '__main__':
    sys.exit(main())
