"""PostgreSQL: the statements that reach a goal."""

from collections.abc import Iterator

from sqlalchemy.dialects.postgresql import dialect as Dialect  # noqa: N812 - a class

from app.migrations.errors import MigrationError
from app.migrations.snapshots.ddl import Goal
from app.migrations.snapshots.differences import Difference
from app.migrations.snapshots.store import Facts, Snapshot, address_of, kind_of, of_kind, own_name, owner_of
from app.sql_text import literal

# Facts that no CREATE states: a new object gets them by a statement of their own.
_SET_LATER = ("comment", "enabled", "owner", "row_security")

_quote = Dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


def statements(aim: Goal) -> tuple[list[str], list[str]]:
    """Returns the statements of a transaction, and those that run after it, outside.

    Raises:
        MigrationError: there is no statement for one of the changes.
    """
    within = [_drop(name, aim.start[name]) for name in _dropped(aim)]
    within += _created(aim, "enum", "sequence", "function", "table", "column")
    within += _altered(aim, "enum", "table", "column")
    within += _created(aim, "constraint", "trigger", "view")
    within += _altered(aim, "constraint", "trigger", "sequence")
    return within, [*_created(aim, "index"), *_altered(aim, "index")]


def rename(difference: Difference) -> str:
    """Returns the statement that gives an object its expected name back."""
    old, new = _quote(difference.found), _quote(difference.expected)
    match kind_of(difference.name):
        case "table":
            return f"ALTER TABLE {old} RENAME TO {new}"
        case "index":
            return f"ALTER INDEX {old} RENAME TO {new}"
        case "trigger":
            return f"ALTER TRIGGER {old} ON {_table(difference.name)} RENAME TO {new}"
        case kind:
            return f"ALTER TABLE {_table(difference.name)} RENAME {kind.upper()} {old} TO {new}"


def _dropped(aim: Goal) -> list[str]:
    """Returns the names of what is dropped, each before that on which it is built."""
    # Foreign keys of dropped tables too, so that these can go in any order.
    foreign_keys = [name for name in aim.dropped("constraint") if _is_foreign_key(aim.start[name])]
    columns = ["", *map(address_of, of_kind(aim.end, "column"))]
    return [
        *aim.dropped("view"),
        *filter(aim.keeps_table, aim.dropped("trigger")),
        *foreign_keys,
        *(n for n in aim.dropped("constraint") if aim.keeps_table(n) and n not in foreign_keys),
        *filter(aim.keeps_table, aim.dropped("index")),
        *aim.gone("table"),
        *filter(aim.keeps_table, aim.gone("column")),
        # A sequence goes with the column that owns it.
        *(name for name in aim.gone("sequence") if aim.start[name].get("owner", "") in columns),
        *aim.gone("function"),
        *aim.gone("enum"),
    ]


def _drop(name: str, facts: Facts) -> str:
    match kind_of(name):
        case "view":
            return f"DROP {'MATERIALIZED ' if 'kind' in facts else ''}VIEW {_own(name)}"
        case "trigger":
            return f"DROP TRIGGER {_own(name)} ON {_table(name)}"
        case "constraint" | "column" as kind:
            return f"ALTER TABLE {_table(name)} DROP {kind.upper()} {_own(name)}"
        case "function":
            function, _, arguments = address_of(name).partition("(")
            return f"DROP FUNCTION {_quote(function)}({arguments}"
        case kind:
            return f"DROP {'TYPE' if kind == 'enum' else kind.upper()} {_own(name)}"


def _created(aim: Goal, *kinds: str) -> list[str]:
    names = [name for kind in kinds for name in aim.created(kind) if not _comes_with_another(name, aim)]
    # Foreign keys last: they need the keys that they refer to.
    names.sort(key=lambda name: kind_of(name) == "constraint" and _is_foreign_key(aim.end[name]))
    return [_create(name, aim.end) for name in names]


def _comes_with_another(name: str, aim: Goal) -> bool:
    if kind_of(name) == "sequence":
        return _is_of_identity(aim.end[name], aim.end)
    return kind_of(name) == "column" and f"table {owner_of(name)}" not in aim.start


def _create(name: str, end: Snapshot) -> str:
    facts = end[name]
    match kind_of(name):
        case "enum":
            return f"CREATE TYPE {_own(name)} AS ENUM ({', '.join(map(literal, facts['labels']))})"
        case "sequence":
            cycles = " CYCLE" if facts.get("cycles") else ""
            return f"CREATE SEQUENCE {_own(name)} AS {facts['type']} INCREMENT {facts['increment']}{cycles}"
        case "table":
            return _create_table(name, end)
        case "column":
            return f"ALTER TABLE {_table(name)} ADD COLUMN {_column(name, facts)}"
        case "constraint":
            valid = "" if facts["valid"] else " NOT VALID"
            return f"ALTER TABLE {_table(name)} ADD CONSTRAINT {_own(name)} {facts['definition']}{valid}"
        case "view":
            materialized = "MATERIALIZED " if "kind" in facts else ""
            return f"CREATE {materialized}VIEW {_own(name)} AS {facts['definition']}"
        case "index":
            return str(facts["definition"]).replace("INDEX ", "INDEX CONCURRENTLY ", 1)
    return str(facts["definition"])


def _create_table(name: str, end: Snapshot) -> str:
    if "kind" in end[name]:
        raise MigrationError(f"{name}: how it is partitioned isn't known here: create it by hand.")
    columns = [_column(column, end[column]) for column in of_kind(end, "column", owner_of(name))]
    unlogged = "UNLOGGED " if end[name].get("unlogged") else ""
    return f"CREATE {unlogged}TABLE {_table(name)} ({', '.join(columns)})"


