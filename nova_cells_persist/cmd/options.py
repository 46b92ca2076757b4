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
import uuid

from oslo_utils import timeutils
from oslo_utils import uuidutils

_UNITS = {'s': 'seconds', 'm': 'minutes', 'h': 'hours', 'd': 'days'}
_DAY = 86400
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
    try:
        result = datetime.timedelta(**{_UNITS[unit or 's']: int(number)})
        timeutils.utcnow() - result
    except (OverflowError, ValueError):
        raise argparse.ArgumentTypeError(
            '%r is longer ago than there are dates' % text)
    return result


def seconds(text):
    """Return how long to wait.

    :returns: a float
    :raises: argparse.ArgumentTypeError
    """
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number <= _DAY:   # nor what is not a number
        raise argparse.ArgumentTypeError(
            '%r is no number of seconds from 0 to %d' % (text, _DAY))
    return number


def positive(text):
    """Return a number of which there is at least one.

    :raises: argparse.ArgumentTypeError
    """
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError('%r is no positive number' % text)
    return int(text)


def server_uuid(text):
    """Return the uuid of a server as every database has it.

    :raises: argparse.ArgumentTypeError, for an empty text too: who gives a
        variable that is not set does not mean all servers
    """
    if not uuidutils.is_uuid_like(text):
        raise argparse.ArgumentTypeError('%r is no uuid' % text)
    return str(uuid.UUID(text))


def one_of(known, text):
    """Return a name that is known.

    :raises: argparse.ArgumentTypeError
    """
    if text not in known:
        raise argparse.ArgumentTypeError(
            '%r is none of %s' % (text, ', '.join(known)))
    return text


def add_uuid(parser):
    parser.add_argument('uuid', metavar='UUID', type=server_uuid,
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
        '--sleep', metavar='SECONDS', type=seconds, default=0,
        help='Wait that long after each batch, for the sake of the '
             'databases.')
