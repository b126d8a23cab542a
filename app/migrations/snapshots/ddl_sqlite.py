"""SQLite: the statements that turn one snapshot into another; a table that changes is copied."""

from collections.abc import Iterator

from app.migrations.snapshots.ddl import Goal
from app.migrations.snapshots.read_sqlite import quote
from app.migrations.snapshots.store import Facts, Snapshot, kind_of, of_kind, own_name, owner_of
from app.sql_text import TABLE_COPY, literal


def renames(aim: Goal) -> tuple[list[str], Snapshot]:
    """Returns the statements that rename tables and columns, and the snapshot after them.

    Other objects can't be renamed on SQLite: they are dropped and created.
    """
    result, start = [], dict(aim.start)
    for difference in aim.renames:
        table, old, new = owner_of(difference.name), difference.found, difference.expected
        match kind_of(difference.name):
            case "table":
                result.append(f"ALTER TABLE {quote(old)} RENAME TO {quote(new)}")
            case "column":
                result.append(f"ALTER TABLE {quote(table)} RENAME COLUMN {quote(old)} TO {quote(new)}")
            case kind:
                start[f"{kind} {table}.{old}"] = start.pop(difference.name)
    return result, start


def statements(aim: Goal) -> list[str]:
    """Returns the statements of one transaction, which must run with foreign keys off."""
    end = aim.end
    copied = [name for name in end if name in aim.start and kind_of(name) == "table" and _differs(name, aim)]
    result = [
        f"DROP {kind.upper()} {quote(own_name(name))}"
        for kind in ("view", "trigger", "index")
        for name in aim.dropped(kind)
        if kind == "view" or aim.keeps_table(name)
    ]
    result += [f"DROP TABLE {quote(owner_of(name))}" for name in aim.gone("table")]
    result += [_create(owner_of(name), owner_of(name), end) for name in aim.new("table")]
    for name in copied:
        result += _copy(owner_of(name), aim)
    for kind in ("index", "trigger", "view"):
        created = aim.created(kind)
        result += [
            facts["definition"]
            for name, facts in end.items()
            # The indexes and triggers of a copied table went with the original.
            if kind_of(name) == kind and (name in created or (kind != "view" and f"table {owner_of(name)}" in copied))
        ]
    return result


def declaration(table: str, snapshot: Snapshot) -> str:
    """Returns the CREATE TABLE of a table as SQLite keeps it: columns and constraints in the order of the snapshot."""
    return _create(table, table, snapshot).replace("IF NOT EXISTS ", "", 1)


def column(name: str, facts: Facts) -> str:
    """Returns a column as a statement declares it."""
    return _column(name, facts, {})


def _differs(table: str, aim: Goal) -> bool:
    kinds, table = ("table", "column", "constraint"), owner_of(table)
    names = [n for snapshot in (aim.start, aim.end) for kind in kinds for n in of_kind(snapshot, kind, table)]
    return any(aim.start.get(name) != aim.end.get(name) for name in names)


def _copy(table: str, aim: Goal) -> Iterator[str]:
    start, copy = aim.start, f"{TABLE_COPY}{table}"
    kept = [
        quote(own_name(name))
        for name in of_kind(aim.end, "column", table)
        if name in start and "generated" not in aim.end[name] and "generated" not in start[name]
    ]
    yield _create(copy, table, aim.end)
    yield f"INSERT INTO {quote(copy)} ({', '.join(kept)}) SELECT {', '.join(kept)} FROM {quote(table)}"
    if all("AUTOINCREMENT" in side[f"table {table}"].get("options", []) for side in (start, aim.end)):
        # Else the numbers of deleted rows would come again.
        yield f"DELETE FROM sqlite_sequence WHERE name = {literal(copy)}"
        yield f"UPDATE sqlite_sequence SET name = {literal(copy)} WHERE name = {literal(table)}"
    yield f"DROP TABLE {quote(table)}"
    # Else the rename reads every view and trigger, and fails while the table they name is missing.
    yield "PRAGMA legacy_alter_table = ON"
    yield f"ALTER TABLE {quote(copy)} RENAME TO {quote(table)}"
    yield "PRAGMA legacy_alter_table = OFF"


def _create(name: str, table: str, end: Snapshot) -> str:
    options = list(end[f"table {table}"].get("options", []))
    constraints = [(_named(name), end[name]["definition"]) for name in of_kind(end, "constraint", table)]
    autoincrement: dict[str, str] = {}
    if "AUTOINCREMENT" in options:
        # Such a key can only be declared with its column.
        options.remove("AUTOINCREMENT")
        named, key = next(constraint for constraint in constraints if constraint[1].startswith("PRIMARY KEY"))
        constraints.remove((named, key))
        column, _, conflict = key.removeprefix("PRIMARY KEY (").partition(")")
        autoincrement[column] = f"{named}PRIMARY KEY{conflict} AUTOINCREMENT"
    parts = [_column(column, end[column], autoincrement) for column in of_kind(end, "column", table)]
    parts += [f"{named}{definition}" for named, definition in constraints]
    # IF NOT EXISTS, so that TableCopies doesn't take it for one of Alembic's copies, which lose objects.
    return f"CREATE TABLE IF NOT EXISTS {quote(name)} ({', '.join(parts)}) {', '.join(options)}".rstrip()


def _named(constraint: str) -> str:
    name = own_name(constraint)
    return "" if name.startswith("(") else f"CONSTRAINT {quote(name)} "


def _column(name: str, facts: Facts, autoincrement: dict[str, str]) -> str:
    parts = [quote(own_name(name)), facts["type"]]
    parts += [autoincrement[parts[0]]] if parts[0] in autoincrement else []
    parts += [f"COLLATE {facts['collation']}"] if "collation" in facts else []
    parts += [f"GENERATED ALWAYS AS {facts['generated']}"] if "generated" in facts else []
    parts += [f"DEFAULT ({facts['default']})"] if "default" in facts else []
    parts += [] if facts["nullable"] else ["NOT NULL"]
    parts += [f"ON CONFLICT {facts['on_conflict']}"] if "on_conflict" in facts else []
    return " ".join(parts)
