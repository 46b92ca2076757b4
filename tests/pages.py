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

"""The pages of the documentation, and the blocks of code in them."""

import collections
import glob
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = os.path.join(ROOT, 'doc', 'source')

#: ``section`` is the title that it stands below; ``language`` what the
#: directive says, '' of a block after "::". ``line`` is the number of its
#: first line, from 0; ``text`` has no indent.
Block = collections.namedtuple('Block', 'path section language line text')

_DIRECTIVE = re.compile(r'( *)\.\. code-block:: *(\S+)$')
_LITERAL = re.compile(r'( *)(?! |\.\. ).*::$')
_UNDERLINE = re.compile(r'([=\-~^"])\1+$')


def paths():
    """Return the paths of all pages, README.rst included, a list."""
    return sorted(glob.glob(os.path.join(SOURCE, '**', '*.rst'),
                            recursive=True)) + [
        os.path.join(ROOT, 'README.rst')]


def read(*names):
    """Return the text of a page.

    :param names: its path below doc/source
    """
    with open(os.path.join(SOURCE, *names)) as file:
        return file.read()


def blocks(path):
    """Yield the blocks of code in a page, each a Block."""
    with open(path) as file:
        lines = file.read().splitlines()
    section = ''
    for number, line in enumerate(lines):
        if _UNDERLINE.match(line) and number and lines[number - 1].strip():
            section = lines[number - 1]
        found = _DIRECTIVE.match(line) or _LITERAL.match(line)
        if found:
            language = found.group(2) if found.re is _DIRECTIVE else ''
            yield Block(path, section, language, *_indented(
                lines, number + 1, len(found.group(1))))


def commands(block):
    """Yield (command, output) of what is run in a console, both str.

    A line that ends with a backslash goes on in the next one.
    """
    for part in re.split(r'^\$ ', block.text, flags=re.MULTILINE)[1:]:
        command, _, output = re.sub(r'\\\n *', '', part).partition('\n')
        yield command, output.rstrip()


def write(block, outputs):
    """Write what its commands print into the page of a block.

    :param outputs: a list of str, one for each command
    """
    with open(block.path) as file:
        lines = file.read().splitlines()
    shown = re.split(r'^(?=\$ )', block.text, flags=re.MULTILINE)[1:]
    text = '\n'.join(
        _command_lines(part) + (output and '\n' + output)
        for part, output in zip(shown, outputs))
    indent = ' ' * _depth(lines[block.line])
    end = block.line + len(block.text.splitlines())
    lines[block.line:end] = [(indent + line).rstrip()
                             for line in text.splitlines()]
    with open(block.path, 'w') as file:
        file.write('\n'.join(lines) + '\n')


def _command_lines(part):
    """Return the lines of a part of a block that are a command."""
    return re.match(r'(.*\\\n)*.*', part).group()


def _indented(lines, number, indent):
    """Return (the number of its first line, the text) of what is indented."""
    while number < len(lines) and (
            not lines[number].strip() or lines[number].strip()[0] == ':'):
        number += 1
    end = number
    while end < len(lines) and (
            not lines[end].strip() or _depth(lines[end]) > indent):
        end += 1
    found = lines[number:end]
    depth = min((_depth(line) for line in found if line.strip()), default=0)
    return number, '\n'.join(line[depth:] for line in found).rstrip()


def _depth(line):
    return len(line) - len(line.lstrip())
