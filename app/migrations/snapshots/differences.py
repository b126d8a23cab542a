"""How a database differs from a snapshot, object by object."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.migrations.snapshots.store import Facts, Snapshot, kind_of, own_name, owner_of

NAME = "name"

_OF_TABLE = ("column", "constraint", "index", "trigger")


@dataclass(frozen=True)
class Difference:
    """One way in which a database isn't what it should be.

    Attributes:
        name: the object: `column users.nick`.
        attribute: which of its facts, `name` if the same object has another; or empty: the object is there and
            shouldn't be, or the other way round.
        expected: the fact as it should be, or all facts of an object that should be there, or None.
        found: the fact as it is, or all facts of an object that is there, or None.
    """

    name: str
    attribute: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        if self.attribute:
            return f"{self.name}: {self.attribute} is {_shown(self.found)}, should be {_shown(self.expected)}"
        if self.expected is None:
            return f"{self.name}: is there, and should not be{_facts(self.found)}"
        return f"{self.name}: is not there, and should be{_facts(self.expected)}"


def differences(expected: Snapshot, found: Snapshot) -> list[Difference]:
    """How `found` differs from `expected`, by name.

    Of a table that is missing or too many, only the table is named. Two objects of which one is missing and one is too
    many, and that are the same but for their names, are one object that was renamed, if no third is the same too; of
    two tables it is enough that they share most of their columns.
    """
    renamed, found = _renamed(expected, found)
    words = {d.found: d.expected for d in renamed}
    result = list(renamed)
    for name in expected.keys() | found.keys():
        if name not in found:
            result.append(Difference(name, "", expected[name], None))
        elif name not in expected:
            result.append(Difference(name, "", None, found[name]))
        else:
            result += _changed(name, expected[name], found[name], words)
    whole = {owner_of(d.name) for d in result if kind_of(d.name) == "table" and not d.attribute}
    lone = {d.name.partition(" ")[2] for d in result if kind_of(d.name) == "column" and not d.attribute}
    return sorted(
        (d for d in result if not _goes_along(d, whole, lone)), key=lambda d: (owner_of(d.name), d.name, d.attribute)
    )


def moved(snapshot: Snapshot, name: str, new: str) -> Snapshot:
    """A snapshot in which the object `name` is called `new`, and what belongs to it is that of `new`."""
    if kind_of(name) != "table":
        key = f"{kind_of(name)} {owner_of(name)}.{new}"
        return {key if other == name else other: facts for other, facts in snapshot.items()}
    old = owner_of(name)
    result = {}
    for other, facts in snapshot.items():
        kind = kind_of(other)
        mine = kind in ("table", *_OF_TABLE) and owner_of(other) == old
        result[f"{kind} {new}{other.partition(' ')[2][len(old) :]}" if mine else other] = facts
    return result


def _renamed(expected: Snapshot, found: Snapshot) -> tuple[list[Difference], Snapshot]:
    result: list[Difference] = []
    words: dict[str, str] = {}
    for kinds in (("table",), ("column",), ("constraint", "index", "trigger")):
        pairs = _like_tables(expected, found) if kinds == ("table",) else _pairs(expected, found, kinds, words)
        for missing, extra in list(pairs):
            old, new = own_name(missing), own_name(extra)
            result.append(Difference(missing, NAME, old, new))
            words[new] = old
            found = moved(found, extra, old)
    return result, found


def _like_tables(expected: Snapshot, found: Snapshot) -> Iterator[tuple[str, str]]:
    missing = {name: _columns_of(expected, name) for name in expected if kind_of(name) == "table" and name not in found}
    extra = {name: _columns_of(found, name) for name in found if kind_of(name) == "table" and name not in expected}
    alike = [
        (old, new)
        for old, wanted in missing.items()
        for new, there in extra.items()
        if 2 * len(wanted & there) > max(len(wanted), len(there))
    ]
    for old, new in alike:
        if [pair for pair in alike if old in pair or new in pair] == [(old, new)]:
            yield old, new


def _columns_of(snapshot: Snapshot, table: str) -> set[str]:
    return {
        repr((own_name(name), sorted(facts.items())))
        for name, facts in snapshot.items()
        if kind_of(name) == "column" and owner_of(name) == owner_of(table)
    }


def _pairs(
    expected: Snapshot, found: Snapshot, kinds: tuple[str, ...], words: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    missing: dict[str, list[str]] = {}
    extra: dict[str, list[str]] = {}
    for name in expected:
        if name not in found and kind_of(name) in kinds:
            missing.setdefault(_likeness(expected, name, {}), []).append(name)
    for name in found:
        if name not in expected and kind_of(name) in kinds:
            extra.setdefault(_likeness(found, name, words), []).append(name)
    for likeness, names in missing.items():
        if len(names) == len(extra.get(likeness, [])) == 1:
            yield names[0], extra[likeness][0]


def _likeness(snapshot: Snapshot, name: str, words: Mapping[str, str]) -> str:
    """What an object is, but for its name."""
    facts = reworded(snapshot[name], {**words, own_name(name): "?"})
    return repr((kind_of(name), owner_of(name), sorted(facts.items())))


def _changed(name: str, expected: Facts, found: Facts, words: Mapping[str, str]) -> Iterable[Difference]:
    told = reworded(found, words)
    for attribute in sorted(expected.keys() | found.keys()):
        if expected.get(attribute) not in (found.get(attribute), told.get(attribute)):
            yield Difference(name, attribute, expected.get(attribute), found.get(attribute))


def reworded(facts: Facts, words: Mapping[str, str]) -> Facts:
    """The facts in the old names: whatever names a renamed object is rewritten by the database."""
    if not words:
        return facts
    pattern = re.compile(rf"\b(?:{'|'.join(re.escape(word) for word in words)})(?!\w)")

    def reworded(value: Any) -> Any:
        return pattern.sub(lambda match: words[match[0]], value) if isinstance(value, str) else value

    return {name: reworded(value) for name, value in facts.items()}


def _goes_along(difference: Difference, tables: set[str], columns: set[str]) -> bool:
    """Whether it says only what another difference says already."""
    kind, owner = kind_of(difference.name), owner_of(difference.name)
    if kind == "sequence" and not difference.attribute:
        facts = difference.expected or difference.found
        return facts.get("owner", "") in columns or facts.get("owner", "").partition(".")[0] in tables
    return kind in _OF_TABLE and owner in tables


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(" ".join(value.split())) if isinstance(value, str) else str(value)


def _facts(facts: Facts) -> str:
    shown = [
        " ".join(str(value).split()) if name in ("type", "definition") else f"{name} {_shown(value)}"
        for name, value in sorted(facts.items(), key=lambda fact: (fact[0] not in ("type", "definition"), fact[0]))
        if value is not None and (name, value) not in (("valid", True), ("enabled", True), ("nullable", True))
    ]
    return f" ({', '.join(shown)})" if shown else ""
