"""The finish of a revision's two halves: what comes back has the types and texts that each database had before."""

import re
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.sqlite.base import ischema_names

from app.dialect_text import DialectText
from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.expressions import escaped
from app.migrations.autogenerate.facts.sides import as_postgresql_keeps
from app.migrations.autogenerate.type_code import generic, impl, spelt
from app.migrations.operations import ExecuteOnOp, NamedType
from app.migrations.snapshots import Facts, Snapshot, of_kind, own_name
from app.migrations.sql import sqlite_table

_NAME = r'(?:"[^"]+"|\w+)'
_SIMPLE_INDEX = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX {_NAME} ON (?:ONLY )?{_NAME} (?:USING btree )?\({_NAME}(?:, {_NAME})*\)"
)

_MORE_TYPES: dict[str, Any] = {"UUID": sa.UUID, "JSONB": postgresql.JSONB}

Before = dict[str, Snapshot]
"""The facts before the revision, by dialect; of a database that isn't known, none."""

_SQLITE_TYPE = re.compile(r"([A-Z_ ]+?) ?(?:\((\d+)(?:, ?(\d+))?\))?")


def finish(script: ops.MigrationScript, before: Before, after: Before) -> None:
    """Completes the operations of both halves.

    Args:
        script: the revision.
        before: the facts before it.
        after: the facts that the models want.
    """
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    _restore(script.downgrade_ops, before)
    whole = {**_whole_names(before), **_whole_names(after)}
    for half, start, end in ((script.upgrade_ops, before, after), (script.downgrade_ops, after, before)):
        for operation in flat(half.ops):
            _name_whole(operation, whole)
            if isinstance(operation, ops.AlterColumnOp) and operation.modify_type is not None:
                name = f"column {operation.table_name}.{operation.column_name}"
                old, new = (facts.get("sqlite", {}).get(name, {}) for facts in (start, end))
                if new:
                    operation.modify_type = with_collation_taken_away(operation.modify_type, old, new)


def _whole_names(facts: Before) -> dict[str, str]:
    """Returns the names that PostgreSQL has cut, each with the whole one, which a revision says on both databases."""
    names = {name: as_postgresql_keeps(name) for name in facts.get("sqlite", {})}
    return {own_name(cut): own_name(name) for name, cut in names.items() if cut != name}


def _name_whole(operation: Any, whole: dict[str, str]) -> None:
    for attribute in ("constraint_name", "index_name"):
        name = getattr(operation, attribute, None)
        if name in whole:
            setattr(operation, attribute, sa.schema.conv(whole[name]))


def _restore(container: ops.OpContainer, before: Before) -> None:
    for operation in [*container.ops]:
        if isinstance(operation, ops.OpContainer):
            _restore(operation, before)
            continue
        place = container.ops.index(operation)
        match operation:
            case ops.DropIndexOp():
                operation.kw = {}
            case ops.CreateIndexOp():
                container.ops[place : place + 1] = _index(operation, before)
            case ops.CreateCheckConstraintOp():
                _check(operation, before)
            case ops.CreateUniqueConstraintOp():
                _unique(operation, before)
            case ops.AddColumnOp():
                _column(operation.table_name, operation.column, before)
            case ops.CreateTableOp():
                for column in operation.columns:
                    if isinstance(column, sa.Column):
                        _column(operation.table_name, column, before)
                _checks(operation, before)
            case ops.AlterColumnOp() if operation.modify_name is None:
                _altered(operation, before)


def _index(operation: ops.CreateIndexOp, before: Before) -> list[Any]:
    """Returns an index as it was: by its columns if these say all, else by its text on each database."""
    name = f"index {operation.table_name}.{operation.index_name}"
    texts = {d: str(facts[name]["definition"]) for d, facts in before.items() if name in facts}
    if not texts or all(_SIMPLE_INDEX.fullmatch(text) for text in texts.values()):
        operation.kw = {key: value for key, value in operation.kw.items() if value not in (False, [], None, {})}
        return [operation]
    return [ExecuteOnOp(dialect, [text]) for dialect, text in texts.items()]


def _check(operation: ops.CreateCheckConstraintOp, before: Before) -> None:
    name = f"constraint {operation.table_name}.{operation.constraint_name}"
    texts = {d: _inner(str(facts[name]["definition"])) for d, facts in before.items() if name in facts}
    if texts:
        operation.condition = _text(texts)


def _unique(operation: ops.CreateUniqueConstraintOp, before: Before) -> None:
    name = f"constraint {operation.table_name}.{operation.constraint_name}"
    text = str(before.get("postgresql", {}).get(name, {}).get("definition", ""))
    if "DEFERRABLE" in text:
        operation.kw["deferrable"] = True
    if "INITIALLY DEFERRED" in text:
        operation.kw["initially"] = "DEFERRED"
    if "NULLS NOT DISTINCT" in text:
        operation.kw["postgresql_nulls_not_distinct"] = True


