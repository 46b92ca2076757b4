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

"""What shows that a service runs without the plugin.

A nova-api with the plugin writes both rows of a build, or ours alone, and
whoever has the plugin removes both in one transaction. Which services there
are no database tells: nova.conf says whether one has the plugin, and only to
that service.
"""

#: A nova-api without the plugin has accepted it.
ACCEPTED = 'accepted-without-plugin'

#: A nova-api or a super-conductor without the plugin has removed Nova's row.
REMOVED = 'removed-without-plugin'

#: A super-conductor without the plugin has not found Nova's row, has taken it
#: for deleted, and has removed its mapping.
DROPPED = 'dropped-without-plugin'

NAMES = (ACCEPTED, REMOVED, DROPPED)


def of(case):
    """Return what the rows of a build tell of the services.

    :param case: a Case
    :returns: a list of some of NAMES
    """
    if case.mirror and not case.build:
        return [ACCEPTED]
    if case.mirror or not case.build:
        return []
    if case.build.was_mirrored:
        return [REMOVED]
    return [DROPPED] if case.mapping is None else []


def sure(cloud, case):
    """As of(), of a server that is read once more.

    Its rows were read one after the other, and may have come or gone
    meanwhile.

    :param cloud: the Cloud that the Case is from
    """
    return of(case) and of(cloud.case(case.uuid))
