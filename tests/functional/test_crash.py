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


"""The harness of tests/crash on one flow, and whether it finds anything."""

import fixtures

from nova import objects

from tests.crash import cloud
from tests.crash import flows
from tests.crash import ledger
from tests.crash import points
from tests.crash import trial


class CrashTest(cloud.Cloud):

    HOSTS = flows.Flow.HOSTS
    # Of Nova: how many times OS_TEST_TIMEOUT a test may take.
    TIMEOUT_SCALING_FACTOR = 2

    def assert_mended(self, flow, chosen, run):
        """Try a flow with each of its troubles.

        :param chosen: called with a trial.Trial, returns the troubles
        :param run: the method of that which tries one
        """
        tried = trial.Trial(self, flow)
        outcomes = [tried.record()]
        outcomes += [run(tried, trouble) for trouble in chosen(tried)]
        tried.end()
        self.assertGreater(len(outcomes), 10)
        self.assertEqual([], [
            (outcome.trouble, when, found)
            for outcome in outcomes
            for when, found in outcome.problems.items() if found])

    def test_deletion_of_a_build(self):
        self.assert_mended(
            flows.DeleteWhileScheduled,
            lambda tried: points.distinct(tried.points), trial.Trial.at)

    def test_without_a_database(self):
        self.assert_mended(flows.Boot, lambda tried: tried.outages,
                           trial.Trial.during)

    def test_finds_a_loss_that_is_not_mended(self):
        self.mend = lambda: []
        tried = trial.Trial(self, flows.Boot)
        self.assertEqual([], tried.record().problems['mended'])
        cast, = [point for point in tried.points if point.what ==
                 'schedule_and_build_instances to conductor']
        self.assertEqual([(ledger.LOST, 'a build for ever')],
                         tried.at(cast).problems['mended'])

    def test_finds_a_server_that_is_deleted_in_place_of_mended(self):
        self.mend = self.delete_all
        tried = trial.Trial(self, flows.Boot)
        self.assertEqual(
            [(ledger.LOST, 'was shown, and is not any more')],
            tried.record().problems['mended'])

    def delete_all(self):
        for server in self.api.get_servers():
            self.api.delete_server(server['id'])
        return []

    def test_finds_a_server_that_was_accepted_and_is_not_there(self):
        tried = trial.Trial(self, flows.Boot)
        tried.record()
        with fixtures.MonkeyPatch(
                'tests.crash.flows.Boot.act', lambda flow, server: None):
            outcome = tried._run()
        self.assertEqual([(ledger.LOST, 'accepted, and not shown')],
                         outcome.problems['mended'])


class LedgerTest(cloud.Cloud):

    HOSTS = flows.Flow.HOSTS

    def setUp(self):
        super().setUp()
        self.server = self.boot(host='host1')['id']
        self.assertEqual([], self.problems())

    def problems(self):
        return ledger.Ledger(self, self.server).problems()

    def break_it(self, statement, cell=None, **values):
        self.assertEqual(1, self.execute(
            statement + ' = :uuid', cell, uuid=self.server, **values))

    def assertFound(self, kind, text):
        (found, said), = self.problems()
        self.assertEqual((kind, text), (found, said))

    def test_no_mapping(self):
        self.break_it('DELETE FROM instance_mappings WHERE instance_uuid')
        self.assertIn((ledger.LOST, "in ['cell1'], mapped to []"),
                      self.problems())

    def test_no_request_spec(self):
        self.break_it('DELETE FROM request_specs WHERE instance_uuid')
        self.assertFound(ledger.LOST, 'no request spec')

    def test_no_revision(self):
        self.break_it('DELETE FROM request_spec WHERE instance_uuid', 'cell1')
        self.assertFound(ledger.LOST, 'no revision in cell1')

    def test_another_flavor(self):
        for table, cell in (('request_specs', None),
                            ('request_spec', 'cell1')):
            text = self.rows(table, self.server, cell)[0]['spec']
            self.break_it(
                'UPDATE %s SET spec = :spec WHERE instance_uuid' % table,
                cell, spec=text.replace(
                    '"flavorid":"%s"' % self.flavors[0]['id'],
                    '"flavorid":"other"'))
        self.assertFound(ledger.FALSE, 'flavor other, of which it is not')

    def test_another_numa_topology(self):
        with self.targeted('cell1') as cctxt:
            instance = objects.Instance.get_by_uuid(
                cctxt, self.server, expected_attrs=['flavor'])
            instance.flavor.extra_specs = {ledger.NUMA_NODES: '2'}
            instance.save()
        self.assertFound(ledger.FALSE, '0 NUMA nodes, which it has not')

    def test_another_revision(self):
        text = self.rows('request_specs', self.server)[0]['spec']
        self.break_it(
            'UPDATE request_specs SET spec = :spec WHERE instance_uuid',
            spec=text.replace('"num_instances":1', '"num_instances":2'))
        self.assertFound(ledger.FALSE, 'another revision in cell1')

    def test_left(self):
        self.assertEqual(
            {(ledger.ORPHANED, '%s in %s' % place) for place in (
                ('instance_mappings', 'api'), ('request_specs', 'api'),
                ('instances', 'cell1'), ('request_spec', 'cell1'))},
            set(ledger.Ledger(self, self.server).left()))
        self.api.delete_server(self.server)
        self.archive()
        self.assertEqual([], ledger.Ledger(self, self.server).left())
