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

"""That the documents name what there is, and nothing that there is not."""

import configparser
import contextlib
import io
import os
import re
import shlex

from cliff import commandmanager
from oslo_config import cfg
from oslo_upgradecheck import upgradecheck
import testtools

from nova import conf as nova_conf

import nova_cells_persist
from nova_cells_persist.cmd import main
from nova_cells_persist.cmd import status
from nova_cells_persist import conf
from nova_cells_persist.db import models
from nova_cells_persist.reconcile import backfill
from nova_cells_persist.reconcile import codes

from tests import pages

#: What is written by hand, below doc/source.
GUIDES = ('install', 'configuration', 'admin')

#: A call that names the revision that it saves.
EVENT = re.compile(
    r"\b(?:during\(|(?:follow|reconcile|_write)\([^()]*)'([a-z_]+)'[,)]")

#: A command within a sentence.
INLINE = re.compile(r'``(nova-cells-persist(?:-status)? [^`]+)``')


#: What stands for a server in a command.
SOME_UUID = '0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f9'


def commands():
    """Return the names of all commands, such as 'db sync'."""
    return sorted(name for name, _ in commandmanager.CommandManager(
        main.NAMESPACE))


def events():
    """Return what revisions are called that are saved, from the code."""
    found = {backfill.EVENT}
    for path, _, names in os.walk(
            os.path.dirname(nova_cells_persist.__file__)):
        for name in names:
            if name.endswith('.py'):
                with open(os.path.join(path, name)) as file:
                    found.update(EVENT.findall(file.read()))
    return found


def guides():
    """Return the text of the guides."""
    return '\n'.join(
        pages.read(path) for path in pages.paths()
        if os.path.relpath(path, pages.SOURCE).split(os.sep)[0] in GUIDES)


class NamedTestCase(testtools.TestCase):
    """What there is, is in the documents."""

    def test_commands(self):
        text = ' '.join(guides().split())
        for name in commands():
            self.assertRegex(text, r'(``|nova-cells-persist )%s\b' % name)

    def test_references_are_made_of_the_code(self):
        for page, directive in (
                ('cli', 'autoprogram-cliff:: ' + main.NAMESPACE),
                ('configuration', 'show-options:: nova_cells_persist'),
                ('configuration', 'nova-cells-persist.conf.sample')):
            self.assertIn(directive, pages.read(page, 'index.rst'))

    def test_options(self):
        for option in conf.OPTS:
            self.assertIn('``%s``' % option.name, guides())

    def test_events(self):
        table = pages.read('admin', 'moves.rst').split('   * - event\n')[1]
        named = set(re.findall(
            r'[a-z_]+', ' '.join(re.findall(r'^   \* - (.*)$', table.split(
                '\n\n')[0], re.MULTILINE))))
        self.assertLessEqual(
            {'backfill', 'heal', 'pin', 'restored', 'sync'}, events())
        self.assertEqual(set(), events() - named)

    def test_findings(self):
        page = pages.read('admin', 'mending.rst')
        table = page.split('.. findings::')[1].split('\n\nWhat')[0]
        self.assertEqual(list(codes.MEANINGS),
                         re.findall(r'^   :([a-z-]+): ', table, re.MULTILINE))

    def test_upgrade_check(self):
        page = pages.read('cli', 'index.rst')
        for name, _ in status.Checks._upgrade_checks:
            self.assertIn('\n``%s``\n' % name, page)
        self.assertIn('.. option:: --%s\n' % status.EVERYWHERE.name, page)
        self.assertIn('.. option:: --%s NAME\n' % status.EMPTY.name, page)

    def test_columns(self):
        page = pages.read('reference', 'request-spec.rst')
        for column in models.request_spec.columns:
            self.assertIn('``%s``' % column.name, page)

    def test_troubles(self):
        titles = re.findall(r'^T(\d): ', pages.read('admin', 'runbooks.rst'),
                            re.MULTILINE)
        self.assertEqual(list('123456789'), titles)


