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

"""Tests on a real Nova: its own fixtures, from its wheel, and real databases.

What nova/tests/functional/__init__.py does has to happen here too, before a
test module imports anything of Nova. Up to Nova 31 the import alone patches;
newer releases patch on request, as the environment of the process says.
"""

from nova import monkey_patch

if hasattr(monkey_patch, 'patch'):
    monkey_patch.patch()
