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

"""What the plugin may cost. A budget that is not met is never loosened.

Each is for the ratio or the difference of two medians, on DATABASE.
"""

import dataclasses
import operator

from tests.perf.scenarios import PLUGIN
from tests.perf.scenarios import STOCK

DATABASE = 'mariadb'

#: figure: (what is made of the two medians, how that has to be to the limit,
#: how it is written)
FIGURES = {
    'times as fast': (lambda ours, theirs: theirs / ours, operator.ge,
                      '%.2f'),
    'times': (lambda ours, theirs: ours / theirs, operator.le, '%.3f'),
    # Of ours alone.
    'servers a second': (lambda ours, theirs: ours, operator.ge, '%.0f'),
    'specs a second': (lambda ours, theirs: ours, operator.ge, '%.0f'),
    'MB': (lambda ours, theirs: ours, operator.le, '%.0f'),
    'more': (lambda ours, theirs: ours - theirs, operator.le, '%+g'),
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """What there is to keep.

    :ivar text: what it is about
    :ivar scenario: the name of one
    :ivar limit: what the figure has to be at most, or at least
    :ivar figure: one of FIGURES
    :ivar unit: of the scenario
    :ivar size: of the scenario on the plugin's side, None for the largest
    :ivar against: the side, and the size or None for the same, of what it is
        compared with
    """

    text: str
    scenario: str
    limit: float
    figure: str
    unit: str = 'ms'
    size: int = None
    against: tuple = (STOCK, None)

    def value(self, medians):
        """Return the figure as it is, None if that was not measured.

        :param medians: a dict, (scenario, side, size, unit) to number
        """
        sizes = {size for scenario, side, size, unit in medians
                 if (scenario, side) == (self.scenario, PLUGIN)}
        if not sizes:
            return None
        size = self.size or max(filter(None, sizes), default=None)
        side, other = self.against
        ours = medians[self.scenario, PLUGIN, size, self.unit]
        theirs = medians[self.scenario, side,
                         size if other is None else other, self.unit]
        make, _, _ = FIGURES[self.figure]
        return make(ours, theirs)

    def is_met(self, value):
        _, compare, _ = FIGURES[self.figure]
        return compare(value, self.limit)

    def written(self, value):
        _, _, form = FIGURES[self.figure]
        return '%s %s' % (form % value, self.figure)


BUDGETS = (
    Budget('list 50 of 1,000 builds in flight', 'list-builds', 50,
           'times as fast', size=1000),
    Budget('list 50 of 10,000 beside 50 of 1,000', 'list-builds', 1.5,
           'times', size=10000, against=(PLUGIN, 1000)),
    Budget('get a building server', 'get-build', 1.0, 'times'),
    Budget('show a building server', 'show-build', 1.0, 'times'),
    Budget('accept a server', 'post-server', 1.0, 'times'),
    Budget('SQL statements of a boot', 'boot', 8, 'more', unit='statements'),
    Budget('transactions of a boot', 'boot', 2, 'more', unit='transactions'),
    # Less, that is. For all rows there is no budget: the plugin has one more.
    Budget('bytes of a row of a request spec', 'boot', -1, 'more',
           unit='bytes/row'),
    Budget('read a request spec', 'get-spec', 1.0, 'times'),
    Budget('read 300 request specs of servers in groups', 'get-specs', 5,
           'times as fast'),
    Budget('resize', 'resize', 1.05, 'times'),
    Budget('boot in a full cell beside an empty one', 'full-cell', 1.1,
           'times', against=(PLUGIN, 0)),
    Budget('audit', 'audit', 20000, 'servers a second', unit='servers/s',
           against=(PLUGIN, None)),
    Budget('memory of an audit', 'audit', 300, 'MB', unit='MB',
           against=(PLUGIN, None)),
    Budget('backfill', 'backfill', 2000, 'specs a second', unit='specs/s',
           against=(PLUGIN, None)),
)


def compare(measured):
    """Compare what was measured with the budgets that are for it.

    :param measured: a list of driver.Series
    :returns: a list of (Budget, the figure as it is)
    """
    medians = {
        (series.scenario, series.side, series.size, series.unit):
        series.median for series in measured if series.database == DATABASE}
    values = [(budget, budget.value(medians)) for budget in BUDGETS]
    return [(budget, value) for budget, value in values if value is not None]
