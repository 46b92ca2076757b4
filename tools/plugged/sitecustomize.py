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

"""Put the plugin on inside Nova's own tests.

``tools/nova_functional.py`` sets this folder on PYTHONPATH, so that every
Python that the test runner starts imports this module first. It only leaves a
note to plug in as soon as ``nova.test`` is there: nothing of Nova may be
imported before Nova's own monkey patching.
"""

import os
import sys


def _plug(module):
    # The import system sets this only after we return.
    sys.modules['nova'].test = module

    from nova_cells_persist import fixture

    fixture.plug_into_nova_tests()
    # The runner wants proof: a run that was silently stock proves nothing.
    with open(os.environ['NOVA_CELLS_PERSIST_PLUGGED'], 'a') as proof:
        proof.write('%d\n' % os.getpid())


if 'NOVA_CELLS_PERSIST_PLUGGED' in os.environ:
    try:
        import wrapt

        wrapt.register_post_import_hook(_plug, 'nova.test')
    except Exception as exc:
        # Python swallows an Exception from here and would run stock.
        sys.exit('The plugin cannot be put on: %s' % exc)
