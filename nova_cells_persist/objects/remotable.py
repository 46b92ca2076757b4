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

"""What Nova 34 has dropped of nova/objects/base.py."""

from nova.objects import base


def remotable_classmethod(function):
    """Decorate as the Nova beside us does; 34 has dropped its own."""
    legacy = getattr(base, 'remotable_classmethod', None)
    if legacy is not None:
        return legacy(function)
    return classmethod(base.remotable(function))
