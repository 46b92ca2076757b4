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

"""The DevStack plugin, in a DevStack of stubs, and the jobs of Zuul."""

import configparser
import os
import re
import subprocess

import ddt
import fixtures
from oslo_config import cfg
from oslotest import base
import yaml

from nova_cells_persist.cmd import main
from nova_cells_persist import conf as plugin_conf
from tests import tox_ini

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))

CONTROLLER = 'mysql,key,n-api,n-cond,n-sch,n-cpu,n-novnc,tempest'
SUBNODE = 'n-cpu,q-agt,placement-client'
WITHOUT_NOVA = 'mysql,key,g-api,tempest'

# What stack.sh, unstack.sh and clean.sh do that has to do with Nova, in their
# order. A folder stands for the machine: what exists in it has been done.
# Each step of DevStack, of Nova and of the plugin is a line in "journal".
DEVSTACK = r"""
DEST=$MACHINE/opt
DATABASE_BACKENDS="mysql postgresql"
NOVA_BIN_DIR=$MACHINE/venv/bin
NOVA_CONF_DIR=$MACHINE/etc
NOVA_CONF=$NOVA_CONF_DIR/nova.conf
NOVA_CPU_CONF=$NOVA_CONF_DIR/nova-cpu.conf
NOVA_NUM_CELLS=${NOVA_NUM_CELLS:-2}
mkdir -p $NOVA_BIN_DIR $NOVA_CONF_DIR

function journal { echo "$*" >> $MACHINE/journal; }

# Functions of DevStack

function echo_summary { :; }
function define_plugin { journal "define_plugin $*"; }
function die { journal "die ${*:2}"; exit 1; }

function trueorfalse {
    case "${!2:-}" in
        [tT]rue|1) echo True ;;
        [fF]alse|0) echo False ;;
        *) echo $1 ;;
    esac
}

function is_service_enabled {
    local service
    for service in "$@"; do
        case ",$ENABLED_SERVICES," in *",$service,"*) return 0 ;; esac
        if [[ $service == nova && ",$ENABLED_SERVICES" == *",n-"* ]]; then
            return 0
        fi
    done
    return 1
}

function inidelete {
    sed -i "/^\[$2\]\$/,/^\[/ { /^$3 *=/ d; }" $1
}

function iniset {
    journal "iniset $1 $2 $3"
    touch $1
    inidelete "$@"
    if ! grep -q "^\[$2\]\$" $1; then
        echo "[$2]" >> $1
    fi
    sed -i "/^\[$2\]\$/ a $3 = $4" $1
}

# What runs in the background writes the file as it was when it began.
function async_runfunc {
    cp $NOVA_CONF $MACHINE/$1
}

function async_wait {
    journal "async_wait $1"
    if [[ -e $MACHINE/$1 ]]; then
        mv $MACHINE/$1 $NOVA_CONF
        iniset $NOVA_CONF neutron auth_type password
    fi
}

function setup_develop {
    journal "setup_develop ${PIP_VIRTUAL_ENV:-system} $*"
    local command
    for command in nova-cells-persist nova-cells-persist-status; do
        cp $MACHINE/command $NOVA_BIN_DIR/$command
    done
}

function pip_uninstall {
    journal "pip_uninstall ${PIP_VIRTUAL_ENV:-system} $*"
    rm -f $NOVA_BIN_DIR/nova-cells-persist*
}

# Functions of lib/nova

function conductor_conf { echo $NOVA_CONF_DIR/nova_cell$1.conf; }

function install_nova {
    journal install_nova
    printf '#!/bin/sh\necho %s\n' ${NOVA_VERSION:-34.0.0} \
        > $NOVA_BIN_DIR/nova-manage
    chmod +x $NOVA_BIN_DIR/nova-manage
}

function create_nova_conf {
    local cell
    rm -f $NOVA_CONF
    iniset $NOVA_CONF DEFAULT debug True
    if is_service_enabled n-cond; then
        for cell in $(seq 1 $NOVA_NUM_CELLS); do
            rm -f $(conductor_conf $cell)
            iniset $(conductor_conf $cell) DEFAULT debug True
        done
    fi
}

function init_nova {
    if is_service_enabled $DATABASE_BACKENDS && is_service_enabled n-api; then
        journal init_nova
        rm -f $MACHINE/tables
        touch $MACHINE/cells
    fi
}

# What the plugin does when a service starts whose tables are missing.
function start {
    journal start $1
    if grep -q config_source $NOVA_CONF && ! [[ -e $MACHINE/tables ]]; then
        die $LINENO "$1 did not start"
    fi
    touch $MACHINE/running
}

function stop_nova { journal stop_nova; rm -f $MACHINE/running; }

# The scripts

function load_settings { source $PLUGIN/settings; }
function phase { journal "phase $*"; source $PLUGIN/plugin.sh "$@"; }

function stack_until_post_config {
    load_settings
    phase stack pre-install
    if is_service_enabled nova; then
        install_nova
        create_nova_conf
    fi
    phase stack install
    if is_service_enabled nova; then
        init_nova
        async_runfunc configure_neutron_nova
    fi
    phase stack post-config
}

function stack {
    stack_until_post_config
    async_wait configure_neutron_nova
    if is_service_enabled n-api; then
        start n-api
        start n-cond
    fi
    if is_service_enabled n-cpu; then
        cp $NOVA_CONF $NOVA_CPU_CONF
    fi
    phase stack extra
    phase stack test-config
}

function unstack {
    load_settings
    phase unstack
}

function clean {
    unstack
    load_settings
    phase clean
}
"""

