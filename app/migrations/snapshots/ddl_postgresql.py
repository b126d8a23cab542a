"""PostgreSQL: the statements that turn one snapshot into another."""

from collections.abc import Iterator
from itertools import chain

from sqlalchemy.dialects.postgresql import dialect as Dialect  # noqa: N812 - a class

from app.migrations.errors import MigrationError
from app.migrations.snapshots.ddl import changed, gone
from app.migrations.snapshots.differences import Difference
from app.migrations.snapshots.store import Facts, Snapshot, kind_of, own_name, owner_of
from app.migrations.sql import literal

_quote = Dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


def renames(differences: list[Difference]) -> list[str]:
    """Gives objects their names back, in this order."""
    return [_rename(d) for d in differences]


def statements(start: Snapshot, end: Snapshot) -> tuple[list[str], list[str]]:
    """Those of a transaction, and those that run after it, outside.

    Raises:
        MigrationError: there is none for one of the changes.
    """
    within = chain(
        _drop_dependents(start, end),
        _drop_tables_and_columns(start, end),
        _drop_the_rest(start, end),
        _create_first(start, end),
        _create_tables(start, end),
        _columns(start, end),
        _comments(start, end),
        _constraints(start, end),
        _triggers(start, end),
        _views(start, end),
        _sequences(start, end),
    )
    return list(within), list(_indexes(start, end))


def _rename(difference: Difference) -> str:
    table = _quote(owner_of(difference.name))
    old, new = _quote(difference.found), _quote(difference.expected)
    match kind_of(difference.name):
        case "table":
            return f"ALTER TABLE {old} RENAME TO {new}"
        case "index":
            return f"ALTER INDEX {old} RENAME TO {new}"
        case "trigger":
            return f"ALTER TRIGGER {old} ON {table} RENAME TO {new}"
        case kind:
            return f"ALTER TABLE {table} RENAME {kind.upper()} {old} TO {new}"


def _drop_dependents(start: Snapshot, end: Snapshot) -> Iterator[str]:
    for name in [*gone(start, end, "view"), *changed(start, end, "view")]:
        yield f"DROP {_kind_of_view(start[name])} {_quote(own_name(name))}"
    for name in [*gone(start, end, "trigger"), *_redefined(start, end, "trigger")]:
        if _table_stays(name, end):
            yield f"DROP TRIGGER {_quote(own_name(name))} ON {_quote(owner_of(name))}"
    constraints = [*gone(start, end, "constraint"), *_redefined(start, end, "constraint")]
    for name in sorted(constraints, key=lambda name: not _is_foreign_key(start[name])):
        if _table_stays(name, end) or _is_foreign_key(start[name]):
            yield f"{_alter(name)} DROP CONSTRAINT {_quote(own_name(name))}"
    for name in [*gone(start, end, "index"), *_redefined(start, end, "index")]:
        if _table_stays(name, end):
            yield f"DROP INDEX {_quote(own_name(name))}"


def _drop_tables_and_columns(start: Snapshot, end: Snapshot) -> Iterator[str]:
    for name in gone(start, end, "table"):
        yield f"DROP TABLE {_quote(owner_of(name))}"
    for name in gone(start, end, "column"):
        if _table_stays(name, end):
            yield f"{_alter(name)} DROP COLUMN {_quote(own_name(name))}"


def _drop_the_rest(start: Snapshot, end: Snapshot) -> Iterator[str]:
    columns = {name.partition(" ")[2] for name in end if kind_of(name) == "column"}
    for name in gone(start, end, "sequence"):
        if start[name].get("owner", "") in ("", *columns):
            yield f"DROP SEQUENCE {_quote(own_name(name))}"
    for name in gone(start, end, "function"):
        yield f"DROP FUNCTION {_function(name)}"
    for name in gone(start, end, "enum"):
        yield f"DROP TYPE {_quote(own_name(name))}"


def _create_first(start: Snapshot, end: Snapshot) -> Iterator[str]:
    for name in gone(end, start, "enum"):
        yield f"CREATE TYPE {_quote(own_name(name))} AS ENUM ({', '.join(map(literal, end[name]['labels']))})"
    for name in changed(start, end, "enum"):
        yield from _labels(name, start[name]["labels"], end[name]["labels"])
    for name in gone(end, start, "sequence"):
        if not end.get(f"column {end[name].get('owner')}", {}).get("identity"):
            facts = end[name]
            cycles = " CYCLE" if facts.get("cycles") else ""
            yield f"CREATE SEQUENCE {_quote(own_name(name))} AS {facts['type']} INCREMENT {facts['increment']}{cycles}"
    for name in [*gone(end, start, "function"), *changed(start, end, "function")]:
        yield end[name]["definition"]


