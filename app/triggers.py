"""`UpdatedAtTrigger`: a trigger declared with its table.

`updated_at` must move whoever writes, raw SQL included, so the database keeps it. A trigger isn't part of SQLAlchemy's
metadata; declared here it is, as much as an index:

    class User(Base):
        __tablename__ = "users"
        ...

    UpdatedAtTrigger(User.__table__)

`metadata.create_all` then creates it with the table, `alembic revision --autogenerate` notices when it is added,
changed or removed (`app.migrations.operations`), and both take the SQL from the values here, in the words of either
database.

On PostgreSQL a trigger calls a function. The function is an object of its own, shared by all such triggers: created
with the first of them, dropped after the last.
"""

from dataclasses import dataclass

import sqlalchemy as sa

INFO_KEY = "triggers"


@dataclass(frozen=True)
class Function:
    """A PostgreSQL trigger function; SQLite has none and needs none."""

    name: str
    body: str

    @property
    def create(self) -> str:
        """The statement that creates the function, or replaces one of that name."""
        return f"CREATE OR REPLACE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $${self.body}$$"

    @property
    def drop(self) -> str:
        """The statement that drops the function."""
        return f"DROP FUNCTION {self.name}()"


@dataclass(frozen=True)
class Trigger:
    """A trigger in the words of both databases: what follows `CREATE TRIGGER name` in each."""

    name: str
    table: str
    postgresql: str
    sqlite: str

    def create(self, dialect: str) -> str:
        """The statement that creates the trigger on `dialect`, `postgresql` or `sqlite`."""
        return f"CREATE TRIGGER {self.name} {self.postgresql if dialect == 'postgresql' else self.sqlite}"

    def drop(self, dialect: str) -> str:
        """The statement that drops the trigger on `dialect`."""
        return f"DROP TRIGGER {self.name}" + (f" ON {self.table}" if dialect == "postgresql" else "")


UPDATED_AT_FUNCTION = Function("update_updated_at_column", "BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END;")


def updated_at_trigger(table: str) -> Trigger:
    """The trigger that sets `updated_at` of `table` on every UPDATE.

    SQLite can only write the row again; the WHEN ends that under `recursive_triggers` too, since `now` is the same
    throughout a statement. The time has SQLAlchemy's six digits, so that it sorts among those the application wrote.
    """
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    return Trigger(
        name=f"update_{table}_updated_at",
        table=table,
        postgresql=f"BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {UPDATED_AT_FUNCTION.name}()",
        sqlite=(
            f"AFTER UPDATE ON {table} FOR EACH ROW WHEN NEW.updated_at IS NOT {now} "
            f"BEGIN UPDATE {table} SET updated_at = {now} WHERE rowid = NEW.rowid; END"
        ),
    )


def UpdatedAtTrigger(table: sa.Table | sa.FromClause) -> Trigger:  # noqa: N802 - reads as a declaration
    """Declares that the database keeps `updated_at` of `table`.

    Args:
        table: a table with a column `updated_at`; `create_all` and `drop_all` of its metadata take the trigger along.
    """
    assert isinstance(table, sa.Table)
    trigger = updated_at_trigger(table.name)
    table.metadata.info.setdefault(INFO_KEY, {})[trigger.name] = trigger
    sa.event.listen(table, "before_create", _create_function)
    sa.event.listen(table, "after_drop", _drop_function)
    for dialect in ("postgresql", "sqlite"):
        statement = sa.schema.DDL(trigger.create(dialect).replace("%", "%%"))  # type: ignore[no-untyped-call]
        statement = statement.execute_if(dialect=dialect)
        sa.event.listen(table, "after_create", statement)
    return trigger


def declared_triggers(metadata: sa.MetaData) -> dict[str, Trigger]:
    """The triggers that were declared with tables of `metadata`, by name."""
    return dict(metadata.info.get(INFO_KEY, {}))


def _create_function(_table: sa.Table, connection: sa.Connection, **_: object) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(UPDATED_AT_FUNCTION.create.replace(":", r"\:")))


def _drop_function(_table: sa.Table, connection: sa.Connection, **_: object) -> None:
    if connection.dialect.name == "postgresql":
        unused = "NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = p.oid)"
        found = f"SELECT FROM pg_proc p WHERE oid = to_regproc('{UPDATED_AT_FUNCTION.name}') AND {unused}"
        if connection.execute(sa.text(found)).first() is not None:
            connection.execute(sa.text(UPDATED_AT_FUNCTION.drop))
