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

"""That the examples of Python in the documentation run."""

import os

import sqlalchemy as sa
import testtools

from nova.compute import api as compute_api

from nova_cells_persist.db import models

from tests.functional import base
from tests import pages


def run(page, number, **names):
    """Run the example of that number in a page.

    :param page: the names of its path below doc/source
    :param names: what it finds there
    :returns: the names that there are afterwards, a dict
    """
    examples = [block for block in pages.blocks(
        os.path.join(pages.SOURCE, *page)) if block.language == 'python']
    # As a module that tests can be in.
    names['__name__'] = 'example'
    exec(compile(examples[number].text, page[-1], 'exec'), names)
    return names


class RequestSpecTest(base.CloudTestCase):

    def test_read_and_save(self):
        server_id = self.boot(host='host1')['id']
        found = run(('reference', 'request-spec.rst'), 0,
                    instance_uuid=server_id)
        self.assertEqual(['create', 'save'], found['events'])
        self.assertEqual({'colour': ['blue']},
                         self.spec(server_id).scheduler_hints)


class ChangeTest(testtools.TestCase):

    def test_column(self):
        engine = sa.create_engine('sqlite://', poolclass=sa.pool.StaticPool)
        models.build_request.create(engine)
        found = run(('contributor', 'changing.rst'), 0)
        for _ in range(2):
            found['upgrade'](engine)
        self.assertEqual('colour', sa.inspect(engine).get_columns(
            'build_request')[-1]['name'])

    def test_hook(self):
        stock = compute_api.API.lock
        hook = run(('contributor', 'changing.rst'), 1)['Watch']('watch')
        hook.apply()
        self.assertIsNot(stock, compute_api.API.lock)
        hook.undo()
        self.assertIs(stock, compute_api.API.lock)


class FixtureTest(testtools.TestCase):

    def test_fixture(self):
        example = run(('reference', 'testing.rst'), 0)['MyTest']
        result = testtools.TestResult()
        example('test_boot').run(result)
        self.assertEqual(([], []), (result.errors, result.failures))
        self.assertEqual(1, result.testsRun)
