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

"""Build the sdist and the wheel of what is committed, the same for everyone.

``python -m tools.build FOLDER``; ``tox -e build`` does it.

Whoever builds a commit with the same setuptools gets the same bytes, whatever
the folder, the time and the umask. The time in them is that of the commit.
This is seen to by building twice, with all three differing.
"""

import argparse
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

UMASKS = (0o022, 0o077)


def git(*arguments):
    """Return what git says of this tree, bytes."""
    return subprocess.run(['git', '-C', ROOT, *arguments], check=True,
                          stdout=subprocess.PIPE).stdout


def build(folder):
    """Build what is committed.

    :param folder: where to put the sdist and the wheel
    """
    time = int(git('log', '-1', '--format=%ct'))
    with tempfile.TemporaryDirectory(prefix='build-') as tree:
        committed = io.BytesIO(git('-c', 'tar.umask=0022', 'archive', 'HEAD'))
        with tarfile.open(fileobj=committed) as archive:
            # The argument named filter came within 3.11, with 3.11.4.
            archive.extraction_filter = lambda member, path: member
            archive.extractall(tree)
        subprocess.run(
            [sys.executable, '-m', 'build', '--outdir', folder, tree],
            env=dict(os.environ, SOURCE_DATE_EPOCH=str(time)), umask=0o022,
            check=True)
    for name in os.listdir(folder):
        if name.endswith('.tar.gz'):
            settle(os.path.join(folder, name), time)


def settle(path, time):
    """Write an sdist again, without what differs from build to build.

    setuptools heeds SOURCE_DATE_EPOCH in the wheel, not here: it notes the
    time at which it has made a file, and who it was.

    :param time: in seconds since 1970
    """
    with tarfile.open(path) as archive:
        members = [
            (member, archive.extractfile(member) if member.isfile() else None)
            for member in archive.getmembers()]
        contents = [(member, file and file.read()) for member, file in members]
    with open(path, 'wb') as file, gzip.GzipFile(
            '', 'wb', fileobj=file, mtime=time) as zipped, tarfile.open(
            fileobj=zipped, mode='w') as archive:
        for member, content in contents:
            member.pax_headers = {}
            member.mtime = time
            member.uid = member.gid = 0
            member.uname = member.gname = ''
            archive.addfile(member, content and io.BytesIO(content))


def differing(one, other):
    """Return the names of the files that are not the same in two folders."""
    return sorted(name for name in {*os.listdir(one), *os.listdir(other)}
                  if _content(one, name) != _content(other, name))


def _content(folder, name):
    path = os.path.join(folder, name)
    if os.path.exists(path):
        with open(path, 'rb') as file:
            return file.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', help='where to put them, and nothing else')
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory(prefix='built-') as scratch:
        places = [os.path.join(scratch, oct(umask)) for umask in UMASKS]
        for umask, place in zip(UMASKS, places):
            os.umask(umask)
            build(place)
        unlike = differing(*places)
        if unlike:
            print('Not the same when built again: ' + ', '.join(unlike))
            return 1
        os.umask(UMASKS[0])
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(places[0], folder)
    print('The same when built again: ' + ', '.join(os.listdir(folder)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
