"""Steps on SQLite: columns are added, a table's declaration is changed in place, and only if that can't be, copied."""

import re
from collections.abc import Iterator, Mapping

from app.migrations.adopt.explanation.findings import Explanation
from app.migrations.adopt.steps import Build, Kind, Steps
from app.migrations.snapshots import (
    Facts,
    Snapshot,
    column_of_sqlite,
    declaration,
    goal,
    kind_of,
    of_kind,
    own_name,
    owner_of,
    plan,
    quote_of_sqlite,
)
from app.migrations.snapshots import raw_differences as differences
from app.sql_text import literal

_CONSTANT = re.compile(r"(?:NULL|TRUE|FALSE|[-+]?\d+(?:\.\d*)?|'(?:[^']|'')*')", re.IGNORECASE)
# Indexes belong to these, and their order in the declaration is the order of the indexes in the file.
_INDEXED = ("PRIMARY KEY", "UNIQUE")


def steps_of_sqlite(explanation: Explanation, indexed: Mapping[str, list[str]]) -> Steps:
    """Returns the steps to the aim of an explanation.

    Args:
        explanation: what is there, and what should be.
        indexed: by table, the columns of the indexes that its constraints have, in the order of the file.
    """
    found, aim = explanation.found, explanation.aim
    transaction, copied = list[str](), list[str]()
    tables = [owner_of(name) for name in of_kind(aim, "table") if name in found]
    for table in tables:
        added = [name for name in of_kind(aim, "column", table) if name not in found]
        transaction += [_add(name, aim[name]) for name in added]
        if not _must_change(found, aim, table, added):
            continue
        if _indexed(found, table) == _indexed(aim, table):
            ordered = _in_order_of_file(found, aim, table, added, indexed.get(table, []))
            transaction.append(redeclare(table, declaration(table, ordered)))
        else:
            copied.append(table)
            transaction += _copy(found, aim, table, added)
    transaction += _gone(found, aim, copied)
    transaction += _new_tables(found, aim)
    transaction += [str(aim[name]["definition"]) for name in _created(found, aim, "trigger", copied)]
    transaction += [str(aim[name]["definition"]) for name in of_kind(aim, "view") if name not in found]
    builds = [
        Build(Kind.INDEX, name, [str(aim[name]["definition"])], str(aim[name]["definition"]))
        for name in _created(found, aim, "index", copied)
    ]
    return Steps(transaction, builds, copied)


def redeclare(table: str, sql: str) -> str:
    """Returns the statement that changes the declaration of a table, whose rows stay as they are."""
    return f"UPDATE sqlite_schema SET sql = {literal(sql)} WHERE type = 'table' AND name = {literal(table)}"


def _add(name: str, facts: Facts) -> str:
    default = facts.get("default")
    plain = facts
    if default is not None and not _CONSTANT.fullmatch(str(default)):  # SQLite adds no column with such a default
        plain = {fact: value for fact, value in facts.items() if fact != "default"} | {"nullable": True}
    return f"ALTER TABLE {quote_of_sqlite(owner_of(name))} ADD COLUMN {column_of_sqlite(name, plain)}"


def _must_change(found: Snapshot, aim: Snapshot, table: str, added: list[str]) -> bool:
    """Returns whether the declaration differs in more than the added columns."""
    for name in added:
        default = aim[name].get("default")
        if default is not None and not _CONSTANT.fullmatch(str(default)):
            return True
    kinds = ("table", "column", "constraint")
    names = {n for snapshot in (found, aim) for kind in kinds for n in of_kind(snapshot, kind, table)}
    return any(found.get(name) != aim.get(name) for name in names - {*added})


def _indexed(snapshot: Snapshot, table: str) -> list[str]:
    texts = [str(snapshot[name]["definition"]) for name in of_kind(snapshot, "constraint", table)]
    return sorted(text for text in texts if text.startswith(_INDEXED))


def _in_order_of_file(found: Snapshot, aim: Snapshot, table: str, added: list[str], indexed: list[str]) -> Snapshot:
    """Returns the table of the aim with its columns and indexed constraints in the order of the file."""
    columns = [*(name for name in of_kind(found, "column", table) if name in aim), *added]
    constraints = of_kind(aim, "constraint", table)

    def place(name: str) -> int:
        listed = str(aim[name]["definition"]).partition("(")[2].partition(")")[0]
        return indexed.index(listed) if listed in indexed else -1  # the row's own number has no index

    keys = sorted((n for n in constraints if str(aim[n]["definition"]).startswith(_INDEXED)), key=place)
    names = [f"table {table}", *columns, *keys, *(name for name in constraints if name not in keys)]
    return {name: aim[name] for name in names}


def _copy(found: Snapshot, aim: Snapshot, table: str, added: list[str]) -> list[str]:
    start = {name: facts for name, facts in found.items() if owner_of(name) == table}
    start |= {name: aim[name] for name in added}
    end = {name: facts for name, facts in aim.items() if owner_of(name) == table and kind_of(name) != "index"}
    kept = {name: start[name] for name in of_kind(start, "index", table) if start[name] == aim.get(name)}
    end |= kept
    return plan("sqlite", goal(start, end, differences(end, start))).all


def _gone(found: Snapshot, aim: Snapshot, copied: list[str]) -> Iterator[str]:
    for kind in ("trigger", "index"):
        for name in of_kind(found, kind):
            if owner_of(name) not in copied and found[name] != aim.get(name):
                yield f"DROP {kind.upper()} {quote_of_sqlite(own_name(name))}"


def _new_tables(found: Snapshot, aim: Snapshot) -> list[str]:
    new = {owner_of(name) for name in of_kind(aim, "table") if name not in found}
    end = {name: facts for name, facts in aim.items() if owner_of(name) in new and kind_of(name) != "view"}
    return plan("sqlite", goal({}, end, differences(end, {}))).all


def _created(found: Snapshot, aim: Snapshot, kind: str, copied: list[str]) -> Iterator[str]:
    """Yields the objects of existing tables that are new or another one; a copy has made its own triggers."""
    for name in of_kind(aim, kind):
        is_new = found.get(name) != aim[name]
        done = kind == "trigger" and owner_of(name) in copied
        if is_new and not done and f"table {owner_of(name)}" in found:
            yield name
