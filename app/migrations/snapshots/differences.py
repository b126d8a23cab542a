"""Differences between a database and a snapshot, object by object."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.migrations.snapshots.store import PARTS, Facts, Snapshot, address_of, kind_of, of_kind, own_name, owner_of

NAME = "name"

# A snapshot of a former version lacks these facts and objects; where it says nothing of them, they are no drift.
_LATER_FACTS = {"forced_row_security", "partitioned_by", "options", "inherits", "method", "tablespace", "comment"}
_LATER_FACTS |= {"min", "max", "start", "cache"}
_LATER_KINDS = {"domain", "policy", "statistics", "collation"}
_KNOWN_SINCE_EVER = {"table": {"comment"}, "column": {"comment"}}


@dataclass(frozen=True)
class Difference:
    """One difference of a database from a snapshot.

    Attributes:
        name: the object: `column users.nick`.
        attribute: the fact that differs, `name` for a renamed object; empty for a missing or extra object.
        expected: the fact as it should be, or all facts of a missing object, or None.
        found: the fact as it is, or all facts of an extra object, or None.
    """

    name: str
    attribute: str
    expected: Any
    found: Any

    @property
    def found_name(self) -> str:
        """The object's name in the database, which is another one if it was renamed."""
        if self.attribute != NAME:
            return self.name
        kind = kind_of(self.name)
        return f"table {self.found}" if kind == "table" else f"{kind} {owner_of(self.name)}.{self.found}"

    def __str__(self) -> str:
        if self.attribute:
            return f"{self.name}: {self.attribute} is {_shown(self.found)}, should be {_shown(self.expected)}"
        if self.expected is None:
            return f"{self.name}: is there, and should not be{_shown_facts(self.found)}"
        return f"{self.name}: is not there, and should be{_shown_facts(self.expected)}"


def differences(expected: Snapshot, found: Snapshot) -> list[Difference]:
    """Returns the differences of `found` from `expected`, by name.

    A missing or extra table is reported without its columns. A missing and an extra object with identical facts count
    as a rename, unless a third matches too; for two tables most of their columns are enough.
    """
    renames, found = _undo_renames(expected, found)
    former = {rename.found: rename.expected for rename in renames}
    return _sorted([*renames, *_unlike(expected, found, former)])


def as_former(dialect: str, expected: Snapshot, found: Snapshot) -> Snapshot:
    """Returns what was found without the facts that the snapshot `expected` may be too old to have."""
    if dialect == "sqlite":
        return found
    kinds = {kind_of(name) for name in expected}
    result: Snapshot = {}
    for name, facts in found.items():
        kind = kind_of(name)
        if kind in _LATER_KINDS - kinds:
            continue
        later = _LATER_FACTS - _KNOWN_SINCE_EVER.get(kind, set()) - expected.get(name, facts).keys()
        if "kind" not in expected.get(name, ()):  # of a plain table, a snapshot of any version
            later -= {"partitioned_by"}
        result[name] = {fact: value for fact, value in facts.items() if fact not in later}
    return result


def raw_differences(expected: Snapshot, found: Snapshot) -> list[Difference]:
    """Returns the differences of `found` from `expected` by name, a rename as a missing and an extra object."""
    return _sorted(_unlike(expected, found, {}))