# Both commands of the plugin.
COMMAND = r"""#!/bin/bash
echo "${0##*/} $*" >> $MACHINE/journal
case "$*" in
    *"db sync")
        [[ -e $MACHINE/cells ]] || exit 2
        touch $MACHINE/tables
        ;;
    *"db drop --yes --force")
        [[ -e $MACHINE/running || -n "${DATABASE_IS_DOWN:-}" ]] && exit 2
        rm -f $MACHINE/tables
        ;;
    *"upgrade check")
        exit ${CHECK_STATUS:-0}
        ;;
esac
"""


def sections(path):
    """Return {section: {key: [values]}} of a file, as oslo.config reads it."""
    found = {}
    cfg.ConfigParser(path, found).parse()
    return found


def declared_name():
    declared = configparser.ConfigParser(interpolation=None)
    declared.read(os.path.join(ROOT, 'setup.cfg'))
    return declared['metadata']['name']


class DevStackTestCase(base.BaseTestCase):

    services = CONTROLLER

    def setUp(self):
        super().setUp()
        self.machine = self.useFixture(fixtures.TempDir()).path
        with open(self.path('command'), 'w') as file:
            file.write(COMMAND)
        os.chmod(self.path('command'), 0o755)
        os.mkdir(self.path('venv'))
        with open(self.path('venv', 'pyvenv.cfg'), 'w'):
            pass

    def path(self, *names):
        return os.path.join(self.machine, *names)

    def start(self, *steps, **localrc):
        """Run steps of DEVSTACK in one shell.

        :param localrc: what local.conf sets
        :returns: a subprocess.CompletedProcess
        """
        lines = ['set -o errexit -o nounset -o pipefail', DEVSTACK, *steps]
        return subprocess.run(
            ['bash', '-c', '\n'.join(lines)], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={'PATH': os.environ['PATH'], 'MACHINE': self.machine,
                 'PLUGIN': os.path.join(ROOT, 'devstack'),
                 'ENABLED_SERVICES': self.services, **localrc})

    def run_steps(self, *steps, **localrc):
        """Run steps that have to succeed, and return what they print."""
        done = self.start(*steps, **localrc)
        self.assertEqual(0, done.returncode, done.stdout)
        return done.stdout

    def journal(self):
        with open(self.path('journal')) as file:
            return file.read().replace(self.machine, '').splitlines()

    def calls(self, *commands):
        """Return the lines of the journal that begin with one of these."""
        return [line for line in self.journal()
                if line.split()[0] in commands]

    def confs(self):
        """Return {name: sections} of every file of Nova's."""
        return {name: sections(self.path('etc', name))
                for name in sorted(os.listdir(self.path('etc')))}

    def assert_in_order(self, *beginnings):
        """Check that each is the beginning of one line, in that order."""
        journal = self.journal()
        found = []
        for beginning in beginnings:
            places = [number for number, line in enumerate(journal)
                      if line.startswith(beginning)]
            self.assertEqual(1, len(places), (beginning, journal))
            found += places
        self.assertEqual(sorted(found), found, journal)


