"""Explanation of the differences of a database from head."""

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from app.migrations.adopt.explanation.alike import Alike
from app.migrations.adopt.explanation.built import Built
from app.migrations.adopt.explanation.columns import Columns
from app.migrations.adopt.explanation.findings import UNMANAGED, Explanation, Group
from app.migrations.adopt.explanation.known import BOOKKEEPING, FormerConstraints
from app.migrations.adopt.explanation.rows import Rows, referred_columns
from app.migrations.adopt.explanation.taken import refuse_taken_names
from app.migrations.snapshots import (
    Difference,
    Snapshot,
    address_of,
    kind_of,
    of_kind,
    owner_of,
    raw_differences,
)

Spelling = Callable[[list[Difference]], list[Difference]]

_PLACEMENT = ("options", "tablespace", "method", "unlogged", "row_security", "forced_row_security")


@dataclass(frozen=True)
class Sides:
    """Two schemas, and what else an explanation needs.

    Attributes:
        expected: head's.
        found: the database's.
        former: those of earlier revisions.
        spelling: takes out differences that are none when the server spells both sides.
        is_unmanaged: returns whether the operator declares an object unmanaged.
        partitioned: tables that have partitions, each with its partition key.
        is_contract: returns whether the operator asks for the later step of an object: the old service is gone.
    """

    dialect: str
    expected: Snapshot
    found: Snapshot
    former: Iterable[Snapshot]
    spelling: Spelling
    is_unmanaged: Callable[[str], bool]
    partitioned: Mapping[str, str]
    is_contract: Callable[[str], bool]


def explain(sides: Sides, rows: Rows) -> Explanation:
    """Puts each difference into its group, and aims at head with what is left as it is."""
    explanation = Explanation(sides.expected, sides.found, {**sides.expected}, {**sides.found})
    Alike(explanation, sides.dialect).find()
    columns = Columns(explanation, sides.dialect, rows, sides.is_unmanaged, sides.is_contract)
    built = Built(explanation, sides.dialect, rows, FormerConstraints(sides.former), sides.is_contract)
    _leave_out_impossible_keys(explanation, sides.partitioned)
    for difference in sides.spelling(raw_differences(explanation.aim, explanation.present)):
        match kind_of(difference.name):
            case "table":
                _explain_table(explanation, difference, rows, sides.is_unmanaged)
            case "column":
                columns.explain(difference)
            case "constraint" | "index" | "trigger" | "function":
                built.explain(difference)
            case _:
                _explain_other(explanation, difference, sides.is_contract)
    _leave_the_rest(explanation, sides.spelling)
    refuse_taken_names(explanation, sides.dialect)
    return explanation


def _leave_out_impossible_keys(explanation: Explanation, partitioned: Mapping[str, str]) -> None:
    """Leaves out foreign keys of new tables that refer to a partitioned table, which has no key of their columns."""
    for name in of_kind(explanation.aim, "constraint"):
        facts = explanation.aim[name]
        referred = referred_columns(facts)
        if name in explanation.present or referred is None:
            continue
        table, columns = referred
        if table in partitioned and not {*partitioned[table].split(", ")} <= {*columns}:
            del explanation.aim[name]
            explanation.add(name, Group.ACCEPTED, f"{table} is partitioned, and has no key for it: left out.")


def _leave_the_rest(explanation: Explanation, spelling: Spelling) -> None:
    """Takes over texts that the server spells in two ways, so that no statement is made for them."""
    different = raw_differences(explanation.aim, explanation.present)
    real = spelling(different)
    for difference in different:
        if difference not in real:
            explanation.leave(difference.name, difference.attribute)


def _explain_table(
    explanation: Explanation, difference: Difference, rows: Rows, is_unmanaged: Callable[[str], bool]
) -> None:
    name, table, attribute = difference.name, address_of(difference.name), difference.attribute
    if attribute == "comment":
        explanation.add(name, Group.REPAIRED, "gets head's comment.", was=difference.found)
    elif attribute in _PLACEMENT or (attribute and explanation.expected.get(name, {}).get("options")):
        explanation.leave(name, attribute)
        explanation.add(name, Group.ACCEPTED, f"{attribute} is {difference.found}: left as it is.")
    elif attribute:
        explanation.leave(name, attribute)
        reason = f"{attribute} is {difference.found}, and head says {difference.expected or 'none'}: change it by hand."
        explanation.add(name, Group.PERSON, reason)
    elif difference.found is None and table in rows.other_relations:
        explanation.leave_table(table)
        explanation.add(name, Group.PERSON, f"is {rows.other_relations[table]} here: head has a table of that name.")
    elif difference.found is None:
        explanation.add(name, Group.REPAIRED, "is missing: made.")
    elif is_unmanaged(name):
        explanation.leave_table(table)
        explanation.add(name, Group.ACCEPTED, f"{UNMANAGED} declared by the operator.")
    elif table in BOOKKEEPING:
        explanation.leave_table(table)
        explanation.add(name, Group.ACCEPTED, f"{UNMANAGED} the bookkeeping of {BOOKKEEPING[table]}.")
    else:
        explanation.leave_table(table)
        reason = f"is unknown here. If another program owns it, say so: --unmanaged {shlex.quote(table)}"
        explanation.add(name, Group.PERSON, reason)


def _explain_other(explanation: Explanation, difference: Difference, is_contract: Callable[[str], bool]) -> None:
    """Explains sequences, views, types and the like."""
    name, attribute = difference.name, difference.attribute
    if attribute == "comment":
        explanation.add(name, Group.REPAIRED, "gets head's comment.", was=difference.found)
    elif kind_of(name) == "sequence":
        _explain_sequence(explanation, difference, is_contract)
    elif not attribute and difference.found is None:
        explanation.add(name, Group.REPAIRED, "is missing: made.")
    elif not attribute:
        explanation.leave(name)
        explanation.add(name, Group.ACCEPTED, "is no object of head's: left.")
    else:
        explanation.leave(name, attribute)
        explanation.add(name, Group.PERSON, f"{attribute} is another one than head's: change it by hand.")


def _explain_sequence(explanation: Explanation, difference: Difference, is_contract: Callable[[str], bool]) -> None:
    name, attribute = difference.name, difference.attribute
    if attribute == "type" and is_contract(f"column {explanation.present[name].get('owner')}"):
        explanation.add(name, Group.REPAIRED, f"counts as {difference.found}: becomes {difference.expected}.")
        return
    owner = f"column {(difference.expected or {}).get('owner')}" if not attribute else ""
    explanation.leave(name, attribute)
    if attribute:
        reason = (
            f"{attribute} is {difference.found}, and head says {difference.expected or 'none'}: left, it counts on."
        )
        explanation.add(name, Group.ACCEPTED, reason, step="with its column." if attribute == "type" else "")
    elif difference.found is not None:
        explanation.add(name, Group.ACCEPTED, "is no object of head's: left.")
    elif {"identity", "default"} & explanation.present.get(owner, {}).keys():
        explanation.add(name, Group.ACCEPTED, f"isn't needed: {owner} is counted otherwise.")
    else:
        explanation.add(name, Group.PERSON, f"is missing: {owner} isn't counted by the database.")


def tables_of(snapshot: Snapshot) -> list[str]:
    """Returns the names of the tables of a snapshot."""
    return [owner_of(name) for name in of_kind(snapshot, "table")]
