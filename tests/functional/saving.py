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

"""The ground of the tests of how a request spec is saved and read."""

from nova_cells_persist.objects import primitive

from tests.functional import base


class SpecTestCase(base.CloudTestCase):

    def az_persisted(self, server):
        return self.spec(server['id']).availability_zone

    def az_of_newest(self, server, cell='cell1'):
        row = self.rows('request_spec', server['id'], cell)[-1]
        return primitive.data(row['spec'])['availability_zone']

    def save_az(self, server, az, context=None):
        spec = self.spec(server['id'], context)
        spec.availability_zone = az
        spec.save()
        return spec

    def pending(self, server, cell='cell1'):
        return [row['revision'] for row in
                self.rows('request_spec', server['id'], cell)
                if row['pending']]