def _checks(operation: ops.CreateTableOp, before: Before) -> None:
    """Takes the CHECKs of a table from the facts: Alembic's inspector leaves them out."""
    table = operation.table_name
    others = [item for item in operation.columns if not isinstance(item, sa.CheckConstraint)]
    names = {own_name(n) for s in before.values() for n in of_kind(s, "constraint", table)}
    made = []
    for name in sorted(names):
        facts = {d: s[f"constraint {table}.{name}"] for d, s in before.items() if f"constraint {table}.{name}" in s}
        texts = {d: str(own["definition"]) for d, own in facts.items()}
        if all(text.startswith("CHECK") for text in texts.values()) and not name.startswith("("):
            text = _text({dialect: _inner(text) for dialect, text in texts.items()})
            check: Any = sa.CheckConstraint(text, name=sa.schema.conv(name))
            if len(texts) < len(before):
                check.info["only"] = next(iter(texts))
                check = check.ddl_if(dialect=next(iter(texts)))
            made.append(check)
    operation.columns = [*others, *made]


def _inner(definition: str) -> str:
    text = definition.removesuffix(" NOT VALID").removeprefix("CHECK (").removesuffix(")")
    return sqlite_table.without_brackets(text)


def _text(texts: dict[str, str]) -> Any:
    """Returns an expression; a text that one database lacks is that of the other."""
    postgresql = texts.get("postgresql", texts.get("sqlite", ""))
    own = texts.get("sqlite", postgresql)
    if postgresql == own:
        return sa.text(escaped(own))
    return DialectText(postgresql=postgresql, sqlite=own)


def _column(table: str, column: sa.Column[Any], before: Before) -> None:
    name = f"column {table}.{column.name}"
    facts = {dialect: snapshot[name] for dialect, snapshot in before.items() if name in snapshot}
    if not facts:
        return
    column.type = _type(column.type, facts)
    column.comment = facts.get("postgresql", {}).get("comment", column.comment)
    if any("generated" in own for own in facts.values()):
        texts = {d: _generated(d, own) for d, own in facts.items()}
        stored = not any("VIRTUAL" in str(own.get("generated")) for own in facts.values())
        column.server_default = None
        column.computed = None
        sa.Computed(_text(texts), persisted=stored)._set_parent(column)  # noqa: SLF001 - as SQLAlchemy does itself
        return
    if column.identity is None:
        column.server_default = _default(facts)


def _generated(dialect: str, facts: Facts) -> str:
    text = str(facts["default"]) if dialect == "postgresql" else str(facts["generated"]).rpartition(" ")[0]
    return sqlite_table.without_brackets(text)


def _altered(operation: ops.AlterColumnOp, before: Before) -> None:
    name = f"column {operation.table_name}.{operation.column_name}"
    facts = {dialect: snapshot[name] for dialect, snapshot in before.items() if name in snapshot}
    if not facts:
        return
    if operation.modify_type is not None:
        operation.modify_type = _type(operation.modify_type, facts)
    if operation.modify_server_default is not False:
        operation.modify_server_default = _default(facts)


def _default(facts: dict[str, Facts]) -> Any:
    texts = {dialect: str(own["default"]) for dialect, own in facts.items() if "default" in own}
    if not texts or any("nextval(" in text for text in texts.values()):
        return None
    if "sqlite" in texts and not _needs_no_brackets(texts["sqlite"]):
        texts["sqlite"] = f"({texts['sqlite']})"
    plain = re.fullmatch(r"('(?:[^']|'')*')::[\w ]+(?:\(\d+\))?", texts.get("postgresql", ""))
    if plain and texts.get("sqlite") in (None, plain[1]):
        texts["postgresql"] = plain[1]
    return sa.DefaultClause(_text(texts))


def _needs_no_brackets(text: str) -> bool:
    words = r"'(?:[^']|'')*'|[-+]?[\d.]+|NULL|TRUE|FALSE|CURRENT_(?:TIMESTAMP|DATE|TIME)"
    return re.fullmatch(words, text, re.IGNORECASE) is not None


def _type(item: Any, facts: dict[str, Facts]) -> Any:
    """Returns a type that each database spells as it did before."""
    text = str(facts.get("postgresql", {}).get("type", ""))
    if isinstance(item, sa.types.NullType) and text:  # no type of SQLAlchemy's
        return NamedType(text, str(facts.get("sqlite", {}).get("type", text)))
    kind = generic(item)
    wanted = str(facts.get("sqlite", {}).get("type", ""))
    collation = facts.get("sqlite", {}).get("collation")
    if not wanted or (spelt(kind, "sqlite") == wanted and collation is None):
        return kind
    own = _sqlite_type(wanted, collation)
    return kind.with_variant(own, "sqlite") if own is not None else kind


def with_collation_taken_away(kind: Any, old: Facts, new: Facts) -> Any:
    """Returns a type that says on SQLite that it has no collation: a copy of the table keeps what isn't said."""
    if "collation" not in old or "collation" in new:
        return kind
    own = _sqlite_type(str(new.get("type", "")), "BINARY")
    plain = impl(kind, "postgresql").copy()
    others = {name: variant for name, variant in plain._variant_mapping.items() if name != "sqlite"}  # noqa: SLF001
    plain._variant_mapping = type(plain._variant_mapping)(others)  # noqa: SLF001 - there is no other way to take one out
    return plain.with_variant(own, "sqlite") if own is not None else kind


def _sqlite_type(text: str, collation: str | None) -> Any:
    match = _SQLITE_TYPE.fullmatch(text)
    kind: Any = {**ischema_names, **_MORE_TYPES}.get(match[1]) if match else None
    if match is None or kind is None:
        return None
    numbers = [int(number) for number in (match[2], match[3]) if number]
    try:
        made: Any = kind(*numbers)
    except TypeError:
        return None
    if collation is not None:
        made.collation = collation
    return made
