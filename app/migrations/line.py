"""The order of revisions, and the place of a database in it; loads no Alembic.

Two branches that were merged become one line by an edit of `down_revision`. A database that ran one of them before has
then a revision *below* its version that it never ran, or one *above* it that it did. The ledger proves both: its
checksums tell the parent that a revision had when it was applied.
"""

import ast
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from app.migrations.checksums import checksum, recorded_parents
from app.migrations.phases import Phase

_DONE = ("applied", "adopted", "skipped")


class Attempt(Protocol):
    """An attempt in the ledger."""

    @property
    def revision(self) -> str:
        """The revision's id."""

    @property
    def direction(self) -> str:
        """One of `session.Direction`."""

    @property
    def outcome(self) -> str:
        """One of `ledger.Outcome`."""

    @property
    def checksum(self) -> str | None:
        """The checksum of the revision's code."""


@dataclass(frozen=True)
class Revision:
    """A revision's file: its id, its parents, its code, its phase."""

    id: str
    parents: tuple[str, ...]
    source: bytes = field(repr=False)
    phase: Phase | None = None


@dataclass(frozen=True)
class Place:
    """The place of a database whose version table has rows that this code knows.

    Attributes:
        rows: the rows that the version table should have: one, if the history is one line.
        missing: revisions below these that were never applied, oldest first.
        applied: all revisions that were.
        due: data revisions whose schema the database has, and whose rows are still to do, oldest first.
    """

    rows: tuple[str, ...]
    missing: list[str]
    applied: frozenset[str]
    due: tuple[str, ...] = ()


class Line:
    """The revisions of the code.

    Args:
        revisions: in any order.
    """

    def __init__(self, revisions: Iterable[Revision]) -> None:
        self._revisions: Mapping[str, Revision] = {revision.id: revision for revision in revisions}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The ids, each after its parents."""
        return (*self._from_the_first, *self.in_circle)

    @cached_property
    def in_circle(self) -> tuple[str, ...]:
        """The ids that no way from the first revision leads to, sorted."""
        return tuple(sorted({*self._revisions} - {*self._from_the_first}))

    @cached_property
    def _from_the_first(self) -> tuple[str, ...]:
        children: dict[str, list[str]] = {}
        waits_for = {}
        for revision in self._revisions.values():
            known = [parent for parent in revision.parents if parent in self._revisions]
            waits_for[revision.id] = len(known)
            for parent in known:
                children.setdefault(parent, []).append(revision.id)
        ready = sorted(revision for revision, parents in waits_for.items() if not parents)
        ordered: list[str] = []
        while ready:
            ordered.append(heapq.heappop(ready))
            for child in children.get(ordered[-1], ()):
                waits_for[child] -= 1
                if not waits_for[child]:
                    heapq.heappush(ready, child)
        return tuple(ordered)

    def source(self, revision: str) -> bytes:
        """Returns the code of a revision."""
        return self._revisions[revision].source

    def parents(self, revision: str) -> tuple[str, ...]:
        """Returns the parents of a revision."""
        return self._revisions[revision].parents

    @cached_property
    def is_single(self) -> bool:
        """The history is one line: every revision has one child at most, and one parent at most."""
        parents = [self._revisions[revision].parents for revision in self.order]
        return parents == [(), *((revision,) for revision in self.order[:-1])]

    def place(self, rows: Iterable[str], attempts: Iterable[Attempt]) -> Place:
        """Returns the place of a database with these rows in the version table."""
        rows, attempts = tuple(sorted(row for row in rows if row in self._revisions)), [*attempts]
        if not (self.is_single and rows):
            found = self._with_ancestors(rows)
            due = self._due(found, attempts)
            return Place(rows, [], frozenset(found - {*due}), due)
        standing = standing_checksums(attempts)
        former = {r: self._former_parents(r, standing[r]) for r in self.order if r in standing}
        moved = {revision: parents for revision, parents in former.items() if parents is not None}
        merged = {parent for parents in moved.values() if len(parents) > 1 for parent in parents}
        done = {*standing, *rows, *merged}
        at = max(self.order.index(row) for row in rows)
        at = max([at, *(self.order.index(r) for r in self._follow(moved, done))])
        below = self.order[: at + 1]
        passed: set[str] = set()
        for revision, parents in moved.items():
            # It was applied right after these parents, so nothing that stands between had run by then.
            after = max((self.order.index(parent) for parent in parents), default=-1) + 1
            passed.update(self.order[after : self.order.index(revision)])
        missing = [revision for revision in below if revision in passed and revision not in done]
        due = self._due(below, attempts)
        return Place((self.order[at],), missing, frozenset(below) - {*missing, *due}, due)

    def _due(self, below: Iterable[str], attempts: Iterable[Attempt]) -> tuple[str, ...]:
        waiting = due_revisions(attempts) & {*below}
        return tuple(revision for revision in self.order if revision in waiting)

    def lacks(self, rows: Sequence[str], attempts: Sequence[Attempt]) -> list[str]:
        """Returns the revisions that a database lacks, oldest first.

        A database at a revision that this code doesn't have is *ahead*; it lacks what was written after the last
        revision of this code that its ledger has.
        """
        if not rows or all(row in self._revisions for row in rows):
            applied = self.place(rows, attempts).applied
            return [revision for revision in self.order if revision not in applied]
        standing = standing_checksums(attempts)
        known = [place for place, revision in enumerate(self.order) if revision in standing]
        if known and self.is_single:
            return list(self.order[known[-1] + 1 :])
        return [revision for revision in self.order if revision > max(rows)]

    def phase(self, revision: str) -> Phase | None:
        """Returns the phase that a revision declares."""
        return self._revisions[revision].phase

    def needed(self, lacking: Sequence[str], last: Phase | None) -> list[str]:
        """Returns those of the lacking revisions that code needs which starts when the phase `last` has run.

        Needed is what that run applies, and what stands behind its stop and declares that phase, or an earlier one. A
        revision there without a phase may run at any time, so also after the start.
        """
        later = [(phase := self.phase(revision)) is not None and phase.is_after(last) for revision in lacking]
        stop = later.index(True) if True in later else len(later)
        return [
            revision
            for place, revision in enumerate(lacking)
            if place < stop or (self.phase(revision) is not None and not later[place])
        ]

    def _with_ancestors(self, revisions: Iterable[str]) -> set[str]:
        found = {revision for revision in revisions if revision in self._revisions}
        for revision in reversed(self.order):
            if revision in found:
                found.update(self._revisions[revision].parents)
        return found

    def _former_parents(self, revision: str, recorded: str | None) -> tuple[str, ...] | None:
        """Returns the parents that a revision had when it was applied; None if they are today's, or unknown."""
        source = self._revisions[revision].source
        if recorded is None or recorded == checksum(source):
            return None
        return recorded_parents(source, recorded, self.order)

    def _follow(self, moved: Iterable[str], done: set[str]) -> set[str]:
        """Returns the moved revisions, and those applied revisions that follow them without a gap."""
        found = set(moved)
        for before, revision in zip(self.order, self.order[1:], strict=False):
            if before in found and revision in done:
                found.add(revision)
        return found