class RightTestCase(testtools.TestCase):
    """What is in the documents, there is."""

    def test_commands_in_blocks(self):
        found = [command for path in pages.paths()
                 for block in pages.blocks(path)
                 for command in _in_block(block)]
        self.assertGreater(len(found), 25)
        for command in found:
            self.assert_accepted(command)

    def test_commands_in_sentences(self):
        for path in pages.paths():
            if path.startswith(pages.SOURCE):
                for command in INLINE.findall(pages.read(path)):
                    if '...' not in command:
                        self.assert_accepted(' '.join(command.split()))

    def assert_accepted(self, command):
        words = shlex.split(command, comments=True)
        if '|' in words:
            words = words[:words.index('|')]
        words = [SOME_UUID if word in ('$SERVER', '$OTHER', 'UUID') else word
                 for word in words]
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                PARSERS[words[0]](words[1:])
        except (SystemExit, ValueError) as exc:
            self.fail('%s: %s %s' % (command, exc, said.getvalue()))

    def test_a_wrong_command_is_seen(self):
        for command in ('nova-cells-persist audit stuck',
                        'nova-cells-persist audit --no-such-option',
                        'nova-cells-persist db snyc',
                        'nova-cells-persist-status upgrade chek',
                        'nova-cells-persist-status --some upgrade check'):
            self.assertRaises(self.failureException, self.assert_accepted,
                              command)

    def test_options(self):
        wrong = [each for path in pages.paths()
                 for block in pages.blocks(path)
                 for each in _unknown_options(block)]
        self.assertEqual([], wrong)

    def test_a_wrong_option_is_seen(self):
        block = pages.Block('', '', 'ini', 0, """
[DEFAULT]
config_source = cells_persist
config_sources = cells_persist
[cells_persist]
driver = nova_cells_persist
mirror_build_request = false
[workarounds]
disable_group_policy_check_upcall = true
disable_everything = true
""")
        self.assertEqual(
            [('DEFAULT', 'config_sources'),
             ('cells_persist', 'mirror_build_request'),
             ('workarounds', 'disable_everything')], _unknown_options(block))


def _in_block(block):
    """Return the commands of the plugin in a block, a list of str."""
    if block.language == 'console':
        lines = [command for command, _ in pages.commands(block)]
    elif block.language == '':
        lines = block.text.splitlines()
    else:
        return []
    # And no line of a log, which has the version there.
    return [line for line in lines
            if re.match(r'nova-cells-persist(-status)? +[a-z-]', line)]


def _unknown_options(block):
    """Return [(section, key)] of what is no option, in a part of nova.conf."""
    if not block.text.lstrip().startswith('['):
        return []
    parser = configparser.ConfigParser(default_section=None)
    parser.read_string(block.text)
    return [(section, key) for section in parser.sections()
            for key in parser[section] if not _is_option(section, key)]


def _is_option(section, key):
    if section == conf.GROUP.name:
        return key == 'driver' or key in [each.name for each in conf.OPTS]
    if section == 'DEFAULT':
        return key == 'config_source' or key in nova_conf.CONF
    return key in nova_conf.CONF[section]


def _parse(argv):
    """Parse the arguments of nova-cells-persist.

    :raises: SystemExit or ValueError if they are none
    """
    app = main.CellsPersistApp()
    _, rest = app.parser.parse_known_args(argv)
    factory, name, rest = app.command_manager.find_command(rest)
    factory(app, None).get_parser(name).parse_args(rest)


def _parse_status(argv):
    """Parse the arguments of nova-cells-persist-status."""
    options = cfg.ConfigOpts()
    options.register_cli_opts([status.EVERYWHERE, status.EMPTY])
    upgradecheck.register_cli_options(options, status.Checks())
    options(argv, project='nova', default_config_files=[],
            default_config_dirs=[])
    # Which oslo.upgradecheck looks at when it runs.
    if argv[argv.index('upgrade') + 1] != 'check':
        raise ValueError('there is nothing but "upgrade check"')


PARSERS = {'nova-cells-persist': _parse,
           'nova-cells-persist-status': _parse_status}
