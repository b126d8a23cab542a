"""The models built in a scratch on a server, and read as a snapshot: texts are spelt as that server spells them.

PostgreSQL: a schema inside a savepoint that is rolled back, else the session's temporary schema. SQLite: a database in
memory. No live table is locked, and nothing stays.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from app import db, server_session
from app.migrations.snapshots import read_postgresql, read_sqlite
from app.migrations.snapshots.ddl import goal, plan
from app.migrations.snapshots.differences import differences
from app.migrations.snapshots.store import Snapshot, in_order
from app.sql_text import for_driver, quoted, unquoted
from app.triggers import UPDATED_AT_FUNCTION, Function, Trigger, declared_triggers

_TEMPORARY = "pg_temp"
_LOCK_TIMEOUT = "3s"
_SET_PATH = sa.text("SELECT set_config('search_path', :path, true)")
_LITERAL = "'(?:[^']|'')*'"


class NoScratchModels(Exception):  # noqa: N818 - a state, rather than a fault
    """The models can't be built on this server.

    Args:
        reason: a clause.
        remedy: a sentence on what to do about it.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"The models can't be built in this database: {reason}")
        self.remedy = remedy


@dataclass(frozen=True)
class Scratch:
    """The models as they are built, while it lasts.

    Attributes:
        connection: to the scratch.
        facts: the snapshot of the models.
        read: reads it again.
    """

    connection: sa.Connection
    facts: Snapshot
    read: Callable[[], Snapshot]


@contextmanager
def scratch_of(
    connection: sa.Connection, metadata: sa.MetaData, is_unmanaged: Callable[[str], bool]
) -> Iterator[Scratch]:
    """Builds the models on the server of `connection`, until the context ends.

    Args:
        connection: to the database that is compared.
        metadata: the models, and the triggers declared with them.
        is_unmanaged: returns whether a table is another tool's; it is only there for foreign keys.

    Raises:
        NoScratchModels: the role may not make a scratch, or the server refuses something in the models.
    """
    make = _on_postgresql if connection.dialect.name == "postgresql" else _on_sqlite
    with make(connection, metadata, is_unmanaged) as scratch:
        yield scratch


def take_with(connection: sa.Connection, metadata: sa.MetaData, taken: Snapshot | None = None) -> Snapshot:
    """Reads a database, and the other schemas that the models name as if they were one with its own.

    Args:
        connection: to the database.
        metadata: the models.
        taken: the snapshot of the database itself, if it has been read already.
    """
    if connection.dialect.name != "postgresql":
        return taken if taken is not None else in_order({**read_sqlite.read(connection)})
    query = "SELECT current_schema(), current_setting('search_path')"
    home, path = connection.exec_driver_sql(query).one()
    facts = taken if taken is not None else read_postgresql.read(connection)
    others = sorted({*schemas_of(metadata).values()} - {home})
    for schema in others:
        connection.execute(_SET_PATH, {"path": quoted(schema)})
        facts = {**read_postgresql.read(connection, [home or "public", _TEMPORARY]), **facts}
    connection.execute(_SET_PATH, {"path": path})
    return in_order(_unqualified({**facts}, others) if others else {**facts})


@contextmanager
def scratch_of_facts(connection: sa.Connection, facts: Snapshot) -> Iterator[Scratch]:
    """Makes what a snapshot describes on the server of `connection`, until the context ends: PostgreSQL only.

    Raises:
        NoScratchModels: the role may not make a scratch, or the snapshot names what isn't there.
    """
    with _refusals():
        savepoint = connection.begin_nested()
    try:
        with _refusals():
            build = _Build(connection, sa.MetaData(), lambda _: False)
            build.make()
            for statement in plan("postgresql", goal({}, facts, differences(facts, {}))).within_a_transaction:
                connection.exec_driver_sql(for_driver(statement, connection.dialect))
        yield Scratch(connection, build.read(), build.read)
    finally:
        if savepoint.is_active:
            savepoint.rollback()


