"""Partitioned tables of PostgreSQL beside plain ones: the form that a comparison reads."""

import re
from collections.abc import Callable, Iterator, Mapping

from app.migrations.ahead import Mark, State, bound_check, key_index
from app.migrations.snapshots.ddl_postgresql_types import quote
from app.migrations.snapshots.store import Facts, Snapshot, address_of, kind_of, of_kind, owner_of
from app.sql_text import unquoted

Declared = Callable[[], Mapping[str, str]]
"""Returns the tables that may be partitioned, each with its partition column."""

_REFERENCE = re.compile(r"FOREIGN KEY \([^)]*\) REFERENCES ([^(]+)\(([^)]*)\)")
_AFTER_KEY = re.compile(r" (?:INCLUDE|WHERE|WITH) ")


def none_declared() -> Mapping[str, str]:
    """Returns no tables."""
    return {}


def in_plain_form(expected: Snapshot, found: Snapshot, declared: Declared) -> Snapshot:
    """Returns what was found with the partitioned tables written as the plain ones that are expected.

    A table that isn't declared keeps its partition key, and its keys keep the partition column: these differ. Its
    indexes are the same as a plain table's. A foreign key that refers to a partitioned table and can't exist counts as
    there, and the partition column as not there where a plain table has none yet: a downgrade leaves it.

    Args:
        expected: the facts that `found` is compared with; a table that is partitioned there is left as it is.
        found: the facts of a database.
        declared: asked only if such a table is there, as it imports the models.
    """
    found = _without_conversions(expected, found)
    tables = {address_of(name) for name in _unexpectedly_partitioned(expected, found)}
    if not tables:
        return found
    columns = {table: by for table, by in declared().items() if _is_by(found, table, by)}
    kept = {f"column {table}.{by}" for table, by in columns.items()}
    plain = {
        name: _plain(expected, name, facts, tables, columns)
        for name, facts in found.items()
        if name in expected or name not in kept
    }
    return plain | dict(_impossible(expected, found, tables))


def _without_conversions(expected: Snapshot, found: Snapshot) -> Snapshot:
    """Returns what was found without what a conversion has added to a table that is plain still."""
    marks = [Mark.parse(facts.get("comment")) for name, facts in found.items() if kind_of(name) == "constraint"]
    tables = {mark.table for mark in marks if mark is not None and mark.state is State.CONVERTING}
    ours = {f"constraint {table}.{bound_check(table)}" for table in tables}
    ours |= {f"index {table}.{key_index(table)}" for table in tables}
    return {name: facts for name, facts in found.items() if name in expected or name not in ours}


def is_widened_key(name: str, expected: Snapshot, found: Snapshot) -> bool:
    """Returns whether a key differs because its table is partitioned: PostgreSQL has no other key there."""
    differs = name in expected and name in found and expected[name] != found[name]
    return differs and _is_key(found[name]) and f"table {owner_of(name)}" in _unexpectedly_partitioned(expected, found)


def _unexpectedly_partitioned(expected: Snapshot, found: Snapshot) -> Iterator[str]:
    for name in of_kind(found, "table"):
        if name in expected and "partitioned_by" in found[name] and "kind" not in expected[name]:
            yield name


def _impossible(expected: Snapshot, found: Snapshot, tables: set[str]) -> Iterator[tuple[str, Facts]]:
    """Yields the missing foreign keys that refer to a partitioned table, and can't: it has no key of their columns."""
    for name in of_kind(expected, "constraint"):
        match = _REFERENCE.match(str(expected[name].get("definition", "")))
        if match is None or name in found or f"table {owner_of(name)}" not in found:
            continue
        if (table := unquoted(match[1])) in tables:
            key = str(found[f"table {table}"]["partitioned_by"]).partition("(")[2].removesuffix(")")
            if not set(key.split(", ")) <= set(match[2].split(", ")):
                yield name, expected[name]


def _is_by(found: Snapshot, table: str, by: str) -> bool:
    return found.get(f"table {table}", {}).get("partitioned_by") == f"RANGE ({quote(by)})"


def _plain(expected: Snapshot, name: str, facts: Facts, tables: set[str], columns: Mapping[str, str]) -> Facts:
    table, kind = owner_of(name), kind_of(name)
    if table not in tables or kind not in ("table", "constraint", "index"):
        return facts
    if kind == "table":
        plain = ("kind", "partitioned_by") if table in columns else ("kind",)  # the partition key says as much
        kept = {fact: value for fact, value in facts.items() if fact not in plain}
        # PostgreSQL gives storage parameters to partitions only, which are no part of a snapshot.
        options = {fact: value for fact, value in expected.get(name, {}).items() if fact == "options"}
        return kept | (options if table in columns else {})
    if kind == "index":
        facts = {**facts, "definition": str(facts["definition"]).replace(" ON ONLY ", " ON ", 1)}
    if table in columns and _is_key(facts):
        wanted = str(expected.get(name, {}).get("definition", ""))
        if wanted in _narrowed(str(facts["definition"]), quote(columns[table])):
            return {**facts, "definition": wanted}
    return facts


def _is_key(facts: Facts) -> bool:
    return str(facts.get("definition", "")).startswith(("PRIMARY KEY ", "UNIQUE ", "CREATE UNIQUE INDEX "))


def _narrowed(definition: str, column: str) -> Iterator[str]:
    """Yields the definition of a key without a column, wherever that is named in the key."""
    end = _AFTER_KEY.search(definition)
    key, rest = (definition[: end.start()], definition[end.start() :]) if end else (definition, "")
    word = re.escape(column)
    for match in re.finditer(rf", {word}(?=[,)])|(?<=\(){word}, ", key):
        yield key[: match.start()] + key[match.end() :] + rest
