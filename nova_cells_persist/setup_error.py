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

"""What ends a process of Nova at its start, one class a situation.

As in :mod:`nova_cells_persist.exception`, of which these are: each carries its
data and one sentence, and nothing of Nova is imported here.
"""

from nova_cells_persist import exception


class SetupError(exception.CellsPersistException):
    """Nova cannot run with the plugin as it is configured or installed.

    The process has to end: to go on would mean a Nova without the plugin, in
    a deployment whose operator believes that it is there.
    """


class NovaNotFound(SetupError):
    message = ('nova-cells-persist is installed in an environment that has '
               'no Nova. Install it with the pip of the environment from '
               'which Nova runs.')


class UnsupportedNova(SetupError):
    message = ('nova-cells-persist %(plugin)s supports Nova %(first)d to '
               '%(last)d, this is Nova %(nova)s. Install a release of '
               'nova-cells-persist for it, or remove "cells_persist" from '
               'config_source in nova.conf to run Nova without it.')


class UnreadableConfiguration(SetupError):
    message = ('A file of Nova\'s configuration is no text in UTF-8: '
               '%(reason)s. Correct it; "iconv -f UTF-8 FILE" says where.')


class UnknownOption(SetupError):
    message = ('nova-cells-persist: [cells_persist] has no option '
               '%(names)s; it has %(known)s. Correct nova.conf.')


class InvalidOption(SetupError):
    message = ('nova-cells-persist: [cells_persist]%(name)s cannot be used: '
               '%(reason)s. Correct nova.conf.')


class WrongDriver(SetupError):
    message = ('nova-cells-persist: config_source in nova.conf names '
               '[cells_persist], but its driver is %(driver)r, in the files '
               'of the configuration and in OS_CELLS_PERSIST__DRIVER of the '
               'environment, which comes first. Set "driver = '
               'nova_cells_persist" in [cells_persist], or remove '
               '"cells_persist" from config_source.')


class WrongGroup(SetupError):
    message = ('nova-cells-persist: its section in nova.conf is '
               '[cells_persist], not [%(group)s]. Set "config_source = '
               'cells_persist" and call the section [cells_persist].')


class ObjectReplaced(SetupError):
    message = ('nova-cells-persist: the object %(name)s is not Nova\'s own '
               'but %(found)s, of another plugin. Remove one of the two from '
               'this environment.')


class DuplicateExtension(SetupError):
    message = ('nova-cells-persist: %(name)r is registered twice under '
               '%(namespace)s: by %(first)s and by %(second)s. Uninstall one '
               'of them.')


class BrokenExtension(SetupError):
    message = ('nova-cells-persist: %(name)r of %(namespace)s cannot be '
               'loaded: %(reason)s. Reinstall the package that it is from.')


class HookTargetMissing(SetupError):
    message = ('nova-cells-persist: %(module)s has no %(attribute)s, which '
               'the hook %(hook)r needs; this Nova has been changed. Run an '
               'unmodified Nova, or remove "cells_persist" from '
               'config_source in nova.conf.')


class SchemaNotReady(SetupError):
    message = ('nova-cells-persist: the tables in the %(database)s are at '
               'version %(found)s, this code needs %(needed)s. Run '
               '"nova-cells-persist db sync", then start the service again.')


class SchemaAhead(SetupError):
    message = ('nova-cells-persist: the tables in the %(database)s are at '
               'version %(found)s, which this code does not know; it knows '
               '%(needed)s. A newer nova-cells-persist has been here: '
               'install that one.')
