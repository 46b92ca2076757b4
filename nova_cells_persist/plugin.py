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

"""Put the plugin on Nova, and take it off again.

What is put on is registered under two stevedore namespaces: subclasses of
Nova's objects, and hooks for the few places where an object is not enough.
"""

import sys

from oslo_config import cfg
import stevedore

from nova_cells_persist import conf as plugin_conf
from nova_cells_persist import releases
from nova_cells_persist import setup_error

OBJECTS = 'nova_cells_persist.objects'
HOOKS = 'nova_cells_persist.hooks'

# What was put on, in order; each has undo().
_applied = []


def is_loaded():
    """Whether the plugin is on in this process."""
    return bool(_applied)


def load():
    """Put the plugin on the Nova of this process; do nothing if it is on.

    Registers the options, then the objects, then the hooks. Contacts no
    database. Either all of it is put on or none.

    :raises: setup_error.SetupError if that is not possible
    """
    if is_loaded():
        return
    releases.check_supported()
    plugin_conf.register_opts(cfg.CONF)
    from nova_cells_persist.db import known_tables
    try:
        _put_on(known_tables.KnownTables())
        for name, obj in _extensions(OBJECTS).items():
            _put_on(ObjectReplacement(name, obj))
        for name, hook in _extensions(HOOKS).items():
            _put_on(hook(name))
    except BaseException:
        unload()
        raise


def unload():
    """Take the plugin off: Nova is in this process as it was before load().

    The options stay registered; nothing reads them.
    """
    while _applied:
        _applied.pop().undo()


def summary():
    """Return one line for the log that says what is on."""
    names = [thing.name for thing in _applied]
    return 'nova-cells-persist %s is on for Nova %s: %s' % (
        releases.version(), releases.nova_version(), ', '.join(names))


def _put_on(thing):
    # First noted, since what is half applied has to be undone as well.
    _applied.append(thing)
    thing.apply()


def _extensions(namespace):
    """Load a namespace and return {name: what its entry point names}."""
    def failed(manager, entry_point, exc):
        if isinstance(exc, setup_error.SetupError):
            raise exc
        raise setup_error.BrokenExtension(
            name=entry_point.name, namespace=namespace,
            reason='%s: %s' % (type(exc).__name__, exc)) from exc

    found = {}
    for extension in stevedore.ExtensionManager(
            namespace, on_load_failure_callback=failed):
        first = found.setdefault(extension.name, extension)
        if first.entry_point_target != extension.entry_point_target:
            raise setup_error.DuplicateExtension(
                name=extension.name, namespace=namespace,
                first=first.entry_point_target,
                second=extension.entry_point_target)
    return {name: extension.plugin for name, extension in found.items()}


class ObjectReplacement:
    """One of Nova's objects, replaced by a subclass of it.

    The subclass has the name and the version of its parent, so on the wire
    it is the same object, and ``nova.objects.<name>`` becomes the subclass.

    The name in the parent's own module stays with the parent, because there
    it stands in super(RequestSpec, self), which would find itself for ever.
    A list class says no such thing, and gives its name to ours.

    :param name: such as 'RequestSpec'
    :param obj: the subclass
    """

    def __init__(self, name, obj):
        self.name = name
        self.obj = obj
        self.stock = obj.__mro__[1]

    def apply(self):
        from nova.objects import base
        registered = base.NovaObjectRegistry.obj_classes()[self.name][0]
        for found in [registered] + [
                getattr(place, self.name) for place in self._places()]:
            if found is not self.stock:
                raise setup_error.ObjectReplaced(
                    name=self.name,
                    found='%s.%s' % (found.__module__, found.__qualname__))
        self._have_static_methods()
        base.NovaObjectRegistry.register(self.obj)
        for place in self._places():
            setattr(place, self.name, self.obj)

    def _have_static_methods(self):
        """Give ours the static methods that it inherits, by delegation.

        Tests of Nova patch them on the class that nova.objects names. What
        is put back then has to be a static method of that class.
        """
        for name, attribute in vars(self.stock).items():
            if isinstance(attribute, staticmethod) and (
                    name not in vars(self.obj)):
                setattr(self.obj, name, staticmethod(
                    _delegate(self.stock, name)))

    def undo(self):
        from nova.objects import base
        registered = base.NovaObjectRegistry.obj_classes()[self.name]
        # Nova's own tests put an older registry back between two tests.
        if self.obj in registered:
            registered[registered.index(self.obj)] = self.stock
        for place in self._places():
            if getattr(place, self.name) is self.obj:
                setattr(place, self.name, self.stock)

    def _places(self):
        """Return the modules in which the name is ours while it is on."""
        from nova import objects
        from nova.objects import base
        places = [objects]
        if issubclass(self.stock, base.ObjectListBase):
            places.append(sys.modules[self.stock.__module__])
        return places


def _delegate(owner, name):
    def delegate(*args, **kwargs):
        return getattr(owner, name)(*args, **kwargs)
    return delegate
