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

"""What the plugin costs beside stock Nova: ``tox -e bench``.

Stock Nova and Nova with the plugin run at the same time, each in a process of
its own with databases of its own, and are asked in turn to do the same thing
once. What a noisy machine does to one it does to the other, so what counts is
the ratio of the two.

    budgets     what is allowed
    scenarios   what is measured
    cloud       the Nova that it is measured on
    equipment   what that has beside Nova's own fixtures
    filling     many rows, fast
    estate      ten cells and very many servers, as rows
    worker      the process of one side
    driver      asks both sides in turn
    tables      what was measured as text
    report      what is printed and written
    page        the same for the documentation
"""
