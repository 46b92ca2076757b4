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

"""Add up what several test runs have counted.

``python3 -m tools.tally FILE [FILE ...]`` reads what ``--json`` of
``tools.run_tests`` and ``tools.nova_functional`` wrote, prints what failed and
why, then for each file its counts with the names of what failed, for who reads
no more than the end, and the sum as the last line. The exit status is not zero
when anything failed, and when a run left no counts or ran no test. Needs only
Python itself.
"""

import json
import os
import sys
import textwrap


def show_failed(name, counts):
    """Say again, where the end of a long log is read, what failed in it."""
    for test, reason in sorted(counts.get('reasons', {}).items()):
        print('\n%s: failed: %s' % (name, test))
        print(textwrap.indent(reason, '    '))


def main(paths):
    total = {'passed': 0, 'failed': 0, 'skipped': 0}
    good = bool(paths)
    lines = []
    for path in paths:
        name = os.path.basename(path).removesuffix('.json')
        try:
            with open(path) as file:
                counts = json.load(file)
        except (OSError, ValueError):
            lines.append('%-24s left no counts: it did not come to its end'
                         % name)
            counts = {'passed': 0, 'failed': 1, 'skipped': 0}
        else:
            show_failed(name, counts)
            lines.append('%-24s %5d passed %5d failed %5d skipped' % (
                name, counts['passed'], counts['failed'], counts['skipped']))
            lines += ['    %s' % test
                      for test in sorted(counts.get('reasons', {}))]
            lines += ['    fails on stock too, not counted: %s' % test
                      for test in counts.get('on_stock_too', ())]
        good = good and bool(counts['passed']) and not counts['failed']
        for verdict in total:
            total[verdict] += counts[verdict]
    print('', *lines, sep='\n')
    print('%(passed)d passed, %(failed)d failed, %(skipped)d skipped' % total)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