@ddt.ddt
class StackTestCase(DevStackTestCase):

    def test_every_nova_conf_has_the_three_lines(self):
        self.run_steps('stack')
        confs = self.confs()
        self.assertEqual(['nova-cpu.conf', 'nova.conf', 'nova_cell1.conf',
                          'nova_cell2.conf'], list(confs))
        for name, found in confs.items():
            self.assertEqual(['cells_persist'],
                             found['DEFAULT']['config_source'], name)
            self.assertEqual(['nova_cells_persist'],
                             found['cells_persist']['driver'], name)

    def test_as_many_cells_as_there_are(self):
        self.run_steps('stack', NOVA_NUM_CELLS='3')
        self.assertIn('config_source',
                      self.confs()['nova_cell3.conf']['DEFAULT'])

    def test_nothing_else_in_nova_conf_is_lost(self):
        # Not even what DevStack writes at the same time.
        self.run_steps('stack')
        found = self.confs()['nova.conf']
        self.assertEqual(['True'], found['DEFAULT']['debug'])
        self.assertEqual(['password'], found['neutron']['auth_type'])

    def test_order(self):
        self.run_steps('stack')
        self.assert_in_order(
            'install_nova', 'setup_develop', 'init_nova',
            'iniset /etc/nova.conf DEFAULT config_source',
            'nova-cells-persist --config-file /etc/nova.conf db sync',
            'start n-api', 'start n-cond', 'nova-cells-persist-status')

    def test_commands(self):
        self.run_steps('stack')
        self.assertEqual(
            ['nova-cells-persist --config-file /etc/nova.conf db sync',
             'nova-cells-persist-status --config-file /etc/nova.conf '
             'upgrade check'],
            self.calls('nova-cells-persist', 'nova-cells-persist-status'))

    def test_a_failed_sync_ends_it(self):
        done = self.start('function init_nova { :; }', 'stack')
        self.assertNotEqual(0, done.returncode)
        self.assertEqual([], self.calls('start'))

    def test_a_second_time(self):
        self.run_steps('stack', 'unstack', 'stack')
        self.assertIn('config_source', self.confs()['nova.conf']['DEFAULT'])
        self.assertTrue(os.path.exists(self.path('tables')))

    def test_warnings_of_the_check_do_not_end_it(self):
        self.run_steps('stack', CHECK_STATUS='1')

    def test_failures_of_the_check_end_it(self):
        done = self.start('stack', CHECK_STATUS='2')
        self.assertNotEqual(0, done.returncode)
        self.assertEqual(1, len(self.calls('die')))

    @ddt.data(('25.3.0', ['migrate']), ('26.3.0', ['migrate']),
              ('27.5.1.dev2', ['migrate']), ('28.0.0', []), ('34.0.0', []))
    @ddt.unpack
    def test_extras(self, release, extras):
        self.run_steps('stack_until_post_config', NOVA_VERSION=release)
        _, environment, folder, *found = self.calls('setup_develop')[0].split()
        self.assertEqual('/opt/nova-cells-persist', folder)
        self.assertEqual(extras, found)

    def test_into_the_environment_of_nova(self):
        self.run_steps('stack', 'clean')
        self.assertEqual(
            ['setup_develop /venv /opt/nova-cells-persist',
             'pip_uninstall /venv nova-cells-persist'],
            self.calls('setup_develop', 'pip_uninstall'))

    def test_into_the_system(self):
        os.remove(self.path('venv', 'pyvenv.cfg'))
        self.run_steps('stack', 'clean')
        self.assertEqual(
            ['setup_develop system /opt/nova-cells-persist',
             'pip_uninstall system nova-cells-persist'],
            self.calls('setup_develop', 'pip_uninstall'))

    @ddt.data('stack', 'clean')
    def test_tracing_stays_as_it_was(self, step):
        for flag in ('-x', '+x'):
            # To a file: what is traced would be taken for output.
            output = self.run_steps(
                'exec 7> /dev/null; BASH_XTRACEFD=7', 'set %s' % flag, step,
                'echo "tracing: $(set +o | grep xtrace)"')
            self.assertIn('tracing: set %so xtrace' % flag[0], output)


