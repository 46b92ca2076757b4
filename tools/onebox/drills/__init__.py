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

"""Drills: something breaks in a cloud that is at work, and what then.

Each is a story with a verdict, told by a function of a Stage.
"""

import dataclasses
import time
import typing

from tools import errors as tools_errors
from tools.onebox.drills import conductors
from tools.onebox.drills import outages
from tools.onebox.drills import reschedule
from tools.onebox.drills import rolling
from tools.onebox.drills import stage as stages
from tools.onebox import errors


@dataclasses.dataclass(frozen=True)
class Drill:
    """One of them.

    :param play: called with a Stage
    :param on_stock: whether it can be played without the plugin
    """

    title: str
    play: typing.Callable
    on_stock: bool = False


DRILLS = {
    'reschedule': Drill(
        'a resize is scheduled again in a cell without the API database',
        reschedule.play, on_stock=True),
    'super-conductor': Drill(
        'the super-conductor is killed with builds in flight',
        conductors.super_conductor),
    'cell-conductor': Drill(
        'the conductor of a cell is killed while servers land there',
        conductors.cell_conductor),
    'api-database': Drill(
        'the API database stops and starts under load',
        outages.api_database),
    'cell-database': Drill(
        'the database of a cell is down while servers are listed and shown',
        outages.cell_database),
    'rolling': Drill(
        'the plugin is switched on node by node, and off again',
        rolling.play)}


def play(cloud, name, tell, checked):
    """Play a drill.

    :param tell: called with each line of the story
    :param checked: called with each Check as it is made
    :returns: the Checks, a list, and how many seconds it took
    :raises: NeedsPlugin
    """
    drill = DRILLS[name]
    if cloud.place.stock and not drill.on_stock:
        raise errors.NeedsPlugin(name)
    began = time.monotonic()
    stage = stages.Stage(cloud, tell, checked)
    try:
        with stage:
            drill.play(stage)
    except tools_errors.ToolError as error:
        stage.check('the drill comes to its end', False, error)
    return stage.checks, time.monotonic() - began
