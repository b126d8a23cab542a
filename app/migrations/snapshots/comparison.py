"""The models compared with a database, fact by fact, both as the same server spells them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa

from app.migrations.snapshots.differences import Difference, in_former_names, raw_differences, rename
from app.migrations.snapshots.history import canonical, traces, without_what_models_cannot_say
from app.migrations.snapshots.models import Scratch, scratch_of
from app.migrations.snapshots.respelling import respelt, uncast
from app.migrations.snapshots.store import Snapshot

Keep = Callable[[Snapshot], Snapshot]


@dataclass(frozen=True)
class Comparison:
    """The models beside a database.

    Attributes:
        models: the facts of the models.
        found: the facts of the database.
        differences: what differs; `expected` is the models' side.
        notes: differences that only the history of the database has left, a line each.
    """

    models: Snapshot
    found: Snapshot
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
        models = canonical(dialect, keep(scratch.facts))
        present = _renamed(keep(found), renames)
        present = without_what_models_cannot_say(models, canonical(dialect, present, like=models))
        remaining, notes = traces(raw_differences(models, present))
        differences = []
        for difference in remaining:
            match _settled(scratch, models, difference):
                case True:
                    continue
                case str() as note:
                    notes.append(note)
                case _:
                    differences.append(difference)
        return Comparison(models, present, differences, notes)


def _renamed(snapshot: Snapshot, renames: Iterable[tuple[str, str]]) -> Snapshot:
    """Renames objects as the database would: the texts that name them follow."""
    for name, new in renames:
        old = name.rpartition(".")[2] if name.startswith("column ") else name.partition(" ")[2]
        snapshot = {other: in_former_names(facts, {old: new}) for other, facts in rename(snapshot, name, new).items()}
    return snapshot


def _settled(scratch: Scratch, models: Snapshot, difference: Difference) -> bool | str:
    """Reads a difference of two texts once more; returns True if there is none, or a note."""
    name, fact = difference.name, difference.attribute
    texts = difference.expected, difference.found
    if not fact or not all(isinstance(text, str | list) for text in texts) or fact == "comment":
        return False
    again = partial(respelt, scratch, name, models[name], fact)
    expected, found = again(texts[0]), again(texts[1])
    if expected is not None and expected == found:
        return True
    expected, found = again(uncast(texts[0])), again(uncast(texts[1]))
    if expected is not None and expected == found:
        # A change of a column's type leaves casts behind, which no model makes.
        return f"{name}: {fact} is written with casts that a former type has left: {texts[1]}"
    return False
