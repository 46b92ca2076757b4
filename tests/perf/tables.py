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

"""What was measured as rows of text, for whatever shows them."""

from tests.perf import scenarios

COLUMNS = ('database', 'scenario', 'N', 'unit', 'stock', 'plugin',
           'plugin/stock', 'rounds')


def rows(measured):
    """Yield a row of COLUMNS for each thing that was measured.

    :param measured: a list of driver.Series
    """
    for (database, scenario, size, unit), sides in _by_side(measured).items():
        stock, plugin = [sides.get(side) for side in (
            scenarios.STOCK, scenarios.PLUGIN)]
        yield (
            database, scenario,
            '' if size is None else '{:,}'.format(size), unit,
            _median(stock), _median(plugin),
            '%.3f' % (plugin.median / stock.median)
            if stock and plugin else '',
            ' / '.join(str(len(series.values))
                       for series in (stock, plugin) if series))


def with_sizes(known, measured):
    """Return the scenarios that were measured with more than one size.

    :param known: the scenarios by name
    """
    return [scenario for scenario in known.values()
            if len(scenario.sizes) > 1 and any(
                series.scenario == scenario.name for series in measured)]


def _by_side(measured):
    """Return {(database, scenario, size, unit): {side: Series}}."""
    found = {}
    for series in measured:
        found.setdefault(
            (series.database, series.scenario, series.size, series.unit),
            {})[series.side] = series
    return found


def _median(series):
    if series is None:
        return ''
    form = '{:,.2f}' if series.unit == 'ms' else '{:,.0f}'
    return '%s [%s, %s]' % tuple(
        form.format(value) for value in (series.median, *series.quartiles))
