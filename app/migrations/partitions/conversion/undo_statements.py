"""The one transaction that makes a partitioned table plain again: its first partition takes its name and its place."""

from collections.abc import Iterator
from dataclasses import replace

from app.migrations.partitions import carrying
from app.migrations.partitions.conversion.swap import deferral, locks, restored_marks
from app.migrations.partitions.conversion.undo_look import Reference, UndoLook, require_former
from app.migrations.partitions.facts import Index, Statistics, TableFacts
from app.migrations.snapshots import quote

_EXCLUSIVE = "ACCESS EXCLUSIVE"


def undo_locks(found: UndoLook) -> dict[str, str]:
    """Returns the locks: each table with its mode, the partitioned table last."""
    facts = found.table.facts
    # Dropping the partitioned table's foreign keys locks the tables that they refer to.
    others = dict.fromkeys((table for table in locks(facts) if table != facts.address), _EXCLUSIVE)
    others |= {one.table: "SHARE ROW EXCLUSIVE" for one in found.references if quote(facts.name) != one.table}
    others |= {one.address: _EXCLUSIVE for one in found.left}
    return {**dict(sorted(others.items())), facts.address: _EXCLUSIVE}


def undo_statements(found: UndoLook) -> list[str]:
    """Returns the statements of the way back, in order."""
    return [*_separate(found), *_rename(found), *_fill(found)]


def _separate(found: UndoLook) -> Iterator[str]:
    facts = found.table.facts
    former, _ = require_former(found)
    for sequence in facts.sequences:
        yield f"ALTER SEQUENCE {sequence.address} OWNED BY {former.address}.{quote(sequence.column)}"
    yield f"ALTER TABLE {facts.address} DETACH PARTITION {former.address}"
    yield f"DROP TABLE {facts.address}"
    for table in found.left:
        yield f"DROP TABLE {table.address}"


def _rename(found: UndoLook) -> Iterator[str]:
    facts = found.table.facts
    former, own = require_former(found)
    yield f"ALTER TABLE {former.address} RENAME TO {quote(facts.name)}"
    if not found.keeps_key:
        yield from _replace_key(found)
    for index in own.indexes:
        if index.parent not in (None, index.name) and not _is_replaced(found, index):
            yield f"ALTER INDEX {own.schema}.{quote(index.name)} RENAME TO {quote(str(index.parent))}"
    for constraint in own.constraints:
        if constraint.kind == "f" and constraint.parent not in (None, constraint.name):
            name = quote(str(constraint.parent))
            yield f"ALTER TABLE {facts.address} RENAME CONSTRAINT {quote(constraint.name)} TO {name}"


def _replace_key(found: UndoLook) -> Iterator[str]:
    facts, (_, own) = found.table.facts, require_former(found)
    old, wanted = own.primary_key, facts.primary_key
    assert old is not None
    assert wanted is not None
    yield f"ALTER TABLE {facts.address} DROP CONSTRAINT {quote(old.name)}"
    yield (
        f"ALTER TABLE {facts.address} ADD CONSTRAINT {quote(wanted.name)} "
        f"PRIMARY KEY USING INDEX {quote(found.plain_key)}{deferral(wanted)}"
    )
    yield from restored_marks(own, own.index_of(old.name), facts.address, wanted.name)


def _is_replaced(found: UndoLook, index: Index) -> bool:
    own = require_former(found)[1]
    is_key = own.primary_key is not None and index.constraint == own.primary_key.name
    return is_key and not found.keeps_key


def _fill(found: UndoLook) -> Iterator[str]:
    facts, (_, own) = found.table.facts, require_former(found)
    yield from carrying.carry(facts, _by_its_names(found, own), facts.address)
    yield from carrying.triggers(facts.triggers, facts.address)
    for statistics in facts.statistics:
        yield from _statistics(statistics, own)
    for publication in facts.publications:
        if publication.is_named:
            yield carrying.published(publication, facts.address)
    for one in found.references:
        if not one.is_there and not one.is_partitioned:  # up to 17 a partitioned table can have none NOT VALID
            yield f"ALTER TABLE {one.table} ADD CONSTRAINT {quote(one.name)} {one.definition} NOT VALID"
            yield from comment_on(one)


def comment_on(reference: Reference) -> Iterator[str]:
    """Yields the statement that gives a foreign key its comment back."""
    if reference.comment is not None:
        yield carrying.comment_on(f"CONSTRAINT {quote(reference.name)} ON {reference.table}", reference.comment)


def _by_its_names(found: UndoLook, own: TableFacts) -> TableFacts:
    """Returns the facts of the former table by the names that it has after the renames."""
    key = found.table.facts.primary_key
    constraints = [replace(one, name=one.parent or one.name) for one in own.constraints]
    indexes = [replace(index, name=index.parent or index.name) for index in own.indexes]
    identity = next((index.parent for index in own.indexes if index.name == own.replica_index), None)
    if not found.keeps_key and key is not None:
        constraints = [replace(one, comment=None) if one.kind == "p" else one for one in constraints]
        indexes = [
            replace(index, comment=None, statistics=[]) if index.name == key.name else index for index in indexes
        ]
    return replace(own, constraints=constraints, indexes=indexes, replica_index=identity or own.replica_index)


def _statistics(wanted: Statistics, own: TableFacts) -> Iterator[str]:
    present = next((one for one in own.statistics if one.shape == wanted.shape), None)
    if present is None:
        yield from carrying.statistics(wanted)
        return
    yield f"ALTER STATISTICS {present.address} RENAME TO {quote(wanted.name)}"
    address = f"{present.schema}.{quote(wanted.name)}"
    if present.target != wanted.target:
        yield f"ALTER STATISTICS {address} SET STATISTICS {-1 if wanted.target is None else wanted.target}"
    if present.comment != wanted.comment:
        yield carrying.comment_on(f"STATISTICS {address}", wanted.comment)
