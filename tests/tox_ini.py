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

"""What tox.ini declares, for tests that hold something else to it."""

import configparser
import itertools
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read():
    """Return tox.ini, a ConfigParser."""
    found = configparser.ConfigParser(interpolation=None)
    found.read(os.path.join(ROOT, 'tox.ini'))
    return found


def environments():
    """Return the names of all environments, a set."""
    return set(itertools.chain.from_iterable(
        named(section.partition(':')[2]) for section in read()
        if section.startswith('testenv:')))


def named(pattern):
    """Return the names that nova{27,34}{,-py310} and the like stand for."""
    parts = [part.split(',') if inside else [part] for inside, part in zip(
        itertools.cycle((False, True)), re.split('[{}]', pattern))]
    return [''.join(name) for name in itertools.product(*parts)]


def of_factor(section, key, factor):
    """Return what a setting has in the lines of one factor, a list of str."""
    return [line.partition(':')[2].strip()
            for line in read()[section][key].splitlines()
            if factor in line.partition(':')[0].split(',')]