def _column(name: str, facts: Facts) -> str:
    parts = [_own(name), facts["type"]]
    parts += [f"COLLATE {facts['collation']}"] if "collation" in facts else []
    if "generated" in facts:
        parts.append(f"GENERATED ALWAYS AS ({facts['default']}) {facts['generated']}")
    elif "default" in facts:
        parts.append(f"DEFAULT {facts['default']}")
    parts += [f"GENERATED {facts['identity']} AS IDENTITY"] if "identity" in facts else []
    return " ".join(parts if facts["nullable"] else [*parts, "NOT NULL"])


def _altered(aim: Goal, *kinds: str) -> Iterator[str]:
    created = {name for kind in kinds for name in aim.created(kind)}
    for name, new in aim.end.items():
        if kind_of(name) in kinds:
            as_created = {fact: value for fact, value in new.items() if fact not in _SET_LATER}
            old = as_created if name in created else aim.start[name]
            if old != new and not (kind_of(name) == "sequence" and _is_of_identity(new, aim.end)):
                yield from _alter(name, old, new)


def _alter(name: str, old: Facts, new: Facts) -> Iterator[str]:
    table = f"ALTER TABLE {_table(name)}"
    match kind_of(name):
        case "enum":
            yield from _labels(name, old["labels"], new["labels"])
        case "table":
            if old.get("unlogged") != new.get("unlogged"):
                yield f"{table} SET {'UNLOGGED' if new.get('unlogged') else 'LOGGED'}"
            if old.get("row_security") != new.get("row_security"):
                yield f"{table} {'ENABLE' if new.get('row_security') else 'DISABLE'} ROW LEVEL SECURITY"
            yield from _comment(f"TABLE {_table(name)}", old, new)
        case "column":
            yield from _alter_column(name, f"{table} ALTER COLUMN {_own(name)}", old, new)
            yield from _comment(f"COLUMN {_table(name)}.{_own(name)}", old, new)
        case "constraint" if new["valid"]:
            yield f"{table} VALIDATE CONSTRAINT {_own(name)}"
        case "constraint":
            yield from (_drop(name, old), _create(name, {name: new}))
        case "trigger":
            if old.get("enabled", True) != new["enabled"]:
                yield f"{table} {'ENABLE' if new['enabled'] else 'DISABLE'} TRIGGER {_own(name)}"
        case "index" if new["valid"]:
            yield f"REINDEX INDEX CONCURRENTLY {_own(name)}"
        case "sequence":
            yield f"ALTER SEQUENCE {_own(name)} {' '.join(_sequence_clauses(old, new))}"


def _labels(name: str, old: list[str], new: list[str]) -> Iterator[str]:
    if [label for label in new if label in old] != old:
        raise MigrationError(
            f"{name}: PostgreSQL can't take away or move a label of an enumeration: make a new type, and alter its "
            "columns to it."
        )
    for place, label in enumerate(new):
        if label not in old:
            after = f" AFTER {literal(new[place - 1])}" if place else f" BEFORE {literal(old[0])}"
            yield f"ALTER TYPE {_own(name)} ADD VALUE {literal(label)}{after if old else ''}"


def _comment(place: str, old: Facts, new: Facts) -> Iterator[str]:
    if old.get("comment") != new.get("comment"):
        yield f"COMMENT ON {place} IS {literal(new['comment']) if 'comment' in new else 'NULL'}"


def _alter_column(name: str, alter: str, old: Facts, new: Facts) -> Iterator[str]:
    if old.get("generated") != new.get("generated") or ("generated" in old and old["default"] != new["default"]):
        raise MigrationError(f"{name}: how a column is generated can't be altered: drop it, and add it again.")
    retyped = (old["type"], old.get("collation")) != (new["type"], new.get("collation"))
    redefined = retyped or old.get("default") != new.get("default")
    if "identity" in old and "identity" not in new:
        yield f"{alter} DROP IDENTITY"
    if redefined and "default" in old:  # before the type changes: there may be no cast from the old default
        yield f"{alter} DROP DEFAULT"
    if retyped:
        collation = f" COLLATE {new['collation']}" if "collation" in new else ""
        yield f"{alter} TYPE {new['type']}{collation} USING {_own(name)}::{new['type']}"
    if redefined and "default" in new:
        yield f"{alter} SET DEFAULT {new['default']}"
    if old["nullable"] != new["nullable"]:
        yield f"{alter} {'DROP' if new['nullable'] else 'SET'} NOT NULL"
    if "identity" in new and "identity" not in old:
        yield f"{alter} ADD GENERATED {new['identity']} AS IDENTITY"
    elif "identity" in new and old["identity"] != new["identity"]:
        yield f"{alter} SET GENERATED {new['identity']}"


def _sequence_clauses(old: Facts, new: Facts) -> Iterator[str]:
    if old["type"] != new["type"]:
        yield f"AS {new['type']}"
    if old["increment"] != new["increment"]:
        yield f"INCREMENT BY {new['increment']}"
    if old.get("cycles") != new.get("cycles"):
        yield "CYCLE" if new.get("cycles") else "NO CYCLE"
    if old.get("owner") != new.get("owner"):
        table, _, column = new.get("owner", "").partition(".")
        yield f"OWNED BY {_quote(table)}.{_quote(column)}" if table else "OWNED BY NONE"


def _is_of_identity(sequence: Facts, end: Snapshot) -> bool:
    return bool(end.get(f"column {sequence.get('owner')}", {}).get("identity"))


def _is_foreign_key(constraint: Facts) -> bool:
    return str(constraint["definition"]).startswith("FOREIGN KEY")


def _own(name: str) -> str:
    return _quote(own_name(name))


def _table(name: str) -> str:
    return _quote(owner_of(name))
