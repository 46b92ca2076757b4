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

"""Options of the section [cells_persist].

Nothing of Nova is imported here: these options are registered while the
configuration is being parsed.
"""

import glob
import itertools
import os

from oslo_config import cfg

from nova_cells_persist import setup_error

#: What the group of the options has for ``driver``: see config_driver.py.
DRIVER = 'nova_cells_persist'

GROUP = cfg.OptGroup(
    'cells_persist',
    title='Persistence of the request spec and of builds in flight',
    help='Options of nova-cells-persist. They are the same in the nova.conf '
         'of every Nova service; nothing in nova-compute depends on them.')

OPTS = [
    cfg.BoolOpt(
        'mirror_build_requests',
        default=True,
        help="""
Also keep Nova's own ``build_requests`` row of a server that has no cell yet.

An API node or super-conductor without the plugin reads only that row. Leave
this on while any of them runs, so while the plugin is being rolled out or
removed. Once every nova-api and super-conductor has the plugin it may be
turned off: one INSERT and one DELETE less for every server that is booted. As
long as one of them has not, servers would be lost; ``nova-cells-persist-status
upgrade check`` tells what can be seen of that.
"""),
    cfg.IntOpt(
        'cell_timeout',
        default=5,
        min=1,
        help="""
Seconds to wait for a cell that may be down.

When Nova's own request spec cannot be read: the copy in the cell is asked only
if the row in the API database is missing or unreadable, and a cell that is
down must not make such a read hang for as long as a connection attempt to a
dead database takes.

And when nova-api or a super-conductor starts, which looks at the tables of
every cell. A cell that is slower is left out with a warning in the log: the
service runs though the tables may be missing there, or be outdated.
"""),
    cfg.IntOpt(
        'revisions_kept',
        default=10,
        min=2,
        help="""
How many of a server's newest revisions of its request spec are kept.

The first one always stays as well. A move that fails goes back to the
revision before it, so two is the least. A revision takes some 2.5 kB.
"""),
]


def register_opts(conf):
    """Register the options on conf, an oslo_config.cfg.ConfigOpts."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def unknown_options(conf):
    """Return the keys of [cells_persist] in conf's files that are no option.

    oslo.config ignores what it does not know, and a misspelt
    ``mirror_build_requests = false`` would silently mean true.

    :param conf: a ConfigOpts that has read its files
    :returns: a sorted list of strings
    :raises: oslo_config.cfg.ParseError if a file cannot be parsed, which
        cannot be once conf itself has read it
    """
    known = {opt.name for opt in OPTS} | {opt.dest for opt in OPTS}
    known.add('driver')   # oslo.config's own, it chose us
    return sorted(set(_section_of_files(conf, GROUP.name)) - known)


def driver_of(conf, section):
    """Return the driver of a section that is a config_source, or None.

    Of the environment, which oslo.config asks first, or of conf's files. For
    the one moment in which conf cannot be asked: before oslo.config has
    registered ``driver``, and has opened any other source.
    """
    return os.environ.get('OS_%s__DRIVER' % section.upper(),
                          value_in_files(conf, section, 'driver'))


def value_in_files(conf, section, key):
    """Return the last value of key in a section of conf's files, or None."""
    values = _section_of_files(conf, section).get(key)
    return values[-1] if values else None


def _section_of_files(conf, name):
    found = {}
    for path in _files_of(conf):
        sections = {}
        cfg.ConfigParser(path, sections).parse()
        for key, values in sections.get(name, {}).items():
            found.setdefault(key, []).extend(values)
    return found


def _files_of(conf):
    # As oslo.config reads them: its default folders, such as
    # /etc/nova/nova.conf.d, if no --config-dir is given.
    files = map(os.path.expanduser, conf.config_file or [])
    dirs = conf.config_dirs or conf.default_config_dirs
    return itertools.chain(files, *map(_conf_files_in, dirs))


def _conf_files_in(directory):
    return sorted(glob.glob(os.path.join(
        os.path.expanduser(directory), '*.conf')))


def check_values(conf):
    """Read all options once.

    oslo.config looks at a value when it is asked for, which would be in the
    middle of a boot.

    :raises: InvalidOption
    """
    for opt in OPTS:
        try:
            conf[GROUP.name][opt.dest]
        except cfg.ConfigFileValueError as exc:
            raise setup_error.InvalidOption(name=opt.name, reason=exc) from exc


def list_opts():
    """Entry point of oslo-config-generator."""
    return [(GROUP, OPTS)]
