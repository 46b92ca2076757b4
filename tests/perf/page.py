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

"""What was measured, as a part of the documentation and as plots for it.

doc/source/admin/sizing.rst includes it where it has been written.
"""

import datetime
import os

from nova_cells_persist import releases
from tests.perf import budgets
from tests.perf import tables

FOLDER = os.path.join('doc', 'source', 'admin')


def write(folder, known, measured, compared, plot):
    """Write bench.inc, and a plot for each scenario that has sizes.

    :param known: the scenarios by name
    :param measured: a list of driver.Series
    :param compared: of budgets.compare()
    :param plot: report.plot(), for which matplotlib has to be there
    :returns: the paths, a tuple
    """
    plots = []
    for scenario in tables.with_sizes(known, measured):
        plots.append(os.path.join(folder, 'bench-%s.svg' % scenario.name))
        plot([scenario], measured).savefig(plots[-1])
    path = os.path.join(folder, 'bench.inc')
    with open(path, 'w') as file:
        file.write('\n'.join(_lines(known, measured, compared, plots)) + '\n')
    return (path, *plots)


def _lines(known, measured, compared, plots):
    lines = ['Nova %s and nova-cells-persist %s, on %s.' % (
        releases.nova_version(), releases.version(),
        datetime.date.today().isoformat()), '']
    if compared:
        lines += _table(
            'Budgets, on %s' % budgets.DATABASE,
            ('what', 'limit', 'is', ''),
            [(budget.text, budget.written(budget.limit),
              budget.written(value),
              'met' if budget.is_met(value) else '**not met**')
             for budget, value in compared])
    lines += _table(
        'Medians, and in brackets the quartiles', tables.COLUMNS,
        [(database, known[scenario].title, *figures)
         for database, scenario, *figures in tables.rows(measured)])
    for path in plots:
        lines += ['.. image:: ' + os.path.basename(path), '']
    return lines


def _table(title, columns, rows):
    """Return a table, the lines of it."""
    lines = ['.. list-table:: ' + title, '   :header-rows: 1', '']
    for row in (columns, *rows):
        for mark, value in zip('*' + ' ' * len(row), row):
            lines.append(('   %s - %s' % (mark, value)).rstrip())
    return lines + ['']
