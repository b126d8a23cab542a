"""Statements of a revision, made from facts, for what no operation of Alembic's does."""

from collections.abc import Iterable, Mapping
from itertools import pairwise

from alembic.operations import ops

from app.migrations import snapshots
from app.migrations.autogenerate.facts.sides import Side, Subject
from app.migrations.autogenerate.facts.unwritten import UnwrittenOp
from app.migrations.errors import MigrationError
from app.migrations.operations import CreateTriggerOp, ExecuteOnOp
from app.migrations.snapshots import NAME, Difference, kind_of, quote
from app.migrations.sql import lexer
from app.sql_text import unquoted

_FIRST = ("enum", "domain", "sequence", "collation")  # columns need them


def execute_on(subject: Subject, upgrade_ops: ops.UpgradeOps, side: Side, differences: Iterable[Difference]) -> None:
    """Adds statements made from facts; a difference for which there are none is named."""
    possible: list[Difference] = []
    for difference in differences:
        if _statements(side, [difference]) is None and not _comes_with_identity(side, difference):
            upgrade_ops.ops.append(UnwrittenOp(difference))
        else:
            possible.append(difference)
    first = [
        d
        for d in possible
        if kind_of(d.name) in _FIRST and d.found is None and not d.attribute and not _comes_with_identity(side, d)
    ]
    later = [d for d in possible if d not in first]
    if first:
        upgrade_ops.ops.insert(0, _operation(subject, side, first))
    if later:
        place = next((i for i, op in enumerate(upgrade_ops.ops) if isinstance(op, CreateTriggerOp)), None)
        upgrade_ops.ops.insert(len(upgrade_ops.ops) if place is None else place, _operation(subject, side, later))


def _operation(subject: Subject, side: Side, differences: list[Difference]) -> ExecuteOnOp:
    statements = _statements(side, differences)
    assert statements is not None
    up, down = ([qualified(side, subject.schemas, text) for text in half] for half in statements)
    return ExecuteOnOp(side.dialect, up, down, differences)


def qualified(side: Side, schemas: Mapping[str, str], statement: str) -> str:
    """Returns a statement with the schema of each object that the models have in another one: facts have none."""
    if side.dialect != "postgresql" or not schemas:
        return statement
    tokens = list(lexer.tokens(statement))
    words = [(place, token) for place, token in enumerate(tokens) if not token.isspace()]
    for (_, before), (place, token) in pairwise(words):
        name = token.removeprefix(":")  # of a cast
        schema = schemas.get(unquoted(name)) if name and name[0] != "'" else None
        if schema is not None and before not in (".", "TO"):  # a new name stands alone
            tokens[place] = f"{token[: len(token) - len(name)]}{quote(schema)}.{name}"
    return "".join(tokens)


def _statements(side: Side, differences: list[Difference]) -> tuple[list[str], list[str]] | None:
    """Returns the statements there and back; None if there is no way."""
    if side.dialect == "sqlite" and any(kind_of(d.name) in ("table", "column") for d in differences):
        return None
    if any(_moves_a_sequence(side, difference) for difference in differences):
        return None
    models, found = side.comparison.models, side.comparison.found
    if side.dialect == "sqlite":
        models, found = side.comparison.made, side.comparison.present
        differences = [_spelt(side, difference) for difference in differences]
    inverse = [_inverse(d) for d in differences if not _is_new(side, d)]
    there = dict(found)
    for difference in differences:
        if _is_new(side, difference):
            facts = models[difference.name].items()
            there[difference.name] = {fact: value for fact, value in facts if fact != difference.attribute}
    try:
        up = snapshots.plan(side.dialect, snapshots.goal(there, models, differences))
        down = snapshots.plan(side.dialect, snapshots.goal(models, found, inverse))
    except (MigrationError, KeyError):
        return None
    if not up.all:
        return None
    return up.within_a_transaction, down.within_a_transaction


def _spelt(side: Side, difference: Difference) -> Difference:
    """Returns a difference in the database's own spelling."""
    name, fact = difference.name, difference.attribute
    if fact == NAME:
        return difference
    new, old = side.written(name, wanted=True), side.written(name)
    if fact:
        return Difference(name, fact, new.get(fact), old.get(fact))
    return Difference(name, fact, new or None, old or None)


def _comes_with_identity(side: Side, difference: Difference) -> bool:
    """Returns whether a sequence is that of a column which becomes an identity, or is none any more."""
    facts = difference.expected or difference.found
    if difference.attribute or kind_of(difference.name) != "sequence":
        return False
    column = f"column {facts.get('owner')}"
    sides = [side.facts_of(column, wanted=wanted) for wanted in (False, True)]
    return any("identity" in own for own in sides) and not _moves_a_sequence(side, Difference(column, "", {}, {}))


def _inverse(difference: Difference) -> Difference:
    name = difference.name if difference.attribute != NAME else difference.found_name
    return Difference(name, difference.attribute, difference.found, difference.expected)


def _moves_a_sequence(side: Side, difference: Difference) -> bool:
    """Returns whether a column's identity becomes a default or the reverse: the sequence has the same name in both."""
    if kind_of(difference.name) != "column":
        return False
    facts = [side.facts_of(difference.name, wanted=wanted) for wanted in (False, True)]
    return any("identity" in own for own in facts) and any("nextval(" in str(own.get("default")) for own in facts)


def _is_new(side: Side, difference: Difference) -> bool:
    """Returns whether the object comes with its table, but for one fact."""
    return difference.attribute not in ("", NAME) and difference.name not in side.comparison.found
