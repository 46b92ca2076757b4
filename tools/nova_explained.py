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

"""Why the verdict on some of Nova's own tests may differ with the plugin."""

import re

_UNIT = r'nova\.tests\.unit\.'
_OBJECTS = _UNIT + r'objects\.test_'

_REASONS = tuple((re.compile(pattern + r'$'), reason) for pattern, reason in (
    (r'nova\.tests\.functional\.wsgi\.test_servers\.'
     r'ServersPreSchedulingTestCase\.test_instance_list_from_buildrequests'
     r'(_old_service|_with_tags)?',
     'Two builds of one second: SQLite keeps for it which was first, and Nova '
     'sorts builds by that. No instance has it; in a cell they are sorted by '
     'their uuids, and with the plugin from the start.'),
    (r'nova\.tests\.functional\.test_cross_cell_migrate\.'
     r'TestMultiCellMigrate\.'
     r'test_prep_snapshot_based_resize_at_source_destroy_fails',
     'It looks into the target cell without waiting for the conductor, which '
     'removes the copy there: on a busy machine it fails more often than not, '
     'on stock too.'),
    (_OBJECTS + r'(build_request\.Test(Remote)?BuildRequestObject\.'
     r'test_(create|save)|request_spec\.Test(Remote)?RequestSpecObject\.'
     r'test_create)',
     'A method of the class of Nova that writes a row is replaced, and by one '
     'that takes what only the call from that class itself gives. The '
     "plugin's object calls it from outside."),
    (_OBJECTS + r'(build_request\.Test(Remote)?BuildRequestListObject\.'
     r'test_get_all|request_spec\.TestRemoteRequestSpecObject\.'
     r'test_get_by_instance_uuid(_\w+)?|request_spec\.'
     r'Test(Remote)?RequestSpecObject\.test_save(_does_not_persist_requested_'
     r'fields)?|instance_group\.Test(Remote)?InstanceGroupObject\.test_save)',
     'A method of the class of Nova that reads or writes a row is replaced, '
     'and no row is there. The plugin asks the database itself.'),
    (_OBJECTS + r'instance_mapping\.Test(Remote)?InstanceMappingObject\.'
     r'test_save',
     'The server is given a cell that has an id and nothing else. With the '
     'plugin this is a landing, which writes into the database of that cell.'),
    (_OBJECTS + r'instance\.Test(Remote)?InstanceObject\.test_save_(does_not_'
     r'refresh_pci_devices|updates_numa_topology)',
     'The update of a row is replaced, and answers with no server as it was '
     'and none as it is; these are what the plugin compares.'),
    (_UNIT + r'compute\.test_api\.ComputeAPIUnitTestCase\.test_('
     r'get_instance_(from_cell_success|in_cell)|'
     r'revert_resize(_concurrent_fail|_same_flavor)?)',
     'The database is out of reach in this class, and all that Nova asks of '
     'it is replaced; what the plugin asks is not.'),
))


def why(test):
    """Return why the verdict on a test may differ, or None if it may not."""
    for pattern, reason in _REASONS:
        if pattern.match(test):
            return reason
    return None
