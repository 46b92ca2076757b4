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

"""The releases: which plugin, which Nova, and whether that will do."""

import importlib.metadata

from nova_cells_persist import setup_error

#: The first and the last major release of Nova that this code was made for.
SUPPORTED = (25, 34)


def version():
    """Return the version of nova-cells-persist as a string."""
    return importlib.metadata.version('nova-cells-persist')


def nova_version():
    """Return the version of the Nova beside us as a string.

    :raises: NovaNotFound if there is none
    """
    try:
        return importlib.metadata.version('nova')
    except importlib.metadata.PackageNotFoundError:
        raise setup_error.NovaNotFound()


def nova_release():
    """Return the major release of the Nova beside us, such as 34.

    :raises: NovaNotFound if there is none
    """
    return int(nova_version().split('.')[0])


def check_supported():
    """Raise UnsupportedNova unless the Nova beside us is in SUPPORTED."""
    first, last = SUPPORTED
    if not first <= nova_release() <= last:
        raise setup_error.UnsupportedNova(
            plugin=version(), nova=nova_version(), first=first, last=last)
