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

"""Give an installed Nova the ``etc`` folder that its test fixtures look for.

Nova's fixtures take the paste configuration from ``etc/nova/api-paste.ini``
beside the package ``nova``, where a source tree has it. The wheel puts it into
``<venv>/etc/nova``. One symbolic link makes the two agree.
"""

import importlib.util
import os
import sys


def link():
    """Link ``<site-packages>/etc`` to ``<venv>/etc`` unless it is there.

    May be called by any number of test workers at the same time. Nova itself
    is not imported: that must wait for its monkey patching.

    :raises RuntimeError: Nova is not installed, or its wheel brought no
        ``etc/nova``, or a foreign ``etc`` stands in the way.
    """
    spec = importlib.util.find_spec('nova')
    if spec is None:
        raise RuntimeError('Nova is not installed in %s.' % sys.prefix)
    beside = os.path.dirname(os.path.dirname(spec.origin))
    try:
        os.symlink(os.path.join(sys.prefix, 'etc'),
                   os.path.join(beside, 'etc'))
    except FileExistsError:
        pass
    wanted = os.path.join(beside, 'etc', 'nova', 'api-paste.ini')
    if not os.path.exists(wanted):
        raise RuntimeError(
            "Nova's test fixtures need %s, and it is not there." % wanted)
