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

"""Virtual environments, made once for what is in them."""

import contextlib
import dataclasses
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

from tools import errors

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONSTRAINTS = os.path.join(ROOT, 'constraints')

#: Of what a program has said, how much is shown when it fails.
LAST_LINES = 25

# eventlet and sqlalchemy-migrate still import pkg_resources.
SETUPTOOLS = 'setuptools<82'


@dataclasses.dataclass(frozen=True)
class Environment:
    """A virtual environment.

    :param folder: an absolute path
    """

    folder: str

    def path(self, name):
        return os.path.join(self.folder, name)

    def program(self, name):
        return os.path.join(self.folder, 'bin', name)

    def has(self, module):
        """Return whether there is a file below site-packages."""
        return bool(glob.glob(self.path(
            'lib/python3*/site-packages/' + module)))

    def pip(self, *arguments):
        run([self.program('python'), '-m', 'pip', '--quiet',
             '--disable-pip-version-check', *arguments])


def run(command, env=None, log=None):
    """Run a program to its end.

    :param log: a path; what it says is added to that file
    :raises: CommandFailed
    """
    with (open(log, 'a+b') if log else tempfile.TemporaryFile()) as said:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            env=dict(os.environ, **env or {}))
        if done.returncode:
            said.seek(0)
            lines = said.read().decode(errors='replace').splitlines()
            shown = [os.path.basename(command[0]), *command[1:]]
            raise errors.CommandFailed(
                ' '.join(shown), done.returncode,
                lines[-LAST_LINES:])


def constraints(name):
    """Return the path of a file in constraints/, or None."""
    path = os.path.join(CONSTRAINTS, name + '.txt')
    return path if os.path.exists(path) else None


def made(cache, name, requirements, pins, local=()):
    """Return an environment that has been made, or make it.

    :param cache: the folder of all of them
    :param pins: path of a file of constraints, or None
    :param local: folders of distributions to install without building apart
    """
    digest = hashlib.sha256()
    for part in (sys.version, *requirements, *local):
        digest.update(part.encode() + b'\n')
    for path in filter(None, [pins, *(
            file for folder in local
            for file in sorted(glob.glob(folder + '/*.*')))]):
        with open(path, 'rb') as file:
            digest.update(file.read())
    folder = os.path.join(cache, '%s-%s' % (name, digest.hexdigest()[:12]))
    environment = Environment(folder)
    if not os.path.exists(folder + '/complete'):
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, '-m', 'venv', folder])
        environment.pip('install', SETUPTOOLS, 'wheel', 'pip')
        environment.pip('install', SETUPTOOLS, *requirements,
                        *(['--constraint', pins] if pins else []))
        for tree in local:
            with _copy(tree) as copy:
                environment.pip('install', '--no-build-isolation', copy)
        open(folder + '/complete', 'w').close()
    return environment


def nova(cache, version, wheel, more=()):
    """Return the environment of Nova.

    :param version: such as '34.0.0'
    :param wheel: path of the plugin's wheel, or None for a stock Nova
    :param more: requirements beside Nova
    """
    pins = constraints('nova-' + version)
    requirements = ('nova==' + version, *more)
    if wheel is None:
        return made(cache, 'nova-%s-stock' % version, requirements, pins)
    environment = made(cache, 'nova-' + version, requirements, pins)
    install(environment, with_extras(wheel, version), pins)
    return environment


def with_extras(wheel, version):
    """Return what pip is to install of the plugin's wheel beside a Nova."""
    return wheel + ('[migrate]' if major(version) < 28 else '')


def major(version):
    """Return the number of a release of Nova, such as 34, of '34.0.0'."""
    return int(version.partition('.')[0])


def install(environment, wheel, pins):
    """Install a wheel, in place of whatever its distribution is there.

    :param wheel: its path, and extras in brackets
    :param pins: path of a file of constraints, or None
    """
    pinned = ['--constraint', pins] if pins else []
    # What it needs, unless that is there; then itself, although a wheel of
    # this version may be there already.
    environment.pip('install', wheel, SETUPTOOLS, *pinned)
    environment.pip('install', '--force-reinstall', '--no-deps',
                    wheel.partition('[')[0])


def wheel(folder):
    """Build the plugin's wheel from this tree, and return its path.

    :param folder: where to put it; whatever is there goes
    """
    shutil.rmtree(folder, ignore_errors=True)
    with _copy(ROOT) as copy:
        run([sys.executable, '-m', 'pip', '--quiet', 'wheel', '--no-deps',
             '--wheel-dir', folder, copy])
    [path] = glob.glob(os.path.join(folder, '*.whl'))
    return path


@contextlib.contextmanager
def _copy(tree):
    """Copy the tree of a distribution while it is built.

    Beside what it has built setuptools leaves folders, and puts what it finds
    in them into the next wheel.
    """
    with tempfile.TemporaryDirectory() as folder:
        yield shutil.copytree(
            tree, os.path.join(folder, 'tree'),
            ignore=shutil.ignore_patterns(
                '.*', 'build', 'dist', '*.egg-info', '__pycache__'))