@ddt.ddt
class SubnodeTestCase(DevStackTestCase):
    """A node that has nova-compute and no database."""

    services = SUBNODE

    # Nor one on which init_nova does nothing for another reason.
    @ddt.data('mysql,n-cpu', 'n-api,n-cond,n-cpu')
    def test_databases_are_made_elsewhere(self, services):
        self.services = services
        self.run_steps('touch $MACHINE/tables', 'stack', 'clean')
        self.assertEqual([], self.calls('nova-cells-persist',
                                        'nova-cells-persist-status'))

    def test_stack(self):
        self.run_steps('stack')
        self.assertEqual(1, len(self.calls('setup_develop')))
        for name in ('nova.conf', 'nova-cpu.conf'):
            found = self.confs()[name]
            self.assertEqual(['cells_persist'],
                             found['DEFAULT']['config_source'])
            self.assertEqual(['nova_cells_persist'],
                             found['cells_persist']['driver'])
        self.assertEqual(['nova-cpu.conf', 'nova.conf'], list(self.confs()))

    def test_no_database_is_wanted(self):
        self.run_steps('stack', 'clean')
        self.assertEqual([], self.calls('nova-cells-persist',
                                        'nova-cells-persist-status'))

    def test_clean(self):
        self.run_steps('stack', 'clean')
        for found in self.confs().values():
            self.assertNotIn('config_source', found['DEFAULT'])
        self.assertEqual(1, len(self.calls('pip_uninstall')))


class WithoutNovaTestCase(DevStackTestCase):

    services = WITHOUT_NOVA

    def test_nothing_is_done(self):
        output = self.run_steps('stack', 'clean',
                                'echo "plugins: ${TEMPEST_PLUGINS:-none}"')
        self.assertIn('plugins: none', output)
        self.assertEqual(
            set(), {line.split()[0] for line in self.journal()} -
            {'phase', 'define_plugin', 'async_wait'})
        self.assertEqual({}, self.confs())


class UnstackTestCase(DevStackTestCase):

    def test_every_nova_conf_is_as_before(self):
        self.run_steps('stack_until_post_config', 'cp -r $MACHINE/etc '
                       '$MACHINE/before', 'unstack')
        self.assertEqual(3, len(self.confs()))
        for name, found in self.confs().items():
            self.assertEqual(['True'], found['DEFAULT']['debug'], name)
            self.assertNotIn('config_source', found['DEFAULT'], name)
            self.assertEqual({}, found['cells_persist'], name)
            with_plugin = sections(self.path('before', name))
            self.assertIn('config_source', with_plugin['DEFAULT'], name)
            self.assertEqual(set(with_plugin), set(found), name)

    def test_that_of_nova_compute_too(self):
        self.run_steps('stack', 'unstack')
        found = self.confs()['nova-cpu.conf']
        self.assertNotIn('config_source', found['DEFAULT'])
        self.assertEqual({}, found['cells_persist'])

    def test_tables_are_dropped_when_nothing_uses_them(self):
        self.run_steps('stack')
        self.assertTrue(os.path.exists(self.path('tables')))
        self.run_steps('unstack')
        self.assertFalse(os.path.exists(self.path('tables')))
        self.assert_in_order(
            'phase unstack', 'stop_nova',
            'nova-cells-persist --config-file /etc/nova.conf db drop --yes '
            '--force')

    def test_it_goes_on_without_the_database(self):
        self.run_steps('stack')
        output = self.run_steps('unstack', DATABASE_IS_DOWN='yes')
        self.assertIn('were not dropped', output)

    def test_where_nothing_was_stacked(self):
        output = self.run_steps('clean')
        self.assertNotIn('were not dropped', output)
        self.assertEqual([], self.calls('nova-cells-persist'))

    def test_where_stack_has_failed_early(self):
        # There is a nova.conf, and the plugin is not installed.
        self.run_steps('install_nova', 'create_nova_conf')
        output = self.run_steps('clean')
        self.assertNotIn('were not dropped', output)
        self.assertEqual([], self.calls('nova-cells-persist'))

    def test_where_nova_was_not_configured(self):
        self.run_steps('load_settings', 'install_nova', 'phase stack install')
        output = self.run_steps('clean')
        self.assertNotIn('were not dropped', output)
        self.assertEqual([], self.calls('nova-cells-persist'))

    def test_twice(self):
        self.run_steps('stack', 'unstack', 'unstack')

    def test_unstack_leaves_the_package_to_clean(self):
        self.run_steps('stack', 'unstack')
        self.assertEqual([], self.calls('pip_uninstall'))
        self.run_steps('clean')
        self.assertEqual(1, len(self.calls('pip_uninstall')))
        self.assertEqual(['nova-manage'], os.listdir(self.path('venv/bin')))


