"""The models compared with a database, fact by fact, both as the same server spells them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa

from app.migrations.errors import MigrationError
from app.migrations.snapshots import ddl_postgresql_types, read_sqlite
from app.migrations.snapshots.differences import Difference, as_former, in_former_names, raw_differences, rename
from app.migrations.snapshots.history import canonical, traces, without_what_models_cannot_say
from app.migrations.snapshots.models import NoScratchModels, Scratch, scratch_of, scratch_of_facts
from app.migrations.snapshots.partitioned import in_plain_form
from app.migrations.snapshots.respelling import respelt, uncast
from app.migrations.snapshots.store import PARTS, Facts, Snapshot, address_of, kind_of, own_name, owner_of
from app.partitions import declared_partitions
from app.sql_text import unquoted

_QUOTES: dict[str, Callable[[str], str]] = {"postgresql": ddl_postgresql_types.quote, "sqlite": read_sqlite.quote}

Keep = Callable[[Snapshot], Snapshot]


@dataclass(frozen=True)
class Comparison:
    """The models beside a database.

    Attributes:
        models: the facts of the models.
        found: the facts of the database.
        differences: what differs; `expected` is the models' side.
        made, present: the same facts in the spelling of the database, from which statements are made.
        notes: differences that only the history of the database has left, a line each.
    """

    models: Snapshot
    found: Snapshot
    made: Snapshot
    present: Snapshot
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare_with_models(
    connection: sa.Connection,
    metadata: sa.MetaData,
    found: Snapshot,
    *,
    is_unmanaged: Callable[[str], bool] = lambda _: False,
    keep: Keep = lambda snapshot: snapshot,
    renames: Iterable[tuple[str, str]] = (),
) -> Comparison:
    """Builds the models in a scratch, and compares them with what was found.

    Args:
        connection: to a database of the same kind; a scratch is made beside it and removed.
        metadata: the models.
        found: the snapshot of the database.
        is_unmanaged: returns whether a table is another tool's.
        keep: returns the part of a snapshot that is compared.
        renames: objects of `found` that are renamed first, each with its new own name.

    Raises:
        NoScratchModels: the models can't be built on this server.
    """
    with scratch_of(connection, metadata, is_unmanaged) as scratch:
        dialect = connection.dialect.name
        made, present = keep(scratch.facts), _renamed(keep(found), renames, _QUOTES[dialect])
        present = in_plain_form(made, present, partial(declared_partitions, metadata))
        models = canonical(dialect, made)
        found = without_what_models_cannot_say(models, canonical(dialect, present, like=models))
        remaining, notes = traces(raw_differences(models, found))
        differences = []
        for difference in remaining:
            match _settled(scratch, models, difference):
                case True:
                    continue
                case str() as note:
                    notes.append(note)
                case _:
                    differences.append(difference)
        return Comparison(models, found, made, present, differences, notes)


def compare_with_snapshot(
    connection: sa.Connection, metadata: sa.MetaData, expected: Snapshot, found: Snapshot, keep: Keep
) -> Comparison:
    """Compares what was found with a snapshot, in the place of models that can't be built."""
    dialect, made = connection.dialect.name, keep(expected)
    plain = in_plain_form(made, keep(found), partial(declared_partitions, metadata))
    present = as_former(dialect, made, plain)
    models = canonical(dialect, made)
    found = without_what_models_cannot_say(models, canonical(dialect, present, like=models))
    remaining, notes = traces(raw_differences(models, found))
    return Comparison(models, found, made, present, without_spelling(connection, expected, remaining), notes)


def without_spelling(connection: sa.Connection, expected: Snapshot, found: Iterable[Difference]) -> list[Difference]:
    """Returns the differences from a snapshot that are left when both texts are read once more by the same server.

    A restored dump, and a constraint that was dropped and added again, may be spelt otherwise.
    """
    found = list(found)
    if connection.dialect.name != "postgresql" or not any(_has_two_texts(d) for d in found):
        return found
    try:
        with scratch_of_facts(connection, expected) as scratch:
            return [d for d in found if _settled(scratch, expected, d, ask_for_casts=False) is not True]
    except (NoScratchModels, MigrationError):
        return found


def as_spelt(connection: sa.Connection, expected: Snapshot, found: Snapshot) -> Snapshot:
    """Returns what was found, with the texts of a snapshot where the server would spell both alike."""
    different = raw_differences(expected, found)
    left = without_spelling(connection, expected, different)
    spelt = {(d.name, d.attribute): d.expected for d in different if d.attribute and d not in left}
    return {
        name: {fact: spelt.get((name, fact), value) for fact, value in facts.items()} for name, facts in found.items()
    }


def _has_two_texts(difference: Difference) -> bool:
    texts = difference.expected, difference.found
    return difference.attribute not in ("", "comment") and all(isinstance(text, str | list) for text in texts)


def _renamed(snapshot: Snapshot, renames: Iterable[tuple[str, str]], quote: Callable[[str], str]) -> Snapshot:
    """Renames objects as the database would: the texts that name them follow."""
    for name, new in renames:
        moved = rename(snapshot, name, new)
        if kind_of(name) == "table":
            snapshot = {other: in_former_names(facts, {address_of(name): new}) for other, facts in moved.items()}
        else:
            snapshot = {other: _with_column(other, facts, name, quote(new)) for other, facts in moved.items()}
    return snapshot


def _with_column(other: str, facts: Facts, column: str, new: str) -> Facts:
    """Returns the facts of an object after a column was renamed, of its own table or of one that it refers to."""
    table, old = owner_of(column), own_name(column)
    if kind_of(other) in PARTS and owner_of(other) == table:
        return in_former_names(facts, {old: new})
    if other == f"table {table}" and "partitioned_by" in facts:
        return {**facts, **in_former_names({"partitioned_by": facts["partitioned_by"]}, {old: new})}
    if facts.get("owner") == address_of(column):
        return {**facts, "owner": f"{table}.{unquoted(new)}"}
    text, refers = str(facts.get("definition", "")), f"REFERENCES {table}("
    if refers not in text:
        return facts
    before, _, after = text.partition(refers)
    columns, bracket, rest = after.partition(")")
    columns = ", ".join(new if part == old else part for part in columns.split(", "))
    return {**facts, "definition": f"{before}{refers}{columns}{bracket}{rest}"}


def _settled(scratch: Scratch, models: Snapshot, difference: Difference, *, ask_for_casts: bool = True) -> bool | str:
    """Reads a difference of two texts once more; returns True if there is none, or a note."""
    name, fact = difference.name, difference.attribute
    texts = difference.expected, difference.found
    if not _has_two_texts(difference) or name not in models:
        return False
    again = partial(respelt, scratch, name, models[name], fact)
    expected, found = again(texts[0]), again(texts[1])
    if expected is not None and expected == found:
        return True
    if not ask_for_casts:
        return False
    expected, found = again(uncast(texts[0])), again(uncast(texts[1]))
    if expected is not None and expected == found:
        # A change of a column's type leaves casts behind, which no model makes.
        return f"{name}: {fact} is written with casts that a former type has left: {texts[1]}"
    return False
