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

"""How the code is laid out, as HACKING.rst says."""

import ast
import os
import re

import testtools

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
PACKAGE = 'nova_cells_persist'

#: Each imports of those that stand before it, and of its own.
LAYERS = (('exception', 'setup_error'), ('conf', 'early_imports', 'releases'),
          ('db',), ('plugin',), ('objects',), ('hooks',), ('reconcile',),
          ('config_driver', 'fixture'), ('cmd',))

#: Lines that are many enough.
MODULE, FUNCTION = 400, 60

_SQL = re.compile(
    r'\b(sa|sqlalchemy)\.(select|insert|update|delete|text|func)\b|'
    r'\b(SELECT|INSERT INTO|DELETE FROM|UPDATE) [\w*]')

#: A literal that is what db.database calls a database.
_DATABASE = re.compile(r"'(API database'|database of (this cell'|cell\b))")


def layer_of(module):
    """Return the number of the layer of a module; None if it is in none."""
    name = module.split('.')[1] if '.' in module else None
    for number, names in enumerate(LAYERS):
        if name in names:
            return number


class HouseTestCase(testtools.TestCase):

    def modules(self, *folders):
        """Yield (name, path, tree) of all modules below some folders."""
        for folder in folders:
            for path, _, names in os.walk(os.path.join(ROOT, folder)):
                for name in sorted(names):
                    if name.endswith('.py'):
                        found = os.path.join(path, name)
                        module = os.path.relpath(found, ROOT)[:-3]
                        with open(found) as file:
                            yield (module.replace(os.sep, '.'), found,
                                   ast.parse(file.read()))

    def imported(self, tree):
        """Yield the modules of the package that a module imports."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found = ['%s.%s' % (node.module, alias.name)
                         for alias in node.names]
            else:
                continue
            yield from (name for name in found
                        if name.split('.')[0] == PACKAGE)

    def test_imports_run_one_way(self):
        wrong = []
        for module, _, tree in self.modules(PACKAGE):
            for name in self.imported(tree):
                if layer_of(name) is None or (
                        layer_of(name) > layer_of(module)):
                    wrong.append('%s imports %s' % (module, name))
        self.assertEqual([], wrong)

    def test_every_module_has_a_layer(self):
        self.assertEqual([], [
            module for module, _, _ in self.modules(PACKAGE)
            if module != PACKAGE + '.__init__' and layer_of(module) is None])

    def test_sql_stands_in_db(self):
        wrong = []
        for module, path, _ in self.modules(PACKAGE):
            if not module.startswith(PACKAGE + '.db.'):
                with open(path) as file:
                    wrong += ['%s: %s' % (module, line.strip())
                              for line in file if _SQL.search(line)]
        self.assertEqual([], wrong)

    def test_databases_are_named_in_one_place(self):
        wrong = []
        for module, path, _ in self.modules(PACKAGE):
            if module != PACKAGE + '.db.database':
                with open(path) as file:
                    wrong += ['%s: %s' % (module, line.strip())
                              for line in file if _DATABASE.search(line)]
        self.assertEqual([], wrong)

    def test_modules_and_functions_are_short(self):
        long = []
        for module, path, tree in self.modules(
                PACKAGE, 'db_migrations', 'tools',
                'nova_cells_persist_tempest_plugin'):
            with open(path) as file:
                lines = len(file.readlines())
            if lines > MODULE:
                long.append('%s has %d lines' % (module, lines))
            long += ['%s.%s has %d lines' % (
                module, node.name, node.end_lineno - node.lineno + 1)
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef) and
                node.end_lineno - node.lineno >= FUNCTION]
        self.assertEqual([], long)

    def test_every_module_says_what_it_is(self):
        self.assertEqual([], [
            module for module, path, tree in self.modules(
                PACKAGE, 'db_migrations', 'tools', 'tests')
            if tree.body and not ast.get_docstring(tree) and
            '.test_' not in module and not module.endswith('__init__') and
            '.versions.' not in module])
