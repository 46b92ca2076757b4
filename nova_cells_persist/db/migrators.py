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

"""The two engines that can migrate the tables, behind one face.

Nova 25 to 27 stand on SQLAlchemy 1.4 and carry sqlalchemy-migrate; Nova 28
and newer on SQLAlchemy 2 and carry alembic only. Both engines run the same
scripts, those under db_migrations.
"""

import os

from alembic import command as alembic_command
from alembic import config as alembic_config
from alembic.runtime import migration as alembic_migration
from alembic import script as alembic_script
import sqlalchemy as sa

from nova_cells_persist.db import models
from nova_cells_persist import exception

#: The first release of Nova without sqlalchemy-migrate.
FIRST_WITH_ALEMBIC = 28


def migrator(release, path):
    """Return the migrator for a release of Nova.

    :param release: the major release, such as 34
    :param path: the folder of one of the repositories, api or cell
    :raises: MigrateMissing if sqlalchemy-migrate is needed and not there
    """
    if release >= FIRST_WITH_ALEMBIC:
        return Alembic(path)
    return Migrate(path, release)


class Alembic:
    """Migrates with alembic."""

    def __init__(self, path):
        self._versions = os.path.join(path, 'versions')
        self._config = alembic_config.Config()
        # One env.py serves both repositories.
        for option, value in (
                ('script_location', os.path.dirname(path)),
                ('version_locations', self._versions),
                # As it is called before and since alembic 1.16. Without it
                # a path with a space is two.
                ('version_path_separator', 'os'),
                ('path_separator', 'os')):
            self._config.set_main_option(option, value.replace('%', '%%'))
        self._script = alembic_script.ScriptDirectory.from_config(
            self._config)

    def known(self):
        """Return the versions that the scripts make, oldest first."""
        return [script.revision for script in
                reversed(list(self._script.walk_revisions()))]

    def version(self, engine):
        """Return the version of the tables, None if there are none."""
        with engine.connect() as connection:
            return _version(connection)

    def upgrade(self, engine):
        """Bring the tables to the newest version."""
        with engine.begin() as connection:
            self._config.attributes['connection'] = connection
            version = _version(connection)
            if version and version != _version_of_alembic(connection):
                alembic_command.stamp(self._config, version)
            alembic_command.upgrade(self._config, 'head')

    def stamp(self, engine):
        """Note the newest version, without running a script."""
        with engine.begin() as connection:
            self._config.attributes['connection'] = connection
            alembic_command.stamp(self._config, 'head')


class Migrate:
    """Migrates with sqlalchemy-migrate."""

    def __init__(self, path, release):
        try:
            from migrate import exceptions
            from migrate.versioning import api
            from migrate.versioning import repository
        except ImportError as exc:
            raise exception.MigrateMissing(nova=release, reason=exc)
        self._api = api
        self._not_controlled = exceptions.DatabaseNotControlledError
        self._repository = repository.Repository(path)

    def known(self):
        """Return the versions that the scripts make, oldest first."""
        return [_as_revision(number) for number in
                range(1, int(self._repository.latest) + 1)]

    def version(self, engine):
        """Return the version of the tables, None if there are none."""
        # Not with db_version(), for which a database that does not answer is
        # one that is not under its control.
        with engine.connect() as connection:
            return _version(connection)

    def upgrade(self, engine):
        """Bring the tables to the newest version."""
        try:
            self._api.db_version(engine, self._repository)
        except self._not_controlled:
            self._api.version_control(engine, self._repository, 0)
        self._api.upgrade(engine, self._repository)

    def stamp(self, engine):
        """Note the newest version, without running a script."""
        self._api.version_control(engine, self._repository,
                                  self._repository.latest)


def _as_revision(number):
    """Return the version of sqlalchemy-migrate as alembic calls it."""
    return '%03d' % number


def _version(connection):
    """Return the newer of the versions that the two migrators have noted.

    Nodes of both may run at once, on tables that either of them has made.
    """
    return max(filter(None, (_version_of_alembic(connection),
                             _version_of_migrate(connection))), default=None)


def _version_of_alembic(connection):
    return alembic_migration.MigrationContext.configure(
        connection, opts={'version_table': models.ALEMBIC_VERSION_TABLE}
    ).get_current_revision()


def _version_of_migrate(connection):
    if not sa.inspect(connection).has_table(models.MIGRATE_VERSION_TABLE):
        return None
    number = connection.execute(sa.select(sa.column('version')).select_from(
        sa.table(models.MIGRATE_VERSION_TABLE))).scalar()
    return _as_revision(number) if number else None
