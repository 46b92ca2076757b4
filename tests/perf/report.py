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

"""What is printed and written of what was measured."""

import dataclasses
import json
import os

from matplotlib import figure
import numpy as np
from rich import box
from rich import table

from tests.perf import budgets
from tests.perf import scenarios
from tests.perf import tables


def show(console, measured):
    """Print all that was measured, the plugin beside stock.

    :param measured: a list of driver.Series
    """
    shown = table.Table(
        box=box.SIMPLE_HEAD, title='Medians, and in brackets the quartiles')
    for number, name in enumerate(tables.COLUMNS):
        shown.add_column(name, justify='left' if number < 3 else 'right')
    for row in tables.rows(measured):
        shown.add_row(*row)
    console.print(shown)


def show_budgets(console, compared):
    """Print the budgets, and whether they are met.

    :param compared: of budgets.compare()
    """
    shown = table.Table(
        box=box.SIMPLE_HEAD, title='Budgets, on %s' % budgets.DATABASE)
    for name in ('what', 'limit', 'is', ''):
        shown.add_column(name)
    for budget, value in compared:
        shown.add_row(
            budget.text, budget.written(budget.limit), budget.written(value),
            '[green]met[/]' if budget.is_met(value)
            else '[bold red]not met[/]')
    console.print(shown)


def write(folder, known, measured, compared):
    """Write bench.json and bench.svg into a folder.

    :param known: the scenarios by name
    :returns: the paths of both
    """
    text = os.path.join(folder, 'bench.json')
    with open(text, 'w') as file:
        json.dump({
            'measured': [dict(
                dataclasses.asdict(series), median=series.median,
                quartiles=series.quartiles) for series in measured],
            'budgets': [{
                'text': budget.text, 'limit': budget.limit, 'value': value,
                'figure': budget.figure, 'met': budget.is_met(value)}
                for budget, value in compared]}, file, indent=1)
        file.write('\n')
    drawing = os.path.join(folder, 'bench.svg')
    plot(tables.with_sizes(known, measured), measured).savefig(drawing)
    return text, drawing


def plot(chosen, measured):
    """Return a drawing of cost against size, a Figure.

    :param chosen: a list of Scenario that have sizes
    """
    drawing = figure.Figure(
        figsize=(6 * max(len(chosen), 1), 5), layout='constrained')
    for number, scenario in enumerate(chosen, 1):
        axes = drawing.add_subplot(1, len(chosen), number)
        # A logarithmic scale that has a place for 0.
        axes.set_xscale('symlog')
        axes.set(title=scenario.title, xlabel='N', ylabel='ms')
        _draw(axes, [series for series in measured
                     if series.scenario == scenario.name])
    return drawing


def _draw(axes, measured):
    """Draw a line for each side on each database, with the quartiles."""
    lines = {}
    for series in measured:
        lines.setdefault((series.database, series.side), []).append(series)
    for (database, side), line in lines.items():
        medians = [series.median for series in line]
        low, high = zip(*(series.quartiles for series in line))
        axes.errorbar(
            [series.size for series in line], medians,
            (np.subtract(medians, low), np.subtract(high, medians)),
            label='%s, %s' % (side, database), marker='o', capsize=3,
            color='C0' if side == scenarios.STOCK else 'C1',
            linestyle='-' if database == budgets.DATABASE else ':')
    medians = [series.median for series in measured]
    if max(medians) > 10 * min(medians):
        axes.set_yscale('log')
    else:
        axes.set_ylim(bottom=0)
    axes.legend()
    axes.grid(alpha=0.3)
