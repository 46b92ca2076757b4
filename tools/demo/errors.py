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

"""What can go wrong in the demo, with a sentence for who runs it."""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


def sentence(error):
    """What an exception says, in one line."""
    # fixtures.MultipleExceptions carries exc_info triples; the first is the
    # cause.
    if error.args and isinstance(error.args[0], tuple):
        error = error.args[0][1]
    lines = str(error).splitlines() or ['no message']
    return '%s: %s' % (type(error).__name__, lines[0])
