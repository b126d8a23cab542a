"""SQLite: the statements that turn one snapshot into another; a table that changes is copied."""

from collections.abc import Iterator

from sqlalchemy.dialects.sqlite import dialect as Dialect  # noqa: N812 - a class

from app.migrations.snapshots.ddl import Goal, changed, gone
from app.migrations.snapshots.store import Facts, Snapshot, kind_of, own_name, owner_of
from app.migrations.sql import text

_quote = Dialect().identifier_preparer.quote


def renames(aim: Goal) -> tuple[list[str], Snapshot]:
    """Gives tables and columns their names back.

    Returns:
        The statements, and the snapshot as it is after them: other things can't be renamed, and are made anew.
    """
    said, start = [], dict(aim.start)
    for difference in aim.renames:
        table, old, new = owner_of(difference.name), difference.found, difference.expected
        match kind_of(difference.name):
            case "table":
                said.append(f"ALTER TABLE {_quote(old)} RENAME TO {_quote(new)}")
            case "column":
                said.append(f"ALTER TABLE {_quote(table)} RENAME COLUMN {_quote(old)} TO {_quote(new)}")
            case kind:
                start[f"{kind} {table}.{old}"] = start.pop(difference.name)
    return said, start


def statements(start: Snapshot, end: Snapshot) -> list[str]:
    """Those of one transaction, with foreign keys off."""
    copied = [name for name in start if kind_of(name) == "table" and name in end and _differs(name, start, end)]
    said = [
        f"DROP {kind.upper()} {_quote(own_name(name))}"
        for kind in ("view", "trigger", "index")
        for name in [*gone(start, end, kind), *changed(start, end, kind)]
        if kind == "view" or f"table {owner_of(name)}" in end
    ]
    said += [f"DROP TABLE {_quote(owner_of(name))}" for name in gone(start, end, "table")]
    said += [_create(owner_of(name), owner_of(name), end) for name in gone(end, start, "table")]
    for name in copied:
        said += _copy(owner_of(name), start, end)
    for kind in ("index", "trigger", "view"):
        new = {*gone(end, start, kind), *changed(start, end, kind)}
        said += [
            facts["definition"]
            for name, facts in end.items()
            if kind_of(name) == kind and (name in new or (kind != "view" and f"table {owner_of(name)}" in copied))
        ]
    return said


def _differs(table: str, start: Snapshot, end: Snapshot) -> bool:
    return start[table] != end[table] or any(
        owner_of(name) == owner_of(table)
        for kind in ("column", "constraint")
        for name in [*gone(start, end, kind), *gone(end, start, kind), *changed(start, end, kind)]
    )


def _copy(table: str, start: Snapshot, end: Snapshot) -> Iterator[str]:
    copy = f"{text.TABLE_COPY}{table}"
    kept = [
        _quote(own_name(name))
        for name, facts in _of(table, "column", end)
        if name in start and "generated" not in facts and "generated" not in start[name]
    ]
    yield _create(copy, table, end)
    yield f"INSERT INTO {_quote(copy)} ({', '.join(kept)}) SELECT {', '.join(kept)} FROM {_quote(table)}"
    yield f"DROP TABLE {_quote(table)}"
    # Else the rename looks into every view and trigger, and fails while the table they name isn't there.
    yield "PRAGMA legacy_alter_table = ON"
    yield f"ALTER TABLE {_quote(copy)} RENAME TO {_quote(table)}"
    yield "PRAGMA legacy_alter_table = OFF"


def _create(name: str, table: str, end: Snapshot) -> str:
    options = list(end[f"table {table}"].get("options", []))
    constraints = [(_named(constraint), facts["definition"]) for constraint, facts in _of(table, "constraint", end)]
    counting: dict[str, str] = {}
    if "AUTOINCREMENT" in options:
        # A rowid that counts can only be declared with its column.
        named, key = next(c for c in constraints if c[1].startswith("PRIMARY KEY"))
        constraints.remove((named, key))
        counting[key.removeprefix("PRIMARY KEY (").removesuffix(")")] = f"{named}PRIMARY KEY AUTOINCREMENT"
    lines = [_column(column, facts, counting) for column, facts in _of(table, "column", end)]
    lines += [f"{named}{definition}" for named, definition in constraints]
    said = ", ".join(option for option in options if option != "AUTOINCREMENT")
    # RebuildGuard looks after the copies that Alembic makes; these keep everything by themselves.
    return f"CREATE TABLE IF NOT EXISTS {_quote(name)} ({', '.join(lines)}){f' {said}' if said else ''}"


def _named(constraint: str) -> str:
    called = own_name(constraint)
    return "" if called.startswith("(") else f"CONSTRAINT {_quote(called)} "


def _of(table: str, kind: str, end: Snapshot) -> list[tuple[str, Facts]]:
    return [(name, facts) for name, facts in end.items() if kind_of(name) == kind and owner_of(name) == table]


def _column(name: str, facts: Facts, counting: dict[str, str]) -> str:
    parts = [_quote(own_name(name)), facts["type"]]
    parts += [counting[parts[0]]] if parts[0] in counting else []
    parts += [f"COLLATE {facts['collation']}"] if "collation" in facts else []
    parts += [f"GENERATED ALWAYS AS {facts['generated']}"] if "generated" in facts else []
    parts += [f"DEFAULT ({facts['default']})"] if "default" in facts else []
    return " ".join([*parts, *([] if facts["nullable"] else ["NOT NULL"])])
