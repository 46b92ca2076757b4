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

"""Give an installed Nova the samples that its functional tests compare with.

They stand in ``doc`` beside the package ``nova``, where a source tree has
them. The wheel has none, the source distribution of the same version has.
"""

import glob
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile

SAMPLES = ('api_samples', 'api_schemas', 'notification_samples')


def bring():
    """Put ``doc`` beside the package, unless it is there.

    :raises subprocess.CalledProcessError: pip could not download Nova's source
        distribution; it has said why
    """
    package = importlib.util.find_spec('nova').submodule_search_locations[0]
    doc = os.path.join(os.path.dirname(package), 'doc')
    if all(os.path.isdir(os.path.join(doc, name)) for name in SAMPLES):
        return
    with tempfile.TemporaryDirectory(prefix='nova-samples-') as scratch:
        _download(importlib.metadata.version('nova'), scratch)
        [source] = glob.glob(os.path.join(scratch, '*.tar.gz'))
        with tarfile.open(source) as archive:
            _extract(archive, os.path.dirname(doc))


def _download(version, folder):
    subprocess.run(
        [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps',
         '--no-binary', 'nova', '--dest', folder, 'nova==' + version],
        check=True)


def _extract(archive, beside):
    """Extract doc/<each of SAMPLES>, without the folder at the top of it."""
    wanted = ['doc/%s/' % name for name in SAMPLES]
    # Debian 12's Python 3.11.2 has none.
    archive.extraction_filter = getattr(tarfile, 'data_filter', None)
    for member in archive.getmembers():
        member.name = member.name.partition('/')[2]
        if member.name.startswith(tuple(wanted)):
            archive.extract(member, beside)
