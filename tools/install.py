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

"""Install the plugin beside a Nova, and see that nothing of Nova changes.

``tox -e install [-- RELEASE ...]``

Each release is installed under its constraints into a virtual environment of
its own. Then the wheel is, as README.rst says and without constraints. What
was there must be there in the same version, and ``pip check`` must find
nothing that it has not found before.
"""

import argparse
import os
import subprocess
import sys
import tempfile

from tools import environments
from tools import errors

#: The oldest and the newest, and the last under sqlalchemy-migrate.
RELEASES = ('25.3.0', '27.5.1', '34.0.0')


def said(environment, *arguments):
    """Return what pip says in an environment, a list of lines."""
    return subprocess.run(
        [environment.program('python'), '-m', 'pip',
         '--disable-pip-version-check', *arguments],
        stdout=subprocess.PIPE, text=True).stdout.splitlines()


class Look:
    """What is in an environment.

    :ivar versions: lines such as ``nova==34.0.0``
    :ivar problems: what ``pip check`` finds, lines
    """

    def __init__(self, environment):
        self.versions = said(environment, 'freeze', '--all')
        self.problems = [line for line in said(environment, 'check')
                         if line != 'No broken requirements found.']


def judge(before, after):
    """Return what is wrong after an installation, a list of str."""
    wrong = ['%s is not there any more' % version for version in sorted(
        set(before.versions) - set(after.versions))]
    wrong += ['pip check: %s' % problem for problem in after.problems
              if problem not in before.problems]
    if not any(version.startswith('nova-cells-persist ')
               for version in after.versions):
        wrong.append('the plugin is not there')
    return wrong


def install(release, wheel):
    """Install one release, then the plugin, and print what has come of it.

    :param wheel: its path
    :returns: what is wrong, a list of str
    """
    with tempfile.TemporaryDirectory(prefix='install-') as folder:
        environment = environments.nova(folder, release, None)
        before = Look(environment)
        environment.pip('install', environments.with_extras(wheel, release))
        after = Look(environment)
    wrong = judge(before, after)
    added = [version.partition('==')[0].partition(' @')[0]
             for version in after.versions if version not in before.versions]
    print('Nova %s: %d distributions, then also %s' % (
        release, len(before.versions), ', '.join(added) or 'nothing'))
    for problem in before.problems:
        print('  pip check, before: ' + problem)
    for each in wrong or ['all is as it was']:
        print('  ' + each, flush=True)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('release', nargs='*', default=RELEASES,
                        help='of Nova (default: %s)' % ', '.join(RELEASES))
    releases = parser.parse_args().release
    wrong = []
    try:
        with tempfile.TemporaryDirectory(prefix='wheel-') as folder:
            wheel = environments.wheel(os.path.join(folder, 'wheel'))
            for release in releases:
                wrong += install(release, wheel)
    except errors.ToolError as exc:
        print(exc)
        return 1
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