@contextmanager
def _on_sqlite(
    _connection: sa.Connection, metadata: sa.MetaData, _is_unmanaged: Callable[[str], bool]
) -> Iterator[Scratch]:
    with db.migration_engine("sqlite://").connect() as own:

        def read() -> Snapshot:
            return in_order({**read_sqlite.read(own)})

        with _refusals():
            metadata.create_all(own, checkfirst=False)
            _complete_cycles(own, metadata)
            present = own.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars()
            _create_triggers(own, metadata, set(present))
        yield Scratch(own, read(), read)


def _complete_cycles(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Makes the tables anew that lack foreign keys: those of a cycle are added by an ALTER, which SQLite lacks."""
    for table in metadata.tables.values():
        query = "SELECT count(DISTINCT id) FROM pragma_foreign_key_list(?)"
        if connection.exec_driver_sql(query, (table.name,)).scalar_one() < len(table.foreign_key_constraints):
            table.drop(connection, checkfirst=False)
            connection.execute(sa.schema.CreateTable(table))
            for index in table.indexes:
                index.create(connection, checkfirst=False)


@contextmanager
def _on_postgresql(
    connection: sa.Connection, metadata: sa.MetaData, is_unmanaged: Callable[[str], bool]
) -> Iterator[Scratch]:
    with _refusals():
        savepoint = connection.begin_nested()
    try:
        with _refusals():
            build = _Build(connection, metadata, is_unmanaged)
            build.make()
        yield Scratch(connection, build.read(), build.read)
    finally:
        if savepoint.is_active:
            savepoint.rollback()


class _Build:
    """A scratch on PostgreSQL: see `_on_postgresql`."""

    def __init__(self, connection: sa.Connection, metadata: sa.MetaData, is_unmanaged: Callable[[str], bool]) -> None:
        self._connection, self._metadata, self._is_unmanaged = connection, metadata, is_unmanaged
        query = (
            "SELECT current_schema(), pg_is_in_recovery() OR current_setting('transaction_read_only')::bool, "
            "has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMP'), "
            "quote_ident(current_database()), quote_ident(current_user)"
        )
        row = connection.exec_driver_sql(query).one()
        self._home, is_read_only, may_create, may_have_temporary, database, role = row
        if is_read_only:
            raise NoScratchModels("the session is read-only", "Run it in a session that may write, on the primary.")
        if not (may_create or may_have_temporary):
            remedy = f"Let the role make temporary tables: GRANT TEMP ON DATABASE {database} TO {role}"
            raise NoScratchModels(f"the role {role} has neither CREATE nor TEMP on it", remedy)
        self._name = f"schema_scratch_{secrets.token_hex(6)}" if may_create else _TEMPORARY

    def make(self) -> None:
        """Creates what the models declare."""
        self._run(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
        if self._name != _TEMPORARY:
            self._run(f"CREATE SCHEMA {self._name}")
        self._run(f"SET LOCAL search_path = {self._name}, {quoted(self._home or 'public')}, {_TEMPORARY}")
        names = {self._home or "public", *schemas_of(self._metadata).values()}
        tables = [table for table in self._metadata.tables.values() if not self._stub(table)]
        bound = self._connection.execution_options(schema_translate_map=dict.fromkeys(names, self._name))
        rewrite = _in_temporary_schema if self._name == _TEMPORARY else _in_transaction
        sa.event.listen(self._connection, "before_cursor_execute", rewrite, retval=True)
        try:
            with _rules_kept(self._metadata), server_session.without_waiting(self._connection):
                self._metadata.create_all(bound, tables=tables, checkfirst=False)
            query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class "
            query += "WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()))"
            _create_triggers(self._connection, self._metadata, set(self._connection.exec_driver_sql(query).scalars()))
        finally:
            self._connection.execution_options(schema_translate_map=None)
            sa.event.remove(self._connection, "before_cursor_execute", rewrite)

    def read(self) -> Snapshot:
        """Returns the snapshot of the scratch, in which nothing is qualified by it."""
        beside = [name for name in (self._home, _TEMPORARY) if name]
        facts = _unqualified(read_postgresql.read(self._connection, beside), [self._name, *beside])
        for name in _left_unvalidated(self._metadata) & facts.keys():
            facts[name] = {**facts[name], "valid": False}  # an empty table's are valid at once
        return in_order(facts)

    def _stub(self, table: sa.Table) -> bool:
        """Makes a stand-in for another tool's table; a foreign key to the live one would block its writers."""
        if not self._is_unmanaged(table.name):
            return False
        name, home = quoted(table.name), quoted(table.schema or self._home or "public")
        query = sa.text("SELECT to_regclass(:name) IS NOT NULL")
        if not self._connection.execute(query, {"name": f"{home}.{name}"}).scalar():
            return False
        self._run(f"CREATE TABLE {self._name}.{name} (LIKE {home}.{name} INCLUDING INDEXES)")
        return True

    def _run(self, statement: str) -> None:
        self._connection.exec_driver_sql(for_driver(statement, self._connection.dialect))


@contextmanager
def _rules_kept(metadata: sa.MetaData) -> Iterator[None]:
    """Lets the models' constraints be: what `create_all` adds by an ALTER, no later CREATE TABLE would have."""
    constraints = [constraint for table in metadata.tables.values() for constraint in table.constraints]
    rules = [constraint._create_rule for constraint in constraints]  # noqa: SLF001 - where SQLAlchemy notes it
    try:
        yield
    finally:
        for constraint, rule in zip(constraints, rules, strict=True):
            constraint._create_rule = rule  # noqa: SLF001 - as above


def _create_triggers(connection: sa.Connection, metadata: sa.MetaData, present: set[str]) -> None:
    """Creates the declared triggers that no event of their table has created, as in a copy of the metadata."""
    missing = [trigger for name, trigger in declared_triggers(metadata).items() if name not in present]
    items: list[Function | Trigger] = [UPDATED_AT_FUNCTION, *missing] if missing else []
    for item in items:
        statement = item.create(connection.dialect.name)
        if statement is not None:
            connection.exec_driver_sql(for_driver(statement, connection.dialect))


def _in_transaction(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    return re.sub(r"^(CREATE (?:UNIQUE )?INDEX) CONCURRENTLY", r"\1", statement), parameters


def _in_temporary_schema(*arguments: Any) -> tuple[str, Any]:
    # PostgreSQL looks for no function in the temporary schema that isn't asked for there.
    statement, parameters = _in_transaction(*arguments)
    return re.sub(rf'(?<![\w."]){UPDATED_AT_FUNCTION.name}\(', f"{_TEMPORARY}.\\g<0>", statement), parameters


def schemas_of(metadata: sa.MetaData) -> dict[str, str]:
    """Returns the schemas that the models name, by the name of the table, sequence or type."""
    tables = metadata.tables.values()
    items: list[Any] = [*tables, *metadata._sequences.values()]  # noqa: SLF001 - there is no other list of them
    items += [getattr(column.type, "item_type", column.type) for table in tables for column in table.columns]
    return {item.name: item.schema for item in items if getattr(item, "schema", None)}


def _left_unvalidated(metadata: sa.MetaData) -> set[str]:
    """Returns the constraints that the models leave NOT VALID."""
    preparer = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]
    return {
        f"constraint {table.name}.{unquoted(str(preparer.format_constraint(constraint)))}"
        for table in metadata.tables.values()
        for constraint in table.constraints
        if constraint.dialect_kwargs.get("postgresql_not_valid")
    }


def _unqualified(facts: Mapping[str, Mapping[str, Any]], schemas: Iterable[str]) -> Snapshot:
    names = "|".join(re.escape(word) for name in schemas for word in {name, quoted(name)})
    word = re.compile(rf"({_LITERAL})|(?<![\w\".])(?:{names})\.")
    name_in_literal = re.compile(rf"'(?:{names})\.([^']+)'::regclass")

    def plain(fact: str, value: Any) -> Any:
        if not isinstance(value, str) or fact == "comment":
            return value
        return name_in_literal.sub(r"'\1'::regclass", word.sub(lambda match: match[1] or "", value))

    return {name: {fact: plain(fact, value) for fact, value in own.items()} for name, own in facts.items()}


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, NotImplementedError) as error:  # SQLAlchemy's, for sequences on SQLite
        reason = " ".join(str(getattr(error, "orig", None) or error).split("\n")[0].split())
        raise NoScratchModels(reason, "Once the server takes them, everything is compared.") from None