def _unlike(expected: Snapshot, found: Snapshot, former: Mapping[str, str]) -> list[Difference]:
    result = [Difference(name, "", expected[name], None) for name in expected.keys() - found.keys()]
    result += [Difference(name, "", None, found[name]) for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        wanted, present = expected[name], found[name]
        in_old_names = in_former_names(present, former)  # or the same: a fact may name another object of that name
        for fact in wanted.keys() | present.keys():
            if wanted.get(fact) not in (present.get(fact), in_old_names.get(fact)):
                result.append(Difference(name, fact, wanted.get(fact), present.get(fact)))
    return result


def _sorted(result: list[Difference]) -> list[Difference]:
    tables = {owner_of(d.name) for d in result if kind_of(d.name) == "table" and not d.attribute}
    columns = {address_of(d.name) for d in result if kind_of(d.name) == "column" and not d.attribute}
    result = [d for d in result if not _is_implied(d, tables, columns)]
    return sorted(result, key=lambda d: (owner_of(d.name), d.name, d.attribute))


def rename(snapshot: Snapshot, name: str, new: str) -> Snapshot:
    """Returns a snapshot in which the object `name` is called `new`; the parts of a table move along."""
    kind, table = kind_of(name), owner_of(name)

    def renamed(other: str) -> str:
        if kind != "table":
            return f"{kind} {table}.{new}" if other == name else other
        moves = kind_of(other) in ("table", *PARTS) and owner_of(other) == table
        return f"{kind_of(other)} {new}{address_of(other)[len(table) :]}" if moves else other

    return {renamed(other): facts for other, facts in snapshot.items()}


def in_former_names(facts: Facts, former: Mapping[str, str]) -> Facts:
    """Returns facts in former names: the database rewrites all texts that name a renamed object."""
    if not former:
        return facts
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, former))})(?!\w)")
    return {
        fact: pattern.sub(lambda match: former[match[0]], value) if isinstance(value, str) else value
        for fact, value in facts.items()
    }


def _undo_renames(expected: Snapshot, found: Snapshot) -> tuple[list[Difference], Snapshot]:
    renames: list[Difference] = []
    former: dict[str, str] = {}
    # Tables first, then columns: the facts of the later kinds name them.
    for kinds in (("table",), ("column",), ("constraint", "index", "trigger")):
        for missing, extra in _renamed(expected, found, kinds, former):
            old, new = own_name(missing), own_name(extra)
            renames.append(Difference(missing, NAME, old, new))
            former[new] = old
            found = rename(found, extra, old)
    return renames, found


def _renamed(
    expected: Snapshot, found: Snapshot, kinds: tuple[str, ...], former: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Returns the pairs of a missing and an extra object that are alike, and are like no other."""
    missing = {n: _traits(expected, n, {}) for n in expected if n not in found and kind_of(n) in kinds}
    if not missing:
        return []
    extra = {n: _traits(found, n, former) for n in found if n not in expected and kind_of(n) in kinds}
    alike = [
        (old, new)
        for old, wanted in missing.items()
        for new, present in extra.items()
        if 2 * len(wanted & present) > max(len(wanted), len(present))
    ]
    return [pair for pair in alike if not any(pair != other and {*pair} & {*other} for other in alike)]


def _traits(snapshot: Snapshot, name: str, former: Mapping[str, str]) -> set[str]:
    """Returns the traits of an object, without its name: the columns of a table, or all facts of another object."""
    kind, table = kind_of(name), owner_of(name)
    if kind == "table":
        columns = of_kind(snapshot, "column", table)
        return {repr((own_name(column), sorted(snapshot[column].items()))) for column in columns}
    facts = in_former_names(snapshot[name], {**former, own_name(name): "?"})
    return {repr((kind, table, sorted(facts.items())))}


def _is_implied(difference: Difference, tables: set[str], columns: set[str]) -> bool:
    """Returns whether the missing or extra tables and columns say this already."""
    kind = kind_of(difference.name)
    if kind == "sequence" and not difference.attribute:
        owner = (difference.expected or difference.found).get("owner", "")
        return owner in columns or owner.partition(".")[0] in tables
    return kind in PARTS and owner_of(difference.name) in tables


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(" ".join(value.split())) if isinstance(value, str) else str(value)


def _shown_facts(facts: Facts) -> str:
    first = [" ".join(str(facts[fact]).split()) for fact in ("definition", "type") if facts.get(fact) is not None]
    usual = [("valid", True), ("enabled", True), ("nullable", True)]
    others = [
        f"{fact} {_shown(value)}"
        for fact, value in sorted(facts.items())
        if fact not in ("definition", "type") and value is not None and (fact, value) not in usual
    ]
    return f" ({', '.join([*first, *others])})" if first or others else ""
