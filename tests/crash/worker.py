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


"""Try one flow, on stock or with the plugin, and write what came of it.

``python -m tests.crash.worker FLOW [--stock] [--eager] [--every | --outages]``
writes a line of JSON for each thing it has to say, to ``--report``.
"""

import argparse
import json
import os
import sys

import testtools

from tests.crash import cloud
from tests.crash import flows
from tests.crash import points
from tests.crash import trial


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('flow')
    parser.add_argument('--report', type=int, required=True)
    parser.add_argument('--stock', action='store_true')
    parser.add_argument('--eager', action='store_true')
    parser.add_argument('--every', action='store_true')
    parser.add_argument('--outages', action='store_true')
    options = parser.parse_args(argv)
    with os.fdopen(options.report, 'w', buffering=1) as report:
        result = testtools.TestResult()
        _case(options, lambda **said: report.write(
            json.dumps(said) + '\n')).run(result)
        for _, text in result.errors + result.failures:
            report.write(json.dumps({'error': text}) + '\n')
    return 0 if result.wasSuccessful() else 1


def _case(options, say):
    flow = getattr(flows, options.flow)

    class FlowCase(cloud.Cloud):

        HOSTS = flow.HOSTS
        STOCK = options.stock

        def test(self):
            try_all(trial.Trial(self, flow, options.eager), options, say)

    return FlowCase('test')


def try_all(tried, options, say):
    """Try a flow with each of its troubles.

    :param tried: a trial.Trial
    :param options: whether its troubles are ``outages``, or ``every`` point
    :param say: called with ``points`` and ``tries``, their numbers; then with
        each ``trouble`` as it is tried; then with ``outcomes``
    """
    outcomes = [tried.record()]
    if options.outages:
        run, troubles = tried.during, tried.outages
    else:
        run, troubles = tried.at, (tried.points if options.every else
                                   points.distinct(tried.points))
    say(points=len(tried.points), tries=len(troubles))
    for trouble in troubles:
        outcomes.append(run(trouble))
        say(trouble=trouble)
    tried.end()
    say(outcomes=[outcome._asdict() for outcome in outcomes])


if __name__ == '__main__':
    sys.exit(main())
