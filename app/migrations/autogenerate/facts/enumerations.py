"""Native enumerations of PostgreSQL whose labels change."""

from collections.abc import Iterator

from app.migrations.autogenerate.facts.sides import Subject
from app.migrations.autogenerate.facts.statements import qualified
from app.migrations.operations import ExecuteOnOp
from app.migrations.snapshots import Difference, Snapshot, address_of, of_kind, own_name, owner_of, quote
from app.sql_text import literal


def changed(subject: Subject, difference: Difference) -> list[ExecuteOnOp]:
    """Returns the operation that gives an enumeration its labels, and takes them away again.

    PostgreSQL can add a label, and take none away: then the columns move to a new type of the same name, which fails
    if a row has a label that goes.
    """
    side = subject.own
    name, old, new = address_of(difference.name), difference.found, difference.expected
    down = [*_replaced(name, old, side.comparison.found)]
    # In the transaction that adds a label, a default can't have it.
    defaults = " ".join(str(facts.get("default")) for facts in side.comparison.models.values())
    is_used = any(f"{literal(label)}::{name}" in defaults for label in new if label not in old)
    if [label for label in new if label in old] == old and not is_used:
        up = [*_added(name, old, new)]
    else:
        up = [*_replaced(name, new, side.comparison.found)]
    schemas = subject.schemas | ({_former(name): subject.schemas[name]} if name in subject.schemas else {})
    up, down = ([qualified(side, schemas, text) for text in half] for half in (up, down))
    return [ExecuteOnOp("postgresql", up, down, [difference])]


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
