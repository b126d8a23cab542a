"""PostgreSQL: the statements that reach a goal."""

from collections.abc import Iterator

from app.migrations.errors import MigrationError
from app.migrations.snapshots import ddl_postgresql_types as types
from app.migrations.snapshots.ddl import Goal
from app.migrations.snapshots.ddl_postgresql_types import comment, options
from app.migrations.snapshots.ddl_postgresql_types import quote as _quote
from app.migrations.snapshots.differences import Difference
from app.migrations.snapshots.store import Facts, Snapshot, address_of, kind_of, of_kind, own_name, owner_of

# Facts that no CREATE states: a new object gets them by a statement of their own.
_SET_LATER = ("comment", "enabled", "owner", "row_security", "forced_row_security", "options")


def statements(aim: Goal) -> tuple[list[str], list[str]]:
    """Returns the statements of a transaction, and those that run after it, outside.

    Raises:
        MigrationError: there is no statement for one of the changes.
    """
    within = [_drop(name, aim.start[name]) for name in _dropped(aim)]
    within += _created(aim, "collation", "enum", "domain", "sequence", "function", "table", "column")
    within += _altered(aim, "collation", "enum", "domain", "table", "column")
    within += _created(aim, "constraint", "trigger", "view", "policy", "statistics")
    within += _altered(aim, "constraint", "trigger", "view", "sequence", "policy", "statistics")
    within += [_drop(name, aim.start[name]) for name in _dropped_last(aim)]
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
    return [
        *aim.dropped("view"),
        *filter(aim.keeps_table, aim.dropped("trigger")),
        *filter(aim.keeps_table, aim.gone("policy")),
        *aim.dropped("statistics"),
        *foreign_keys,
        *(n for n in aim.dropped("constraint") if aim.keeps_table(n) and n not in foreign_keys),
        *filter(aim.keeps_table, aim.dropped("index")),
        *aim.gone("table"),
        *filter(aim.keeps_table, aim.gone("column")),
        *aim.gone("function"),
    ]


def _dropped_last(aim: Goal) -> list[str]:
    """Returns the names of what columns use until they are altered."""
    columns = ["", *map(address_of, of_kind(aim.end, "column"))]
    return [
        # A sequence goes with the column that owns it.
        *(
            name
            for name in aim.gone("sequence")
            if aim.start[name].get("owner", "") in columns and not _is_of_identity(aim.start[name], aim.start)
        ),
        *aim.gone("domain"),
        *aim.gone("enum"),
        *aim.gone("collation"),
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
        case kind if kind in types.KINDS:
            return types.drop(name)
        case kind:
            return f"DROP {kind.upper()} {_own(name)}"


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
        case kind if kind in types.KINDS:
            return types.create(name, facts)
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
        case "index" if end.get(f"table {owner_of(name)}", {}).get("kind") == "partitioned":
            return str(facts["definition"]).replace(" ON ONLY ", " ON ", 1)
        case "index":
            return str(facts["definition"]).replace("INDEX ", "INDEX CONCURRENTLY ", 1)
    return str(facts["definition"])


def _create_table(name: str, end: Snapshot) -> str:
    facts = end[name]
    if "kind" in facts and "partitioned_by" not in facts:  # a snapshot of a former version
        raise MigrationError(f"{name}: how it is partitioned isn't known here: create it by hand.")
    columns = [_column(column, end[column]) for column in of_kind(end, "column", owner_of(name))]
    unlogged = "UNLOGGED " if facts.get("unlogged") else ""
    parts = [f"CREATE {unlogged}TABLE {_table(name)} ({', '.join(columns)})"]
    parts += [f"INHERITS ({', '.join(facts['inherits'])})"] if "inherits" in facts else []
    parts += [f"PARTITION BY {facts['partitioned_by']}"] if "partitioned_by" in facts else []
    parts += [f"USING {facts['method']}"] if "method" in facts else []
    parts += [f"TABLESPACE {_quote(facts['tablespace'])}"] if "tablespace" in facts else []
    return " ".join(parts)


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
            if name in created and kind_of(name) == "sequence" and _is_of_identity(new, aim.end):
                old = {fact: new[fact] for fact in ("type", "owner")} | {"increment": 1}
            if old != new:
                yield from _alter(name, old, new)


def _alter(name: str, old: Facts, new: Facts) -> Iterator[str]:
    table = f"ALTER TABLE {_table(name)}"
    match kind_of(name):
        case kind if kind in types.KINDS:
            yield from types.alter(name, old, new)
        case "table":
            yield from _alter_table(name, table, old, new)
        case "column":
            yield from _alter_column(name, f"{table} ALTER COLUMN {_own(name)}", old, new)
            yield from comment(f"COLUMN {_table(name)}.{_own(name)}", old, new)
        case "constraint":
            if new["valid"] != old["valid"]:
                validate = f"{table} VALIDATE CONSTRAINT {_own(name)}"
                yield from (validate,) if new["valid"] else (_drop(name, old), _create(name, {name: new}))
            yield from comment(f"CONSTRAINT {_own(name)} ON {_table(name)}", old, new)
        case "view":
            materialized = "MATERIALIZED " if "kind" in new else ""
            yield from options(f"ALTER {materialized}VIEW {_own(name)}", old, new)
            yield from comment(f"{materialized}VIEW {_own(name)}", old, new)
        case "trigger":
            if old.get("enabled", True) != new["enabled"]:
                yield f"{table} {'ENABLE' if new['enabled'] else 'DISABLE'} TRIGGER {_own(name)}"
        case "index":
            if new["valid"] and not old["valid"]:
                yield f"REINDEX INDEX CONCURRENTLY {_own(name)}"
            yield from comment(f"INDEX {_own(name)}", old, new)


def _alter_table(name: str, table: str, old: Facts, new: Facts) -> Iterator[str]:
    if old.get("partitioned_by") != new.get("partitioned_by"):
        raise MigrationError(f"{name}: no statement changes how a table is partitioned: copy its rows to a new one.")
    if old.get("unlogged") != new.get("unlogged"):
        yield f"{table} SET {'UNLOGGED' if new.get('unlogged') else 'LOGGED'}"
    if old.get("row_security") != new.get("row_security"):
        yield f"{table} {'ENABLE' if new.get('row_security') else 'DISABLE'} ROW LEVEL SECURITY"
    if old.get("forced_row_security") != new.get("forced_row_security"):
        yield f"{table} {'FORCE' if new.get('forced_row_security') else 'NO FORCE'} ROW LEVEL SECURITY"
    yield from options(table, old, new)
    yield from comment(f"TABLE {_table(name)}", old, new)


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


def _is_of_identity(sequence: Facts, end: Snapshot) -> bool:
    return bool(end.get(f"column {sequence.get('owner')}", {}).get("identity"))


def _is_foreign_key(constraint: Facts) -> bool:
    return str(constraint["definition"]).startswith("FOREIGN KEY")


def _own(name: str) -> str:
    return _quote(own_name(name))


def _table(name: str) -> str:
    return _quote(owner_of(name))
