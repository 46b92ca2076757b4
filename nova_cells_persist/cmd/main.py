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

"""The command nova-cells-persist."""

import logging
import sys
import traceback
import warnings

from cliff import app
from cliff import commandmanager
from cliff import complete
from cliff import help as cliff_help
from oslo_config import cfg
import tqdm

from nova_cells_persist.db import reason
from nova_cells_persist import exception
from nova_cells_persist import plugin
from nova_cells_persist import releases
from nova_cells_persist import setup_error

NAMESPACE = 'nova_cells_persist.command'

#: Exit statuses, beside 0: the command found something or left work to do, and
#: said so; something went wrong; it was not called as it can be.
FINDINGS, ERRORS, BAD_ARGUMENTS = 1, 2, 127

# What cliff and argparse return for a command line that they do not know.
_USAGE = 2


class CellsPersistApp(app.App):
    """Reads nova.conf as a service of Nova does, then runs a command."""

    NAME = 'nova-cells-persist'
    LOG = logging.getLogger(NAME)
    # Warnings and errors; what libraries do in between is for --verbose.
    DEFAULT_VERBOSE_LEVEL = 0

    #: Whether a command was run, and whether that has failed.
    has_run = failed = False

    def __init__(self):
        super().__init__(
            description='Look after what nova-cells-persist keeps.',
            version=releases.version(),
            command_manager=commandmanager.CommandManager(NAMESPACE),
            deferred_help=True)

    def build_option_parser(self, description, version, argparse_kwargs=None):
        parser = super().build_option_parser(
            description, version, argparse_kwargs)
        parser.add_argument(
            '--config-file', metavar='PATH', action='append', default=[],
            help='A nova.conf to read; may be given several times. Without '
                 'it nova.conf is found as Nova finds it.')
        parser.add_argument(
            '--config-dir', metavar='DIR', action='append', default=[],
            help='A folder of which all files are read that end with .conf, '
                 'after the others; may be given several times.')
        return parser

    def configure_logging(self):
        super().configure_logging()
        for handler in logging.getLogger('').handlers:
            handler.addFilter(self._tidy)

    def _tidy(self, record):
        """Keep credentials, and a traceback unless asked for, out of a log."""
        record.msg = reason.without_credentials(record.getMessage())
        record.args = ()
        if record.exc_info:   # which another handler may have seen before
            record.exc_text = self.options.debug and (
                reason.without_credentials(''.join(
                    traceback.format_exception(*record.exc_info)).rstrip()))
            record.exc_info = None
        return True

    def interact(self):
        """Take the place of cliff's own shell, which nobody asked for."""
        self.stderr.write('%s: which command? See "%s --help".\n' % (
            self.NAME, self.NAME))

    def progress(self, servers):
        """Return a bar to update, which is seen on a terminal only.

        :param servers: how many there are
        """
        return tqdm.tqdm(total=servers, unit=' servers', file=self.stderr,
                         disable=None, leave=False)

    def clean_up(self, cmd, result, err):
        cause = getattr(err, '__cause__', None)
        if isinstance(cause, SystemExit):
            # Of argparse. The cliff of Yoga makes an error of its shell of it.
            raise cause
        self.has_run = True
        self.failed = err is not None

    def prepare_to_run_command(self, cmd):
        if not isinstance(cmd, (cliff_help.HelpCommand,
                                complete.CompleteCommand)):
            _configure(self.options)


def _configure(options):
    argv = []
    for path in options.config_file:
        argv += ['--config-file', path]
    for path in options.config_dir:
        argv += ['--config-dir', path]
    configure(argv)


def configure(argv):
    """Read nova.conf, so that Nova's objects can be used.

    :param argv: the arguments for oslo.config
    :raises: SetupError if there is no Nova beside us, or not a supported one,
        or a file of its configuration is no text
    """
    releases.check_supported()
    # Nova imports eventlet where it is installed, also to do without it.
    warnings.filterwarnings('ignore', r'\s*Eventlet is deprecated')
    from nova import config
    from nova import objects

    # With RPC: a cell mapping cannot be read without its options.
    try:
        config.parse_args(['nova-cells-persist'] + argv, configure_db=False)
    except UnicodeDecodeError as exc:
        raise setup_error.UnreadableConfiguration(reason=exc) from None
    # Somebody waits at a terminal: a database that does not answer is said
    # at once, not after the minutes for which a service would try again.
    for group in ('database', 'api_database'):
        cfg.CONF.set_override('max_retries', 0, group=group)
    from nova.db.api import api as api_db_api
    from nova.db.main import api as main_db_api
    main_db_api.configure(cfg.CONF)
    api_db_api.configure(cfg.CONF)
    plugin.load()
    objects.register_all()


def status_of(exc):
    """Return the exit status of what ends the process.

    :param exc: a SystemExit: of argparse, which has said what is wrong; or of
        the plugin, whose sentence it has and nobody has said
    """
    if isinstance(exc.code, str):
        print(exc.code, file=sys.stderr)
        return ERRORS
    return BAD_ARGUMENTS if exc.code == _USAGE else exc.code or 0


def main(argv=None):
    """Run a command.

    :param argv: the arguments; those of the process if None
    :returns: the exit status: 0, FINDINGS, ERRORS or BAD_ARGUMENTS
    """
    argv = sys.argv[1:] if argv is None else argv
    app = CellsPersistApp()
    try:
        status = app.run(argv or ['--help'])
    except cliff_help.HelpExit:
        return 0
    except exception.CellsPersistException as exc:
        print(exc, file=sys.stderr)
        return ERRORS
    except SystemExit as exc:
        return status_of(exc)
    if app.failed:
        return ERRORS
    if not app.has_run and (status == _USAGE or app.interactive_mode):
        return BAD_ARGUMENTS
    return status


if __name__ == '__main__':
    sys.exit(main())
