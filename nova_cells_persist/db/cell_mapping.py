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

"""The cells of a cloud, as the API database knows them."""

from nova.objects import cell_mapping

from nova_cells_persist import exception


def get_all(context):
    """Return the CellMappings of all cells, cell0 included, a list."""
    return list(cell_mapping.CellMappingList.get_all(context))


def named(mappings, name):
    """Return the first of the CellMappings of that name or uuid.

    :param mappings: as of get_all()
    :raises: UnknownCell
    """
    for cell in mappings:
        if name in (cell.name, cell.uuid):
            return cell
    raise exception.UnknownCell(name=name, known=', '.join(
        cell.name or cell.uuid for cell in mappings) or 'none')
