"""Findings of an adoption: each difference from head in one of four groups, with its reason."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from app.migrations.snapshots import PARTS, Snapshot, kind_of, owner_of

UNMANAGED = "unmanaged:"  # begins the reason of what is another program's, whatever becomes of it
LATER = " Later: "  # stands between the reason and the step that takes the difference away


class Group(StrEnum):
    """The treatment of a difference."""

    RENAMED = "renamed"  # the same under another name, or written otherwise
    REPAIRED = "repaired"  # by a step that only adds or widens
    ACCEPTED = "accepted"  # left, with a recorded reason
    PERSON = "person"  # needs a decision


@dataclass(frozen=True)
class Finding:
    """One difference, or several of one object that have the same reason.

    Attributes:
        name: the object in the database: `column users.nick`.
        reason: a sentence.
        step: for later, once the old service is gone: what takes the difference away.
        rows: the rows that speak against it, as `RowsFound.as_values` gives them.
        was: the text that is replaced.
    """

    name: str
    group: Group
    reason: str
    step: str = ""
    rows: dict[str, Any] | None = None
    was: str | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.full_reason}"

    @property
    def full_reason(self) -> str:
        """Returns the reason, and the later step."""
        return f"{self.reason}{LATER}{self.step}" if self.step else self.reason


@dataclass
class Explanation:
    """The findings, and the schema that is aimed at: head's, with accepted differences left in it.

    Attributes:
        expected: head's schema.
        found: the database's.
        aim: the schema after the steps.
        present: the database's after the statements of `first`.
        first: statements that rename, or declare what is there already.
    """

    expected: Snapshot
    found: Snapshot
    aim: Snapshot
    present: Snapshot
    findings: list[Finding] = field(default_factory=list)
    first: list[str] = field(default_factory=list)

    def of(self, group: Group) -> list[Finding]:
        """Returns the findings of a group."""
        return [finding for finding in self.findings if finding.group is group]

    def add(self, name: str, group: Group, reason: str, **more: Any) -> None:
        """Adds a finding."""
        self.findings.append(Finding(name, group, reason, **more))

    def leave(self, name: str, attribute: str = "") -> None:
        """Puts into the aim what the database has: one fact of an object, or all of it."""
        if not attribute:
            if name in self.present:
                self.aim[name] = self.present[name]
            else:
                self.aim.pop(name, None)
            return
        facts = {**self.aim[name]}
        facts.pop(attribute, None)
        if (value := self.present[name].get(attribute)) is not None:
            facts[attribute] = value
        self.aim[name] = facts

    def leave_table(self, table: str) -> None:
        """Leaves all of a table."""
        for name in (f"table {table}", *self._parts.get(table, ())):
            self.leave(name)

    @cached_property
    def _parts(self) -> dict[str, dict[str, None]]:
        """Returns the parts and the sequences of each table: a search for those of each would take a minute."""
        parts = dict[str, dict[str, None]]()
        for name, facts in (*self.present.items(), *self.aim.items()):
            if kind_of(name) in PARTS:
                parts.setdefault(owner_of(name), {})[name] = None
            elif kind_of(name) == "sequence":
                parts.setdefault(str(facts.get("owner", "")).partition(".")[0], {})[name] = None
        return parts

    def move(self, old: str, new: str) -> None:
        """Gives an object of the present another name, after a statement of `first` has."""
        self.present = {(new if name == old else name): facts for name, facts in self.present.items()}