@ddt.ddt
class TempestTestCase(DevStackTestCase):

    def plugins(self, **localrc):
        output = self.run_steps(
            'stack', 'echo "plugins: ${TEMPEST_PLUGINS:-none}"', **localrc)
        return output.replace(self.machine, '').splitlines()[-1]

    # lib/tempest has 0 for none, and is not always read.
    @ddt.data({'TEMPEST_PLUGINS': '0'}, {'TEMPEST_PLUGINS': ''}, {})
    def test_alone(self, localrc):
        self.assertEqual('plugins: /opt/nova-cells-persist[tempest]',
                         self.plugins(**localrc))

    def test_beside_others(self):
        self.assertEqual(
            'plugins: /opt/one /opt/nova-cells-persist[tempest]',
            self.plugins(TEMPEST_PLUGINS='/opt/one'))

    @ddt.data('', '[tempest]')
    def test_not_twice(self, extra):
        named = '%s/opt/nova-cells-persist%s' % (self.machine, extra)
        self.assertEqual(
            'plugins: /opt/one /opt/nova-cells-persist%s /opt/two' % extra,
            self.plugins(TEMPEST_PLUGINS='/opt/one %s /opt/two' % named))

    def test_not_without_tempest(self):
        self.services = CONTROLLER.replace(',tempest', '')
        self.assertEqual('plugins: none', self.plugins())


class SettingsTestCase(DevStackTestCase):

    def parsed(self, name):
        """Return a ConfigOpts that has read a file of Nova's."""
        conf = cfg.ConfigOpts()
        plugin_conf.register_opts(conf)
        # Without the line at which oslo.config would load the plugin.
        self.run_steps('inidelete $NOVA_CONF_DIR/%s DEFAULT config_source' %
                       name)
        conf(['--config-file', self.path('etc', name)],
             default_config_files=[], default_config_dirs=[])
        return conf

    def test_every_option_exists(self):
        self.run_steps('stack')
        for name, found in self.confs().items():
            self.assertLess({'driver'}, set(found['cells_persist']))
            self.assertEqual([], plugin_conf.unknown_options(
                self.parsed(name)), name)

    def test_defaults_are_those_of_the_options(self):
        self.run_steps('stack')
        for name in self.confs():
            conf = self.parsed(name)
            for opt in plugin_conf.OPTS:
                self.assertEqual(opt.default, conf.cells_persist[opt.name])

    def test_local_conf_decides(self):
        self.run_steps('stack',
                       NOVA_CELLS_PERSIST_MIRROR_BUILD_REQUESTS='false',
                       NOVA_CELLS_PERSIST_CELL_TIMEOUT='7',
                       NOVA_CELLS_PERSIST_REVISIONS_KEPT='3',
                       NOVA_CELLS_PERSIST_DIR='/elsewhere')
        for name in self.confs():
            found = self.parsed(name).cells_persist
            self.assertIs(False, found.mirror_build_requests, name)
            self.assertEqual(7, found.cell_timeout, name)
            self.assertEqual(3, found.revisions_kept, name)
        self.assertIn('setup_develop /venv /elsewhere', self.journal())

    def test_name(self):
        self.run_steps('load_settings')
        self.assertEqual(['define_plugin %s' % declared_name()],
                         self.journal())

    def test_documented(self):
        with open(os.path.join(ROOT, 'devstack', 'settings')) as file:
            names = re.findall(r'^(NOVA_\w+)=', file.read(), re.MULTILINE)
        with open(os.path.join(ROOT, 'devstack', 'README.rst')) as file:
            text = file.read()
        self.assertNotEqual([], names)
        for name in names:
            self.assertIn('\n``%s`` (' % name, text)

    def test_sample(self):
        with open(os.path.join(ROOT, 'devstack', 'local.conf.sample')) as file:
            comment, header, localrc = file.read().partition(
                '[[local|localrc]]\n')
        self.assertEqual('[[local|localrc]]\n', header)
        output = self.run_steps(
            'function enable_service { :; }',
            'function enable_plugin { echo "plugin: $1"; }',
            localrc, 'echo "cells: $NOVA_NUM_CELLS"')
        self.assertEqual(['plugin: %s' % declared_name(), 'cells: 2'],
                         output.splitlines())


