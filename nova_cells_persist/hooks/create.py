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

"""The create path: the RequestSpec becomes a field of the BuildRequest."""

from nova_cells_persist.hooks import base


class FieldOfBuildRequest(base.Hook):
    """Wraps API._create_reqspec_buildreq_instmapping of nova.compute.api.

    That function opens the one transaction in which Nova writes the three
    rows of an accepted server. All that is done here is to tell the
    BuildRequest of the RequestSpec; both then write their rows of the plugin
    in the same transaction.
    """

    module = 'nova.compute.api'
    attributes = ('API._create_reqspec_buildreq_instmapping',)

    def call(self, wrapped, instance, args, kwargs):
        return _create(wrapped, *args, **kwargs)


def _create(wrapped, context, rs, br, im):
    br.request_spec = rs
    return wrapped(context, rs, br, im)
