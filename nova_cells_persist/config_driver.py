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

"""How the plugin gets into Nova: an oslo.config driver.

``config_source = cells_persist`` in nova.conf makes oslo.config load this
driver while it parses the configuration, in every process that does. The
driver has no values to give; being called is all that it is for.

Nothing of Nova is imported at module level: stevedore instantiates every
driver that is installed, whether it was asked for or not, and that in
processes that have nothing to do with Nova.
"""

import sys

from oslo_config import cfg
from oslo_config import sources

from nova_cells_persist import conf as plugin_conf
from nova_cells_persist import early_imports
from nova_cells_persist import setup_error


def _is_nova(conf):
    """Whether it is Nova that parses, and not something inside it.

    Nova 34 parses nova.conf once with a ConfigOpts of its own before it has
    chosen its kind of concurrency; privsep-helper parses it too and never
    imports nova.config.
    """
    return conf is cfg.CONF and 'nova.config' in sys.modules


class CellsPersistDriver(sources.ConfigurationSourceDriver):
    """The driver ``nova_cells_persist`` of [cells_persist]."""

    def __init__(self):
        super().__init__()
        # A section without a driver, or with an unknown one, is an error
        # that oslo.config logs and forgets. It instantiates all drivers
        # before it looks for the one, so this is the chance to notice that
        # we were meant.
        if _is_nova(cfg.CONF):
            _or_refuse(_check_names, cfg.CONF)

    def open_source_from_opt_group(self, conf, group_name):
        """Put the plugin on; called by oslo.config once for each parse.

        :param conf: the ConfigOpts that is being parsed
        :param group_name: the section that names this driver
        :returns: a source without values
        :raises: SystemExit with a sentence if Nova cannot run with the
            plugin. oslo.config swallows every ordinary exception.
        """
        if _is_nova(conf):
            _or_refuse(_put_on, conf, group_name)
        elif _is_before_patching(conf):
            early_imports.forget()
        return _NoValues()

    def list_options_for_discovery(self):
        return []


def _check_names(conf):
    named = conf.config_source
    if not named:   # as it is, too, until conf has been parsed
        return
    ours = plugin_conf.GROUP.name
    driver = plugin_conf.driver_of(conf, ours)
    if ours in named:
        if driver != plugin_conf.DRIVER:
            _refuse(setup_error.WrongDriver(driver=driver))
    elif driver == plugin_conf.DRIVER:
        # Switched off, or misspelt: then there is no such section.
        for name in named:
            if plugin_conf.driver_of(conf, name) is None:
                _refuse(setup_error.WrongGroup(group=name))


def _put_on(conf, group_name):
    from nova_cells_persist import plugin
    if group_name != plugin_conf.GROUP.name:
        raise setup_error.WrongGroup(group=group_name)
    unknown = plugin_conf.unknown_options(conf)
    if unknown:
        raise setup_error.UnknownOption(
            names=', '.join(unknown),
            known=', '.join(opt.name for opt in plugin_conf.OPTS))
    plugin.load()
    plugin_conf.check_values(conf)


def _or_refuse(function, *args):
    try:
        function(*args)
    except setup_error.SetupError as exc:
        _refuse(exc)
    except Exception as exc:
        # Whatever it is: better no service than one without the plugin.
        _refuse('nova-cells-persist could not be loaded: %s: %s. Nova was '
                'not started, because it would have run without it.' %
                (type(exc).__name__, exc))


def _refuse(reason):
    # Here, because Nova may not have patched anything yet when this module
    # is imported.
    from nova_cells_persist.hooks import base
    base.refuse(reason)


def _is_before_patching(conf):
    """Whether _get_concurrency_from_config() of Nova's monkey_patch parses."""
    return (conf is not cfg.CONF and 'nova.monkey_patch' in sys.modules and
            'nova.conf' not in sys.modules)


class _NoValues(sources.ConfigurationSource):

    def get(self, group_name, option_name, opt):
        return (sources._NoValue, None)