def _labels(name: str, old: list[str], new: list[str]) -> Iterator[str]:
    if [label for label in new if label in old] != old:
        raise MigrationError(
            f"{name}: PostgreSQL can't take away or move a label of an enumeration: make a new type, and alter its "
            "columns to it."
        )
    for place, label in enumerate(new):
        if label not in old:
            after = f" AFTER {literal(new[place - 1])}" if place else f" BEFORE {literal(old[0])}"
            yield f"ALTER TYPE {_quote(own_name(name))} ADD VALUE {literal(label)}{after if old else ''}"


def _create_tables(start: Snapshot, end: Snapshot) -> Iterator[str]:
    for name in gone(end, start, "table"):
        if "kind" in end[name]:
            raise MigrationError(f"{name}: how it is partitioned isn't known here: create it by hand.")
        columns = [_column(column, facts) for column, facts in end.items() if _is_column_of(column, owner_of(name))]
        unlogged = "UNLOGGED " if end[name].get("unlogged") else ""
        yield f"CREATE {unlogged}TABLE {_quote(owner_of(name))} ({', '.join(columns)})"


def _columns(start: Snapshot, end: Snapshot) -> Iterator[str]:
    for name in gone(end, start, "column"):
        if f"table {owner_of(name)}" in start:
            yield f"{_alter(name)} ADD COLUMN {_column(name, end[name])}"
    for name in changed(start, end, "column"):
        yield from _altered(name, start[name], end[name])
    for name in changed(start, end, "table"):
        for fact, on, off in (
            ("unlogged", "SET UNLOGGED", "SET LOGGED"),
            ("row_security", "ENABLE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY"),
        ):
            if start[name].get(fact) != end[name].get(fact):
                yield f"{_alter(name)} {on if end[name].get(fact) else off}"


def _altered(name: str, old: Facts, new: Facts) -> Iterator[str]:
    alter = f"{_alter(name)} ALTER COLUMN {_quote(own_name(name))}"
    if old.get("generated") != new.get("generated") or ("generated" in old and old["default"] != new["default"]):
        raise MigrationError(f"{name}: how a column is generated can't be altered: drop it, and add it again.")
    retyped = (old["type"], old.get("collation")) != (new["type"], new.get("collation"))
    redefined = retyped or old.get("default") != new.get("default")
    if "identity" in old and "identity" not in new:
        yield f"{alter} DROP IDENTITY"
    if redefined and "default" in old:
        yield f"{alter} DROP DEFAULT"
    if retyped:
        collation = f" COLLATE {new['collation']}" if "collation" in new else ""
        yield f"{alter} TYPE {new['type']}{collation} USING {_quote(own_name(name))}::{new['type']}"
    if redefined and "default" in new:
        yield f"{alter} SET DEFAULT {new['default']}"
    if old["nullable"] != new["nullable"]:
        yield f"{alter} {'DROP' if new['nullable'] else 'SET'} NOT NULL"
    if "identity" in new and "identity" not in old:
        yield f"{alter} ADD GENERATED {new['identity']} AS IDENTITY"
    elif "identity" in new and old["identity"] != new["identity"]:
        yield f"{alter} SET GENERATED {new['identity']}"


def _comments(start: Snapshot, end: Snapshot) -> Iterator[str]:
    for name, facts in end.items():
        kind = kind_of(name)
        if kind in ("table", "column") and facts.get("comment") != start.get(name, {}).get("comment"):
            what = _quote(owner_of(name)) + (f".{_quote(own_name(name))}" if kind == "column" else "")
            said = literal(facts["comment"]) if "comment" in facts else "NULL"
            yield f"COMMENT ON {kind.upper()} {what} IS {said}"