def standing_checksums(attempts: Iterable[Attempt]) -> dict[str, str | None]:
    """Returns the revisions that the ledger says are applied, with the checksums of their code at that time.

    A stamp is the operator's word on everything below and above it, so nothing from before it counts.
    """
    standing: dict[str, str | None] = {}
    for attempt in attempts:
        if attempt.direction not in ("upgrade", "downgrade", "stamp"):  # a check, or something of newer code
            continue
        if attempt.direction == "stamp" and attempt.outcome == "applied":
            standing.clear()
        if attempt.outcome == "rolled_back" or (attempt.direction == "downgrade" and attempt.outcome == "applied"):
            standing.pop(attempt.revision, None)
        elif attempt.outcome in _DONE and attempt.direction != "downgrade":
            standing[attempt.revision] = attempt.checksum or standing.get(attempt.revision)
    return standing


def due_revisions(attempts: Iterable[Attempt]) -> set[str]:
    """Returns the revisions that an adoption has left due, and that nothing has applied or stamped since."""
    due = set[str]()
    for attempt in attempts:
        if attempt.direction == "stamp" and attempt.outcome == "applied":
            due.clear()
        elif attempt.outcome == "due":
            due.add(attempt.revision)
        elif attempt.outcome in (*_DONE, "rolled_back"):
            due.discard(attempt.revision)
    return due


def read_line(versions: Path) -> Line:
    """Reads the revisions of a folder.

    Raises:
        FileNotFoundError: there are none.
    """
    revisions = [_read(path) for path in sorted(versions.glob("*.py"))]
    line = Line(revision for revision in revisions if revision is not None)
    if not line.order:
        raise FileNotFoundError(f"no revisions in {versions}: run from a checkout, or an image that holds one")
    return line


def _read(path: Path) -> Revision | None:
    source = path.read_bytes()
    values: dict[str, Any] = {}
    for statement in ast.parse(source).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        value = getattr(statement, "value", None)
        if ("revision" in names or "down_revision" in names) and isinstance(value, ast.expr):
            values[names[0]] = ast.literal_eval(value)
        if "phase" in names and isinstance(value, ast.Constant):  # a computed one counts as none
            values["phase"] = next((phase for phase in Phase if phase == value.value), None)
    down = values.get("down_revision")
    parents = () if down is None else (down,) if isinstance(down, str) else tuple(down)
    return Revision(values["revision"], parents, source, values.get("phase")) if "revision" in values else None
