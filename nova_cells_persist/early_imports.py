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

"""What oslo.config imports before eventlet has patched anything.

For a config_source it imports every driver that is installed; its own and
castellan's bring much along. Nova 34 parses nova.conf that early. With what
was imported then it could talk to nobody by TLS, and its green threads would
share one request context.
"""

import sys
import types

#: What is of no use when it was imported before eventlet has patched the
#: standard library; _monkey_patch() of nova/monkey_patch.py names the two.
_UNPATCHABLE = {'urllib3', 'oslo_context'}

#: Where oslo.config has its own drivers.
_DRIVERS = 'oslo_config.sources.'

#: What calls us then, and stays.
_CALLERS = {'__main__', 'nova', 'nova_cells_persist', 'oslo_config'}


def forget():
    """Have what eventlet cannot patch any more be imported once again."""
    modules = {name: module for name, module in sys.modules.items()
               if isinstance(module, types.ModuleType)}
    forgotten, packages = set(), _UNPATCHABLE
    while packages:
        forgotten |= {name for name in modules if _package(name) in packages}
        using = {name for name in modules.keys() - forgotten
                 if _uses(modules[name], forgotten)}
        packages = {_package(name) for name in using} - _CALLERS
    # What is left of those that use it are the callers, and their drivers.
    forgotten |= {name for name in using if name.startswith(_DRIVERS)}
    for name in forgotten:
        del sys.modules[name]


def _package(name):
    return name.partition('.')[0]


def _uses(module, names):
    """Whether a module has imported something of modules of these names.

    Not so a package in which one of them is.
    """
    return any(used in names and not used.startswith(module.__name__ + '.')
               for used in map(_origin, list(vars(module).values())))


def _origin(thing):
    """Return the name of the module that a thing is, or is of, if any."""
    if isinstance(thing, types.ModuleType):
        return thing.__name__
    if isinstance(thing, (type, types.FunctionType)):
        return thing.__module__
    return None