def _constraints(start: Snapshot, end: Snapshot) -> Iterator[str]:
    new = [*gone(end, start, "constraint"), *_redefined(start, end, "constraint")]
    for name in sorted(new, key=lambda name: _is_foreign_key(end[name])):
        valid = "" if end[name]["valid"] else " NOT VALID"
        yield f"{_alter(name)} ADD CONSTRAINT {_quote(own_name(name))} {end[name]['definition']}{valid}"
    for name in changed(start, end, "constraint"):
        if name not in new and end[name]["valid"]:
            yield f"{_alter(name)} VALIDATE CONSTRAINT {_quote(own_name(name))}"
        elif name not in new:
            yield f"{_alter(name)} DROP CONSTRAINT {_quote(own_name(name))}"
            yield f"{_alter(name)} ADD CONSTRAINT {_quote(own_name(name))} {end[name]['definition']} NOT VALID"


def _indexes(start: Snapshot, end: Snapshot) -> Iterator[str]:
    new = [*gone(end, start, "index"), *_redefined(start, end, "index")]
    for name in new:
        yield end[name]["definition"].replace("INDEX ", "INDEX CONCURRENTLY ", 1)
    for name in changed(start, end, "index"):
        if name not in new and end[name]["valid"]:
            yield f"REINDEX INDEX CONCURRENTLY {_quote(own_name(name))}"


def _triggers(start: Snapshot, end: Snapshot) -> Iterator[str]:
    new = [*gone(end, start, "trigger"), *_redefined(start, end, "trigger")]
    for name in new:
        yield end[name]["definition"]
    for name, facts in end.items():
        enabled = True if name in new else start.get(name, {}).get("enabled")
        if kind_of(name) == "trigger" and facts["enabled"] != enabled:
            yield f"{_alter(name)} {'ENABLE' if facts['enabled'] else 'DISABLE'} TRIGGER {_quote(own_name(name))}"


def _views(start: Snapshot, end: Snapshot) -> Iterator[str]:
    for name in [*gone(end, start, "view"), *changed(start, end, "view")]:
        yield f"CREATE {_kind_of_view(end[name])} {_quote(own_name(name))} AS {end[name]['definition']}"


def _sequences(start: Snapshot, end: Snapshot) -> Iterator[str]:
    for name, facts in end.items():
        if kind_of(name) != "sequence" or end.get(f"column {facts.get('owner')}", {}).get("identity"):
            continue
        old = start.get(name, {**facts, "owner": None})
        clauses = [f"AS {facts['type']}"] if old["type"] != facts["type"] else []
        clauses += [f"INCREMENT BY {facts['increment']}"] if old["increment"] != facts["increment"] else []
        clauses += [f"{'' if facts.get('cycles') else 'NO '}CYCLE"] if old.get("cycles") != facts.get("cycles") else []
        if old.get("owner") != facts.get("owner"):
            table, _, column = facts.get("owner", "").partition(".")
            clauses.append(f"OWNED BY {f'{_quote(table)}.{_quote(column)}' if table else 'NONE'}")
        if clauses:
            yield f"ALTER SEQUENCE {_quote(own_name(name))} {' '.join(clauses)}"


def _column(name: str, facts: Facts) -> str:
    parts = [_quote(own_name(name)), facts["type"]]
    parts += [f"COLLATE {facts['collation']}"] if "collation" in facts else []
    if "generated" in facts:
        parts.append(f"GENERATED ALWAYS AS ({facts['default']}) {facts['generated']}")
    elif "default" in facts:
        parts.append(f"DEFAULT {facts['default']}")
    parts += [f"GENERATED {facts['identity']} AS IDENTITY"] if "identity" in facts else []
    parts += [] if facts["nullable"] else ["NOT NULL"]
    return " ".join(parts)


def _redefined(start: Snapshot, end: Snapshot, kind: str) -> list[str]:
    return [name for name in changed(start, end, kind) if start[name]["definition"] != end[name]["definition"]]


def _is_foreign_key(facts: Facts) -> bool:
    return str(facts["definition"]).startswith("FOREIGN KEY")


def _is_column_of(name: str, table: str) -> bool:
    return kind_of(name) == "column" and owner_of(name) == table


def _table_stays(name: str, end: Snapshot) -> bool:
    return f"table {owner_of(name)}" in end


def _kind_of_view(facts: Facts) -> str:
    return "MATERIALIZED VIEW" if "kind" in facts else "VIEW"


def _function(name: str) -> str:
    called, _, arguments = name.partition(" ")[2].partition("(")
    return f"{_quote(called)}({arguments}"


def _alter(name: str) -> str:
    return f"ALTER TABLE {_quote(owner_of(name))}"
