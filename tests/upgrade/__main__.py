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

"""Run with ``python -m tests.upgrade``; ``tox -e upgrade`` does it.

Exit status: 0 when all that was checked is as it should be, 1 otherwise.
"""

import argparse
import functools
import sys
import time

from tests.upgrade import mirror
from tests.upgrade import releases
from tests.upgrade import removal
from tests.upgrade import rolling
from tests.upgrade import stores
from tests.upgrade import verdicts as results
from tools import run_tests

PARTS = ('releases', 'rolling', 'mirror', 'removal')


def main():
    options = _options()
    run_tests.forget(options.json)
    verdicts = results.Verdicts(functools.partial(print, flush=True))
    began = time.monotonic()
    for part in options.part or PARTS:
        verdicts.begin(part, 'all of it')
        with verdicts.check('it comes to its end'):
            play(part, verdicts, options)
    if options.json:
        run_tests.write_json(options.json, verdicts.counts(),
                             seconds=round(time.monotonic() - began))
    print('\n' + '\n'.join(verdicts.table()))
    print(verdicts.summary(), flush=True)
    counts = verdicts.counts()
    return 0 if counts['passed'] and not counts['failed'] else 1


def play(part, verdicts, options):
    """Play a part, one of PARTS."""
    if part == 'releases':
        releases.play(verdicts, options.database or tuple(stores.KINDS),
                      options.nova or releases.OLD)
    else:
        {'rolling': rolling, 'mirror': mirror, 'removal': removal
         }[part].play(verdicts)


def _options():
    parser = argparse.ArgumentParser(
        prog='tox -e upgrade --', description='Upgrade Nova below the plugin,'
        ' switch the plugin on and off role by role, and remove it.')
    parser.add_argument('part', nargs='*', help='%s; all if none is given' %
                        ', '.join(PARTS))
    parser.add_argument('--database', choices=stores.KINDS, action='append',
                        help='upgrade on this one only')
    parser.add_argument('--nova', choices=releases.OLD, action='append',
                        help='upgrade from this release only')
    parser.add_argument('--json', metavar='FILE',
                        help='write the counts here')
    options = parser.parse_args()
    for part in options.part:
        if part not in PARTS:
            parser.error('there is no %s' % part)
    return options


if __name__ == '__main__':
    sys.exit(main())
