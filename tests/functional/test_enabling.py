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

"""Every program of Nova gets the plugin by nova.conf alone, or refuses."""

import os

from oslotest import base

from nova_cells_persist import releases
from tests.functional import dead_database
from tests.functional import process

ON = 'nova-cells-persist %s is on for Nova %s: ' % (
    releases.version(), releases.nova_version())

#: Another plugin, that replaces RequestSpec before this one can.
RIVAL = '''
import wrapt


def replace(module):
    from nova.objects import base

    class RequestSpec(module.RequestSpec):
        pass

    base.NovaObjectRegistry.register(RequestSpec)


wrapt.register_post_import_hook(replace, 'nova.objects.request_spec')
'''

#: Loads nova-api again when it could not be loaded, as mod_wsgi does.
TWICE = '''
import nova_api

for attempt in range(2):
    try:
        print(nova_api.ask(nova_api.load()))
    except SystemExit as exc:
        print('ended:', exc)
'''

#: Has nova.conf be out of reach once oslo.config has read it.
UNREADABLE = '''
import wrapt


def close(module):
    def fail(wrapped, instance, args, kwargs):
        raise PermissionError(13, 'Permission denied')

    wrapt.wrap_function_wrapper(module, '_files_of', fail)


wrapt.register_post_import_hook(close, 'nova_cells_persist.conf')
'''

PARSE_TWICE = '''
import sys

from nova import config

config.parse_args(sys.argv)
config.CONF(sys.argv[1:], project='nova')

from nova import objects
from nova_cells_persist import plugin

objects.register_all()
parent = objects.RequestSpec.__mro__[1]
print(parent.__module__)
plugin.unload()
print(objects.RequestSpec is parent)
'''

PARSE_OF_OUR_OWN = '''
import sys

from oslo_config import cfg

from nova import config

conf = cfg.ConfigOpts()
conf.register_cli_opt(cfg.StrOpt('log-file'))
conf(sys.argv[1:])
print(conf.config_source)
'''

EARLY_PARSE = '''
from nova import monkey_patch

print(monkey_patch._get_concurrency_from_config())
'''

#: What Nova does in green threads, if it has any.
GREEN = '''
import threading

from nova.cmd import manage
from oslo_context import context
from urllib3.util import ssl_

ssl_.create_urllib3_context()
met = threading.Barrier(2)
seen = {}


def serve(name):
    context.RequestContext(request_id=name)
    met.wait()
    seen[name] = context.get_current().request_id


threads = [threading.Thread(target=serve, args=(name,)) for name in 'ab']
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(seen.items()))
'''

PRIVSEP = ('--privsep_context', 'nova.privsep.sys_admin_pctxt',
           '--privsep_sock_path', '/nonexistent')


