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

"""What a hook is.

A hook wraps functions of one module, of Nova but for two. It is applied when
that is imported, or at once if it has been: a hook never makes a service
import a part of Nova that it does not use.
"""

import sys

import wrapt

from nova_cells_persist import setup_error


def refuse(reason):
    """End the process with a sentence, since Nova must not run in it.

    mod_wsgi lives on, and loads the application again for the next request.
    Nova then parses no configuration again, so that it would run without
    the plugin. It is made to refuse each time.

    :param reason: the sentence, or an exception with it
    :raises: SystemExit
    """
    def again(wrapped, instance, args, kwargs):
        raise SystemExit(str(reason))

    wsgi_app = sys.modules.get('nova.api.openstack.wsgi_app')
    if wsgi_app is not None:
        wrapt.wrap_function_wrapper(wsgi_app, '_setup_service', again)
    raise SystemExit(str(reason))


class Hook:
    """A wrapper round functions of one module of Nova.

    Subclasses set ``module`` and ``attributes`` and implement ``call``.

    :cvar module: the full name of the module
    :cvar attributes: dotted names in it, such as 'API.resize'
    :cvar optional: whether a Nova that lacks an attribute is all right
    """

    module = None
    attributes = ()
    optional = False

    def __init__(self, name):
        self.name = name
        self._active = False
        self._wrapped = []   # (owner, attribute, what was there)

    def call(self, wrapped, instance, args, kwargs):
        """Stand in for the wrapped function; see wrapt.FunctionWrapper."""
        raise NotImplementedError()

    def apply(self):
        """Wrap the functions now, or as soon as their module is imported.

        :raises: HookTargetMissing if the module is there and a function that
            is not optional is missing
        """
        self._active = True
        if self.module in sys.modules:
            self._wrap(sys.modules[self.module])
        else:
            wrapt.register_post_import_hook(self._wrap_late, self.module)

    def undo(self):
        """Put back what was there. Wraps nothing that is imported later."""
        self._active = False
        while self._wrapped:
            owner, attribute, original = self._wrapped.pop()
            setattr(owner, attribute, original)

    def _wrap_late(self, module):
        if not self._active:   # undone before the module was imported
            return
        try:
            self._wrap(module)
        except setup_error.HookTargetMissing as exc:
            refuse(exc)   # no caller is left to do it

    def _wrap(self, module):
        for path in self.attributes:
            try:
                owner, attribute, _ = wrapt.resolve_path(module, path)
            except AttributeError:
                if self.optional:
                    continue
                raise setup_error.HookTargetMissing(
                    module=self.module, attribute=path, hook=self.name)
            # Not getattr(): of a staticmethod that is the bare function.
            original = vars(owner)[attribute]
            wrapt.wrap_function_wrapper(module, path, self.call)
            self._wrapped.append((owner, attribute, original))
