"""Steps of an adoption: one transaction, and then builds that let other sessions read and write."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from app.migrations.adopt.explanation.findings import Explanation
from app.migrations.adopt.explanation.same_effect import deferral, unique_index
from app.migrations.snapshots import Facts, Snapshot, goal, kind_of, of_kind, own_name, owner_of, plan, quote
from app.migrations.snapshots import raw_differences as differences


class Kind(StrEnum):
    """The kind of a build."""

    INDEX = "index"
    UNIQUE = "unique"
    FOREIGN_KEY = "foreign key"  # of a partitioned table
    VALIDATE = "validate"
    NOT_NULL = "not null"


@dataclass(frozen=True)
class Build:
    """One build, which can be repeated.

    Attributes:
        name: the object.
        statements: as they are shown; on a partitioned table each partition has its own.
        definition: of the index, or of the constraint.
        deferral: when a unique constraint is checked.
    """

    kind: Kind
    name: str
    statements: list[str]
    definition: str = ""
    deferral: str = ""

    @property
    def table(self) -> str:
        """Returns the table that is read."""
        return owner_of(self.name)


@dataclass(frozen=True)
class Steps:
    """All steps of an adoption.

    Attributes:
        transaction: statements that run in one.
        builds: what runs after it, one by one.
        copied: tables of SQLite that are written anew.
    """

    transaction: list[str] = field(default_factory=list)
    builds: list[Build] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """Returns every statement, in order."""
        return [*self.transaction, *(statement for build in self.builds for statement in build.statements)]


class StepsOnPostgresql:
    """The steps to the aim of an explanation, in safe forms.

    A constraint comes NOT VALID and is validated, an index is built concurrently.

    Args:
        explanation: what is there, and what should be.
        partitioned: tables that have partitions.
    """

    def __init__(self, explanation: Explanation, partitioned: set[str]) -> None:
        self._present, self._aim = explanation.present, explanation.aim
        self._first, self._partitioned = explanation.first, partitioned
        self._tables = {owner_of(name) for name in of_kind(explanation.present, "table")}
        self._meanwhile: Snapshot = {}
        self._builds: list[Build] = []

    def steps(self) -> Steps:
        """Returns the steps."""
        for name, facts in self._aim.items():
            held_back = self._held_back(name, facts) if owner_of(name) in self._tables else facts
            if held_back is not None:
                self._meanwhile[name] = held_back
        aim = goal(self._present, self._meanwhile, differences(self._meanwhile, self._present))
        return Steps([*self._first, *plan("postgresql", aim).within_a_transaction], self._builds)

    def _held_back(self, name: str, facts: Facts) -> Facts | None:
        """Returns the facts of an object after the transaction, and notes the build that completes it."""
        present = self._present.get(name)
        if kind_of(name) == "index" and (present is None or present.get("valid") is False is not facts.get("valid")):
            self._build(Kind.INDEX, name, str(facts["definition"]), [_concurrently(str(facts["definition"]))])
            return present
        if kind_of(name) == "column" and present is not None and present["nullable"] and not facts["nullable"]:
            alter = f"ALTER TABLE {quote(owner_of(name))} ALTER COLUMN {quote(own_name(name))} SET NOT NULL"
            self._build(Kind.NOT_NULL, name, "", [alter])
            return {**facts, "nullable": True}
        if kind_of(name) != "constraint":
            return facts
        if present is not None and present["definition"] == facts["definition"]:
            if facts["valid"] and not present["valid"]:
                self._validate(name)
                return {**facts, "valid": False}
            return facts
        definition = str(facts["definition"])
        if definition.startswith("UNIQUE"):
            self._unique(name, facts)
            return None
        if not definition.startswith(("FOREIGN KEY", "CHECK")):
            return facts
        if owner_of(name) in self._partitioned and definition.startswith("FOREIGN KEY"):
            added = f"ALTER TABLE {quote(owner_of(name))} ADD CONSTRAINT {quote(own_name(name))} {definition}"
            self._build(Kind.FOREIGN_KEY, name, definition, [added])
            return None
        if facts["valid"]:
            self._validate(name)
        return {**facts, "valid": False}

    def _validate(self, name: str) -> None:
        table, own = quote(owner_of(name)), quote(own_name(name))
        self._build(Kind.VALIDATE, name, "", [f"ALTER TABLE {table} VALIDATE CONSTRAINT {own}"])

    def _unique(self, name: str, facts: Facts) -> None:
        index = unique_index(facts, owner_of(name), own_name(name)) or ""
        own, later = quote(own_name(name)), deferral(facts)
        alter = f"ALTER TABLE {quote(owner_of(name))} ADD CONSTRAINT {own} UNIQUE USING INDEX {own}{later}"
        self._build(Kind.UNIQUE, name, index, [_concurrently(index), alter], later)

    def _build(self, kind: Kind, name: str, definition: str, statements: list[str], deferred: str = "") -> None:
        self._builds.append(Build(kind, name, statements, definition, deferred))


def _concurrently(definition: str) -> str:
    return re.sub(r"^(CREATE (?:UNIQUE )?INDEX) ", r"\1 CONCURRENTLY IF NOT EXISTS ", definition)