class EnablingTestCase(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        self.deployment = self.useFixture(process.Deployment())

    def assertSucceeded(self, result):
        self.assertEqual(0, result.status, result)
        self.assertNotIn('Traceback', result.errors)

    def assertRefused(self, result, *words):
        """Assert that a process ended with one sentence that has words."""
        lines = process.said(result.errors)
        self.assertEqual(1, len(lines), result)
        for word in ('nova-cells-persist',) + words:
            self.assertIn(word, lines[0])
        self.assertNotEqual(0, result.status)


class LoadTestCase(EnablingTestCase):
    """The plugin is on, or rightly is not."""

    def test_services(self):
        # Those that need no tables; test_enabling_tables has the others.
        services = [self.deployment.start('nova-scheduler'),
                    self.deployment.start('nova-compute')]
        for service in services:
            line = service.wait_for_log(ON)
            for name in ('RequestSpec', 'BuildRequestList', 'create'):
                self.assertIn(name, line)

    def test_nova_manage(self):
        manage = self.deployment.start('nova-manage', 'version')
        self.assertSucceeded(manage.wait())
        self.assertEqual(1, manage.log().count(ON), manage.log())

    def test_nova_status(self):
        # It opens no log that could tell.
        self.deployment.witness()
        self.assertSucceeded(self.deployment.run('nova-status', 'version'))
        self.assertEqual({'asked': True, 'on': True},
                         self.deployment.testimony())

    def test_proxies_and_policy_work(self):
        self.deployment.options['DEFAULT']['web'] = self.deployment.path
        self.deployment.options['vnc'] = {'novncproxy_host': '127.0.0.1',
                                          'novncproxy_port': '0'}
        self.deployment.options['serial_console'] = {
            'serialproxy_host': '127.0.0.1', 'serialproxy_port': '0'}
        proxies = [self.deployment.start('nova-novncproxy'),
                   self.deployment.start('nova-serialproxy')]
        policy = self.deployment.start(
            'nova-policy', '--os-roles', 'admin', 'policy', 'check',
            '--api-name', 'os_compute_api:servers:index')
        for proxy in proxies:
            proxy.wait_for_log('WebSocket server settings:')
        self.assertSucceeded(policy.wait())

    def test_driver_in_the_environment(self):
        self.deployment.variables['OS_CELLS_PERSIST__DRIVER'] = (
            self.deployment.options['cells_persist'].pop('driver'))
        self.deployment.witness()
        self.assertSucceeded(self.deployment.run('nova-manage', 'version'))
        self.assertEqual({'asked': True, 'on': True},
                         self.deployment.testimony())

    def test_off_without_config_source(self):
        del self.deployment.options['DEFAULT']['config_source']
        self.deployment.witness()
        self.assertSucceeded(self.deployment.run('nova-manage', 'version'))
        self.assertEqual({'asked': False, 'on': False},
                         self.deployment.testimony())

    def test_inert_in_privsep_helper(self):
        self.deployment.witness()
        helper = self.deployment.start('privsep-helper', *PRIVSEP)
        helper.wait()
        # It got as far as its socket.
        self.assertIn('FileNotFoundError', helper.log())
        self.assertEqual({'asked': True, 'on': False},
                         self.deployment.testimony())

    def test_inert_in_a_parse_of_somebody_else(self):
        self.deployment.witness()
        self.deployment.put('own.py', PARSE_OF_OUR_OWN)
        result = self.deployment.run('own.py')
        self.assertSucceeded(result)
        self.assertEqual([], process.said(result.errors))
        self.assertNotIn('could not load', result.errors)
        self.assertEqual("['cells_persist']\n", result.output)
        self.assertEqual({'asked': True, 'on': False},
                         self.deployment.testimony())

    def test_inert_in_the_parse_before_monkey_patching(self):
        from nova import monkey_patch
        if not hasattr(monkey_patch, '_get_concurrency_from_config'):
            # An older Nova parses nova.conf once only.
            self.assertLess(releases.nova_release(), 34)
            return
        self.deployment.witness()
        self.deployment.put('early.py', EARLY_PARSE)
        result = self.deployment.run('early.py')
        self.assertSucceeded(result)
        self.assertEqual('auto\n', result.output)
        self.assertEqual({'asked': True, 'on': False},
                         self.deployment.testimony())

    def test_all_is_patched_by_eventlet(self):
        """Also what was imported for Nova 34 to choose its concurrency."""
        self.deployment.put('nova-manage.py', GREEN)
        for backend in ('eventlet', 'threading'):
            self.deployment.options['DEFAULT']['concurrency_backend'] = backend
            result = self.deployment.run('nova-manage.py')
            self.assertSucceeded(result)
            self.assertNotIn('monkey patching issues', result.errors)
            self.assertEqual("[('a', 'a'), ('b', 'b')]\n",
                             result.output)

    def test_parsing_twice_is_harmless(self):
        self.deployment.put('twice.py', PARSE_TWICE)
        result = self.deployment.run('twice.py')
        self.assertSucceeded(result)
        self.assertEqual('nova.objects.request_spec\nTrue\n', result.output)

    def test_no_database_is_contacted(self):
        dead = self.useFixture(dead_database.DeadDatabase())
        for section in ('database', 'api_database'):
            self.deployment.options[section]['connection'] = dead.url
        compute = self.deployment.start('nova-compute')
        manage = self.deployment.start('nova-manage', 'version')
        compute.wait_for_log(ON)
        self.assertSucceeded(manage.wait())
        self.assertIn(ON, manage.log())
        self.assertEqual(0, dead.calls)
        # Had they called, it would have been noticed.
        result = self.deployment.run(
            'nova-cells-persist', 'db', 'version', '--api')
        self.assertNotEqual(0, result.status)
        self.assertNotEqual(0, dead.calls)


class RefusalTestCase(EnablingTestCase):
    """What is wrong is said in one sentence; Nova is never silently stock."""

    def test_unsupported_nova_in_every_program(self):
        self.deployment.distribution('nova', '99.0.0')
        for processes in (
                [(process.WSGI,), ('nova-conductor',), ('nova-scheduler',)],
                [('nova-compute',), ('nova-manage', 'version'),
                 ('nova-status', 'version')]):
            started = [self.deployment.start(*one) for one in processes]
            for one in started:
                self.assertRefused(
                    one.wait(), 'supports Nova 25 to 34, this is Nova 99.0.0',
                    'Install a release of nova-cells-persist for it')

    def test_misspelt_option(self):
        self.deployment.options['cells_persist']['cell_timeuot'] = '3'
        self.assertRefused(self.deployment.run('nova-scheduler'),
                           'has no option cell_timeuot', 'it has',
                           'cell_timeout', 'Correct nova.conf')

    def test_invalid_value(self):
        self.deployment.options['cells_persist']['revisions_kept'] = '1'
        self.assertRefused(self.deployment.run('nova-manage', 'version'),
                           '[cells_persist]revisions_kept', 'Correct')

    def test_misspelt_option_in_a_folder_that_is_read_by_default(self):
        self.deployment.variables['HOME'] = self.deployment.path
        folder = os.path.join(self.deployment.path, '.nova', 'nova.conf.d')
        os.makedirs(folder)
        with open(os.path.join(folder, 'more.conf'), 'w') as file:
            file.write('[cells_persist]\ncell_timeuot = 3\n')
        self.assertRefused(self.deployment.run('nova-manage', 'version'),
                           'has no option cell_timeuot')

    def test_file_that_cannot_be_read_again(self):
        self.deployment.customize(UNREADABLE)
        self.assertRefused(self.deployment.run('nova-manage', 'version'),
                           'could not be loaded', 'PermissionError',
                           'would have run without it')

    def test_misspelt_driver(self):
        self.deployment.options['cells_persist']['driver'] = 'nova_persist'
        self.assertRefused(self.deployment.run('nova-compute'),
                           "its driver is 'nova_persist'",
                           'Set "driver = nova_cells_persist"')

    def test_other_driver_in_the_environment(self):
        # It is chosen, whatever the file says.
        self.deployment.variables['OS_CELLS_PERSIST__DRIVER'] = 'nova_persist'
        self.assertRefused(self.deployment.run('nova-manage', 'version'),
                           "its driver is 'nova_persist'",
                           'OS_CELLS_PERSIST__DRIVER of the environment')

    def test_missing_driver(self):
        del self.deployment.options['cells_persist']
        self.assertRefused(self.deployment.run('nova-conductor'),
                           'its driver is None',
                           'Set "driver = nova_cells_persist"')

    def test_other_section(self):
        options = self.deployment.options
        options['DEFAULT']['config_source'] = 'cell_persist'
        options['cell_persist'] = options.pop('cells_persist')
        self.assertRefused(self.deployment.run('nova-manage', 'version'),
                           'is [cells_persist], not [cell_persist]')

    def test_misspelt_section(self):
        options = self.deployment.options
        options['cell_persist'] = options.pop('cells_persist')
        self.assertRefused(self.deployment.run('nova-manage', 'version'),
                           'names [cells_persist]', 'its driver is None')

    def test_misspelt_config_source(self):
        self.deployment.options['DEFAULT']['config_source'] = 'cell_persist'
        self.assertRefused(self.deployment.run('nova-manage', 'version'),
                           'is [cells_persist], not [cell_persist]',
                           'Set "config_source = cells_persist"')

    def test_replaced_object(self):
        self.deployment.customize(RIVAL)
        self.assertRefused(
            self.deployment.run(process.WSGI), 'RequestSpec',
            'sitecustomize.replace',
            'Remove one of the two from this environment.')

    def test_two_entry_points_of_one_name(self):
        self.deployment.distribution(
            'rival', '1.0', '[nova_cells_persist.objects]\n'
            'RequestSpec = nova.objects.request_spec:RequestSpec\n')
        self.assertRefused(
            self.deployment.run('nova-status', 'version'),
            "'RequestSpec' is registered twice",
            'nova.objects.request_spec:RequestSpec',
            'nova_cells_persist.objects.request_spec:RequestSpec',
            'Uninstall one of them.')

    def test_broken_entry_point(self):
        self.deployment.distribution(
            'broken', '1.0', '[nova_cells_persist.hooks]\n'
            'one_more = no_such_module:Hook\n')
        self.assertRefused(
            self.deployment.run('nova-manage', 'version'), "'one_more'",
            "No module named 'no_such_module'", 'Reinstall')

    def test_nova_api_loaded_again_refuses_again(self):
        self.deployment.options['cells_persist']['cell_timeuot'] = '3'
        self.deployment.put('twice.py', TWICE)
        result = self.deployment.run('twice.py')
        lines = result.output.splitlines()
        self.assertEqual(2, len(lines), result)
        for line in lines:
            self.assertIn('ended: nova-cells-persist', line)
            self.assertIn('cell_timeuot', line)
