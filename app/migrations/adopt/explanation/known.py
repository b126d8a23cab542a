"""Objects that aren't head's and are known all the same: of earlier revisions, and other tools' bookkeeping."""

import re
from collections.abc import Iterable

from app.migrations.snapshots import Facts, Snapshot, kind_of, owner_of

BOOKKEEPING = {
    "_prisma_migrations": "Prisma",
    "__drizzle_migrations": "Drizzle",
    "_sqlx_migrations": "sqlx",
    "__diesel_schema_migrations": "Diesel",
    "atlas_schema_revisions": "Atlas",
    "databasechangelog": "Liquibase",
    "databasechangeloglock": "Liquibase",
    "django_migrations": "Django",
    "flyway_schema_history": "Flyway",
    "gorp_migrations": "sql-migrate",
    "goose_db_version": "goose",
    "knex_migrations": "Knex",
    "knex_migrations_lock": "Knex",
    "ar_internal_metadata": "Rails",
    "schema_migrations": "Rails, golang-migrate or dbmate",
    "SequelizeMeta": "Sequelize",
    "typeorm_metadata": "TypeORM",
}

_ACTIONS = re.compile(r" (?:ON (?:DELETE|UPDATE) (?:NO ACTION|RESTRICT|CASCADE|SET NULL|SET DEFAULT)|NOT VALID)")


class FormerConstraints:
    """Constraints that earlier revisions made.

    Args:
        snapshots: of the revisions before head.
    """

    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        self._known = {
            (owner_of(name), without_actions(facts))
            for snapshot in snapshots
            for name, facts in snapshot.items()
            if kind_of(name) == "constraint"
        }

    def has(self, name: str, facts: Facts) -> bool:
        """Returns whether an earlier revision made such a constraint, whatever its name and its actions."""
        return (owner_of(name), without_actions(facts)) in self._known


def without_actions(facts: Facts) -> str:
    """Returns the definition of a constraint without the actions of a foreign key."""
    return _ACTIONS.sub("", str(facts.get("definition", "")))