class CommandLineTestCase(DevStackTestCase):

    def test_the_commands_take_it(self):
        self.run_steps('stack', 'unstack')
        lines = self.calls('nova-cells-persist')
        self.assertEqual(2, len(lines))
        for line in lines:
            app = main.CellsPersistApp()
            options, rest = app.parser.parse_known_args(line.split()[1:])
            self.assertEqual(['/etc/nova.conf'], options.config_file)
            command, name, rest = app.command_manager.find_command(rest)
            command(app, None).get_parser(name).parse_args(rest)


class ZuulTestCase(base.BaseTestCase):

    # Defined in openstack-zuul-jobs and in Nova.
    UPSTREAM = {'openstack-tox', 'nova-multi-cell'}

    def setUp(self):
        super().setUp()
        with open(os.path.join(ROOT, '.zuul.yaml')) as file:
            content = yaml.safe_load(file)
        self.jobs = {item['job']['name']: item['job']
                     for item in content if 'job' in item}
        self.project, = [item['project'] for item in content
                         if 'project' in item]

    def run_in(self, pipeline):
        return self.project[pipeline]['jobs']

    def test_every_environment_exists(self):
        wanted = {job['vars']['tox_envlist'] for job in self.jobs.values()
                  if job['parent'] == 'nova-cells-persist-tox'}
        self.assertEqual(set(), wanted - tox_ini.environments())
        self.assertLessEqual({'nova34', 'nova27', 'pep8', 'build',
                              'nova-functional', 'services'}, wanted)

    def test_every_job_that_is_run_is_defined(self):
        for pipeline in ('check', 'gate'):
            self.assertEqual(
                set(), set(self.run_in(pipeline)) - set(self.jobs))

    def test_every_job_that_is_defined_is_run(self):
        concrete = {name for name, job in self.jobs.items()
                    if not job.get('abstract')}
        self.assertEqual(concrete, set(self.run_in('check')))

    def test_what_votes_is_in_the_gate(self):
        voting = [name for name in self.run_in('check')
                  if self.jobs[name].get('voting', True)]
        self.assertEqual(voting, self.run_in('gate'))

    def test_every_parent_is_known(self):
        self.assertEqual(set(), {job['parent'] for job in self.jobs.values()} -
                         set(self.jobs) - self.UPSTREAM)

    def test_multi_cell(self):
        job = self.jobs['nova-cells-persist-multi-cell']
        name = declared_name()
        found = job['vars']
        self.assertEqual([name], list(found['devstack_plugins']))
        self.assertEqual([name], found['tempest_plugins'])
        self.assertIn(name, [project.rpartition('/')[2]
                             for project in job['required-projects']])
        self.assertEqual(2, found['devstack_localrc']['NOVA_NUM_CELLS'])
        regex = re.compile(found['tempest_test_regex'])
        for test, wanted in (
                ('tempest.api.compute.servers.test_servers.One.test', True),
                ('nova_cells_persist_tempest_plugin.tests.x.test', True),
                ('tempest.api.network.test_ports.One.test', False)):
            self.assertEqual(wanted, bool(regex.search(test)), test)
