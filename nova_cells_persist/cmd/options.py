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

"""Arguments that several commands take."""

import argparse
import datetime
import re

_UNITS = {'s': 'seconds', 'm': 'minutes', 'h': 'hours', 'd': 'days'}
_DURATION = re.compile(r'(\d+)([smhd]?)$')


def duration(text):
    """Return what ``90d``, ``1h``, ``10m``, ``30s`` or ``30`` means.

    :returns: a timedelta
    :raises: argparse.ArgumentTypeError
    """
    found = _DURATION.match(text)
    if not found:
        raise argparse.ArgumentTypeError(
            '%r is no duration such as 30s, 10m, 1h or 90d' % text)
    number, unit = found.groups()
    return datetime.timedelta(**{_UNITS[unit or 's']: int(number)})


def positive(text):
    """Return a number of which there is at least one.

    :raises: argparse.ArgumentTypeError
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError('%r is no positive number' % text)
    return int(text)


def one_of(known, text):
    """Return a name that is known.

    :raises: argparse.ArgumentTypeError
    """
    if text not in known:
        raise argparse.ArgumentTypeError(
            '%r is none of %s' % (text, ', '.join(known)))
    return text


def add_uuid(parser):
    parser.add_argument('uuid', metavar='UUID',
                        help='The uuid of the server.')


def add_older_than(parser, default, what):
    """Add --older-than.

    :param default: such as '1h', or None
    :param what: it is for
    """
    parser.add_argument(
        '--older-than', metavar='TIME', type=duration,
        default=default and duration(default),
        help='%s, such as 30s, 10m, 1h or 90d.%s' % (
            what, ' Default: %s.' % default if default else ''))


def add_sleep(parser):
    parser.add_argument(
        '--sleep', metavar='SECONDS', type=float, default=0,
        help='Wait that long after each batch, for the sake of the '
             'databases.')
