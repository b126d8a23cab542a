"""Native enumerations of PostgreSQL whose labels change."""

from collections.abc import Iterator

from app.migrations.autogenerate.facts.sides import Subject
from app.migrations.autogenerate.facts.statements import qualified
from app.migrations.operations import ExecuteOnOp
from app.migrations.snapshots import Difference, Snapshot, address_of, kind_of, of_kind, own_name, owner_of, quote
from app.sql_text import literal


def changed(subject: Subject, difference: Difference) -> list[ExecuteOnOp]:
    """Returns the operations that give an enumeration its labels, and take them away again.

    PostgreSQL can add a label, and take none away, nor move one: then the columns move to a new type of the same name,
    which fails if a row has a label that goes.
    """
    side = subject.own
    name, old, new = address_of(difference.name), difference.found, difference.expected
    between = [label for label in new if label in old]
    grown = new if between == old else [*old, *(label for label in new if label not in old)]
    schemas = subject.schemas | ({_former(name): subject.schemas[name]} if name in subject.schemas else {})
    operations = []
    # Labels are added before all else, and taken away after the new columns and defaults are there.
    present = side.comparison.found
    late = present | {column: facts for column, facts in side.comparison.models.items() if kind_of(column) == "column"}
    for found, expected, columns in ((old, grown, present), (grown, new, late)):
        if found != expected:
            up = [*_added(name, found, expected)] if columns is present else [*_replaced(name, expected, columns)]
            down = [*_replaced(name, found, columns)]
            up, down = ([qualified(side, schemas, text) for text in half] for half in (up, down))
            step = Difference(difference.name, difference.attribute, expected, found)
            operations.append(ExecuteOnOp("postgresql", up, down, [step]))
    return operations


def _added(name: str, old: list[str], new: list[str]) -> Iterator[str]:
    for place, label in enumerate(new):
        if label not in old:
            where = f"AFTER {literal(new[place - 1])}" if place else f"BEFORE {literal(old[0])}"
            yield f"ALTER TYPE {quote(name)} ADD VALUE IF NOT EXISTS {literal(label)} {where}"


def _replaced(name: str, labels: list[str], snapshot: Snapshot) -> Iterator[str]:
    former = _former(name)
    yield f"ALTER TYPE {quote(name)} RENAME TO {quote(former)}"
    yield f"CREATE TYPE {quote(name)} AS ENUM ({', '.join(map(literal, labels))})"
    for column in of_kind(snapshot, "column"):
        facts = snapshot[column]
        kind = str(facts["type"])
        if kind.removesuffix("[]").strip('"') != name:
            continue
        array = "[]" if kind.endswith("[]") else ""
        alter, own = f"ALTER TABLE {quote(owner_of(column))} ALTER COLUMN", quote(own_name(column))
        if "default" in facts:
            yield f"{alter} {own} DROP DEFAULT"
        yield f"{alter} {own} TYPE {quote(name)}{array} USING {own}::text{array}::{quote(name)}{array}"
        if "default" in facts:
            yield f"{alter} {own} SET DEFAULT {facts['default']}"
    yield f"DROP TYPE {quote(former)}"


def _former(name: str) -> str:
    return f"{name[:56]}_former"
