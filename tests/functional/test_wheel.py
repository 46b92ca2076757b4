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

"""The wheel, built and installed into a fresh environment beside Nova."""

import atexit
import functools
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

import fixtures
from oslotest import base
import sqlalchemy as sa

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

#: The folders of the tree that are in the wheel, and what they are there.
FOLDERS = {
    'nova_cells_persist': 'nova_cells_persist',
    'db_migrations': 'nova_cells_persist/db_migrations',
    'nova_cells_persist_tempest_plugin': 'nova_cells_persist_tempest_plugin',
}

# Of the process: that of each test is emptied after it.
TEMP = tempfile.gettempdir()

LOOK = """
import importlib.util, json, os, sys
import stevedore
import nova
import nova_cells_persist
repositories = stevedore.ExtensionManager('nova_cells_persist.migrations')
found = {}
for repository in repositories:
    folder = os.path.dirname(repository.plugin.__file__)
    found[repository.name] = [
        os.path.relpath(os.path.join(place, name), folder)
        for place in (os.path.dirname(folder), folder,
                      os.path.join(folder, 'versions'))
        for name in os.listdir(place)]
json.dump({
    'plugin': nova_cells_persist.__file__,
    'nova': nova.__file__,
    'top_level': importlib.util.find_spec('db_migrations') is not None,
    'repositories': found,
    'places': [repository.plugin.__file__ for repository in repositories],
}, sys.stdout)
"""


def run(*command, **kwargs):
    """Run a command that has to succeed, and return its output."""
    kwargs.setdefault('cwd', TEMP)
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300,
                          **kwargs)
    if done.returncode:
        raise AssertionError('%s: %s\n%s' % (
            ' '.join(command), done.returncode, done.stdout))
    return done.stdout


def can_build():
    """Whether setuptools can build a wheel in this environment."""
    try:
        version = importlib.metadata.version('setuptools')
    except importlib.metadata.PackageNotFoundError:
        return False
    return (tuple(int(part) for part in version.split('.')[:2]) >= (70, 1) or
            importlib.util.find_spec('wheel') is not None)


@functools.lru_cache
def workshop():
    """Return a folder that is kept for as long as the process."""
    folder = tempfile.mkdtemp(dir=TEMP)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.lru_cache
def wheel():
    """Build the wheel from a copy of the tree and return its path."""
    source = os.path.join(workshop(), 'source')
    os.mkdir(source)
    for name in ('setup.cfg', 'pyproject.toml', 'MANIFEST.in', 'LICENSE',
                 'README.rst'):
        path = os.path.join(ROOT, name)
        if os.path.exists(path):
            shutil.copy(path, source)
    for name in FOLDERS:
        shutil.copytree(os.path.join(ROOT, name),
                        os.path.join(source, name),
                        ignore=shutil.ignore_patterns('__pycache__'))
    isolation = ['--no-build-isolation'] if can_build() else []
    run(sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps',
        *isolation, '--wheel-dir', workshop(), source)
    name, = [name for name in os.listdir(workshop())
             if name.endswith('.whl')]
    return os.path.join(workshop(), name)


@functools.lru_cache
def environment():
    """Return a fresh virtual environment with the wheel beside Nova.

    Nova and all else is that of the running environment. Its folder is only
    appended to the path, so what .pth files there do, as that of an editable
    install, is not done here.
    """
    folder = os.path.join(workshop(), 'venv')
    run(sys.executable, '-m', 'venv', '--without-pip', folder)
    python = os.path.join(folder, 'bin', 'python')
    run(sys.executable, '-m', 'pip', '--python', python, 'install', '--quiet',
        '--no-deps', '--no-index', '--disable-pip-version-check', wheel())
    with open(os.path.join(site_packages(folder), 'beside.pth'), 'w') as pth:
        for key in ('purelib', 'platlib'):
            pth.write(sysconfig.get_path(key) + '\n')
    return folder


def site_packages(folder):
    return sysconfig.get_path('purelib', vars={'base': folder,
                                               'platbase': folder})


class WheelTestCase(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        # stevedore keeps a cache at home.
        self.home = self.useFixture(fixtures.TempDir()).path
        self.environ = {name: value for name, value in os.environ.items()
                        if not name.startswith(('PYTHON', 'XDG_', 'OS_'))}
        self.environ['HOME'] = self.home

    def run_there(self, program, *argv):
        return run(os.path.join(environment(), 'bin', program), *argv,
                   cwd=self.home, env=self.environ)

    def test_what_is_in_it(self):
        with zipfile.ZipFile(wheel()) as archive:
            names = set(archive.namelist())
        self.assertEqual(
            {'nova_cells_persist', 'nova_cells_persist_tempest_plugin',
             'nova_cells_persist-0.1.0.dist-info'},
            {name.partition('/')[0] for name in names})
        for folder, place in FOLDERS.items():
            top = os.path.join(ROOT, folder)
            for path, _, files in os.walk(top):
                for name in files:
                    if not name.endswith('.pyc'):
                        self.assertIn(os.path.normpath(os.path.join(
                            place, os.path.relpath(path, top), name)), names)
        # Without it a type checker takes nothing for typed.
        self.assertIn('nova_cells_persist/py.typed', names)

    def test_repositories(self):
        found = json.loads(self.run_there('python', '-W', 'ignore', '-c',
                                          LOOK))
        packages = os.path.realpath(site_packages(environment()))
        for place in [found['plugin'], *found['places']]:
            self.assertTrue(os.path.realpath(place).startswith(packages),
                            place)
        self.assertFalse(found['nova'].startswith(environment()))
        self.assertFalse(found['top_level'])
        self.assertNotIn('db_migrations', os.listdir(packages))
        self.assertEqual({'api', 'cell'}, set(found['repositories']))
        for kind, names in found['repositories'].items():
            for name in ('migrate.cfg', '../env.py', '../script.py.mako',
                         'versions/001_%s_initial.py' % kind):
                self.assertIn(name, names)

    def test_help(self):
        output = self.run_there('nova-cells-persist', '--help')
        self.assertIn('usage: nova-cells-persist', output)
        self.assertIn('db sync', output)

    def test_sync(self):
        database = os.path.join(self.home, 'cell')
        conf = os.path.join(self.home, 'nova.conf')
        with open(conf, 'w') as conf_file:
            conf_file.write('[DEFAULT]\ntransport_url = fake:/\n[database]\n'
                            'connection = sqlite:///%s\n' % database)
        output = self.run_there('nova-cells-persist', '--config-file', conf,
                                'db', 'sync')
        self.assertIn('brought from version none to version 001', output)
        engine = sa.create_engine('sqlite:///' + database)
        self.addCleanup(engine.dispose)
        self.assertTrue(sa.inspect(engine).has_table('request_spec'))
