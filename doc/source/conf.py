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

"""How the documentation is built: ``tox -e docs``."""

import os
import sys

sys.path.insert(0, os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'ext'))

project = 'nova-cells-persist'
copyright = 'nova-cells-persist contributors'

extensions = [
    'openstackdocstheme',
    'oslo_config.sphinxext',
    'oslo_config.sphinxconfiggen',
    'cliff.sphinxext',
    'from_the_code',
]

root_doc = 'index'
html_theme = 'openstackdocs'
pygments_style = 'native'

openstackdocs_auto_name = False
openstackdocs_auto_version = False
version = ''
release = ''

autoprogram_cliff_application = 'nova-cells-persist'
autoprogram_cliff_app_dist_name = 'nova-cells-persist'
# What every command takes that shows something; the page says so once.
autoprogram_cliff_ignored = [
    '--help', '--format', '--column', '--quote', '--noindent', '--prefix',
    '--max-width', '--fit-width', '--print-empty', '--sort-column',
    '--sort-ascending', '--sort-descending']

# The sample is written beside the page that shows it.
config_generator_config_file = [
    ('../config-generator.conf', 'configuration/nova-cells-persist'),
]
