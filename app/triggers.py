"""Triggers that are declared with their table, as an index is.

    class User(Base):
        __tablename__ = "users"
        ...

    UpdatedAtTrigger(User.__table__)

`metadata.create_all` creates the trigger with the table; `alembic revision --autogenerate` sees when it is added,
changed or removed. PostgreSQL also needs a trigger function: all such triggers share one, which comes with the first
and goes with the last.
"""

from dataclasses import dataclass
from typing import ClassVar

import sqlalchemy as sa

INFO_KEY = "triggers"


@dataclass(frozen=True)
class Function:
    """A PostgreSQL trigger function; SQLite has none, and its statements are None there."""

    name: str
    body: str
    kind: ClassVar = "trigger_function"

    def create(self, dialect: str) -> str | None:
        """Returns the statement that creates or replaces the function."""
        create = f"CREATE OR REPLACE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $${self.body}$$"
        return create if dialect == "postgresql" else None

    def drop(self, dialect: str) -> str | None:
        """Returns the statement that drops the function."""
        return f"DROP FUNCTION {self.name}()" if dialect == "postgresql" else None


@dataclass(frozen=True)
class Trigger:
    """A trigger; `postgresql` and `sqlite` are the text after `CREATE TRIGGER name` on each database."""

    name: str
    table: str
    postgresql: str
    sqlite: str
    kind: ClassVar = "trigger"

    def create(self, dialect: str) -> str:
        """Returns the statement that creates the trigger on `dialect`, `postgresql` or `sqlite`."""
        return f"CREATE TRIGGER {self.name} {self.definition(dialect)}"

    def drop(self, dialect: str) -> str:
        """Returns the statement that drops the trigger."""
        return f"DROP TRIGGER {self.name}" + (f" ON {self.table}" if dialect == "postgresql" else "")

    def definition(self, dialect: str) -> str:
        """Returns the text after `CREATE TRIGGER name`."""
        return self.postgresql if dialect == "postgresql" else self.sqlite


UPDATED_AT_FUNCTION = Function("update_updated_at_column", "BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END;")


def updated_at_trigger(table: str) -> Trigger:
    """Returns the trigger that sets `updated_at` of `table` on every UPDATE."""
    # Six digits, as SQLAlchemy writes them: the texts sort together.
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    return Trigger(
        name=f"update_{table}_updated_at",
        table=table,
        postgresql=f"BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {UPDATED_AT_FUNCTION.name}()",
        # SQLite has to write the row again. `now` is constant within a statement, so with `recursive_triggers` on
        # the WHEN ends the recursion.
        sqlite=(
            f"AFTER UPDATE ON {table} FOR EACH ROW WHEN NEW.updated_at IS NOT {now} "
            f"BEGIN UPDATE {table} SET updated_at = {now} WHERE rowid = NEW.rowid; END"
        ),
    )


def UpdatedAtTrigger(table: sa.Table | sa.FromClause) -> Trigger:  # noqa: N802 - reads as a declaration
    """Declares that the database keeps `updated_at` of `table`, which has such a column."""
    assert isinstance(table, sa.Table)
    trigger = updated_at_trigger(table.name)
    table.metadata.info.setdefault(INFO_KEY, {})[trigger.name] = trigger
    for event, item, dialect in (
        ("before_create", UPDATED_AT_FUNCTION, "postgresql"),
        ("after_create", trigger, "postgresql"),
        ("after_create", trigger, "sqlite"),
    ):
        statement = sa.schema.DDL(str(item.create(dialect)).replace("%", "%%"))  # type: ignore[no-untyped-call]
        sa.event.listen(table, event, statement.execute_if(dialect=dialect))
    sa.event.listen(table, "after_drop", _drop_unused_function)
    return trigger


def declared_triggers(metadata: sa.MetaData) -> dict[str, Trigger]:
    """Returns the triggers declared with tables of `metadata`, by name."""
    return dict(metadata.info.get(INFO_KEY, {}))


def _drop_unused_function(_table: sa.Table, connection: sa.Connection, **_: object) -> None:
    statement = UPDATED_AT_FUNCTION.drop(connection.dialect.name)
    if statement is not None:
        unused = "NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = p.oid)"
        query = f"SELECT FROM pg_proc p WHERE oid = to_regproc('{UPDATED_AT_FUNCTION.name}') AND {unused}"
        if connection.execute(sa.text(query)).first() is not None:
            connection.execute(sa.text(statement))
