"""`schema resolve`: proves a claim about a revision, then records it.

"Applied" claims that the schema is what the revision makes, and that its `verify()` has no rows still to do. "Rolled
back" claims that the schema is what it was before. Both are compared with the committed snapshots. A claim that doesn't
hold is refused, and nothing is written. Ledger and version table are written in one transaction.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.migrations import run
from app.migrations.drift.check import find_drift
from app.migrations.errors import ConfigurationError, HistoryError, UnresolvedFailure
from app.migrations.project import Project
from app.migrations.run import Entry, Ledger, Outcome
from app.migrations.session import Direction
from app.migrations.snapshots import Snapshots


@dataclass(frozen=True)
class Claim:
    """A claim about a revision.

    Attributes:
        applied: all of it is in the database; else nothing of it is.
        force: record it without proof.
        reason: why; kept in the ledger for ever.
    """

    revision: str
    applied: bool
    force: bool = False
    reason: str = ""

    def require_reason(self) -> None:
        """Raises `ConfigurationError` if the claim is forced and gives no reason."""
        if self.force and not self.reason.strip():
            raise ConfigurationError("--force needs a --reason: it is kept in the ledger, and shown in the status.")


@dataclass(frozen=True)
class Resolution:
    """The record of a claim.

    Attributes:
        outcomes: by revision, oldest first; empty if the ledger agreed already.
        at: the revision that the database is at now.
        contradictions: what spoke against a forced claim.
    """

    claim: Claim
    outcomes: dict[str, Outcome]
    at: str | None
    contradictions: list[str]


class Resolver:
    """Proves and records claims about one database, in the connection's transaction; the caller holds the lock."""

    def __init__(self, connection: sa.Connection, project: Project, script: ScriptDirectory) -> None:
        self._connection = connection
        self._project = project
        self._config = project.config()
        self._script = script
        self._context = MigrationContext.configure(connection)
        self._ledger = Ledger(connection, project.root)
        ids = [revision.revision for revision in script.walk_revisions()]
        self._line: list[Any] = [None, *reversed(ids)]  # oldest first; None is the place before the first

    def resolve(self, claim: Claim) -> Resolution:
        """Proves a claim and records it.

        Raises:
            HistoryError: there is no such revision, or it isn't its turn.
            UnresolvedFailure: the claim doesn't hold; the message says what contradicts it.
        """
        at = self._current_revision()
        if claim.revision not in self._line:
            raise HistoryError(f"There is no revision {claim.revision}.")
        entries = self._ledger.entries()
        passed, target = self._passed_revisions(claim, at)
        if not passed and not self._needs_record(claim, entries):
            return Resolution(claim, {}, at, [])
        contradictions = self._contradictions(claim, passed, target, entries)
        if contradictions and not claim.force:
            raise UnresolvedFailure(_refusal(claim, target, contradictions))
        return self._record(claim, passed, target, contradictions)

    def _current_revision(self) -> str | None:
        heads = self._context.get_current_heads()
        run.require_single_head(self._script)
        run.require_known_heads(run.line_of(self._script), heads, self._ledger.entries())
        if len(heads) > 1:
            listed = ", ".join(sorted(heads))
            raise HistoryError(f"The version table has {len(heads)} rows ({listed}); it must have one.")
        return heads[0] if heads else None

    def _passed_revisions(self, claim: Claim, at: str | None) -> tuple[list[str], str | None]:
        """Returns the revisions that the claim moves the database over, and the revision that it is at then."""
        here, place = self._line.index(at), self._line.index(claim.revision)
        if claim.applied:
            return self._line[here + 1 : place + 1], claim.revision if place > here else at
        if place > here + 1:
            raise HistoryError(f"{claim.revision} isn't the next to run here: the database is at {at or 'base'}.")
        return self._line[place : here + 1][::-1], self._line[place - 1]

    def _needs_record(self, claim: Claim, entries: list[Entry]) -> bool:
        """Returns whether the ledger is to be corrected for a revision that the database needn't be moved over."""
        attempts = [e for e in entries if e.revision == claim.revision and e.direction is not Direction.CHECK]
        outcome = attempts[-1].outcome if attempts else None
        if outcome in (Outcome.FAILED, Outcome.RUNNING, Outcome.UNKNOWN) or (
            claim.applied and outcome is Outcome.SKIPPED
        ):
            return True
        if claim.applied and claim.revision in self._missing(entries):
            return True
        former = self._project.former_checksums
        return claim.applied and bool(run.edited(entries, run.line_of(self._script), {claim.revision}, former))

    def _missing(self, entries: list[Entry]) -> list[str]:
        return run.line_of(self._script).place(self._context.get_current_heads(), entries).missing

    def _contradictions(self, claim: Claim, passed: list[str], target: str | None, entries: list[Entry]) -> list[str]:
        declared = self._project.partitions
        drift = find_drift(self._connection, self._config, self._script, target, entries, declared)
        if drift.open:
            return [str(difference) for difference in drift.open]
        return [
            f"revision {revision}: makes no difference to the schema here and has no verify(), so nothing tells "
            "whether it has run"
            for revision in passed or [claim.revision]
            if not self._is_provable(revision)
        ]

    def _is_provable(self, revision: str) -> bool:
        """Returns whether the database shows that a revision was applied, or `verify()` does."""
        if getattr(self._script.get_revision(revision).module, "verify", None) is not None:
            return True
        snapshots, dialect = Snapshots(self._config), self._connection.dialect.name
        before = self._line[self._line.index(revision) - 1]
        return snapshots.of(dialect, revision) != snapshots.of(dialect, before)

    def _record(self, claim: Claim, passed: list[str], target: str | None, contradictions: list[str]) -> Resolution:
        self._ledger.create()
        self._ledger.close_crashed()  # the lock is ours, so nothing that is "running" runs
        self._context.stamp(self._script, target or "base")
        outcome = Outcome.ROLLED_BACK
        if claim.applied:
            outcome = Outcome.SKIPPED if contradictions and passed else Outcome.ADOPTED
        reason = claim.reason.strip() or "proved: the database is " + (f"what {target} makes" if target else "empty")
        revisions = passed or [claim.revision]
        for revision in revisions:
            checksum = run.checksum_of(self._script.get_revision(revision)) if claim.applied else None
            self._ledger.record(revision, Direction.STAMP, outcome, checksum, reason)
        return Resolution(claim, dict.fromkeys(revisions, outcome), target, contradictions)


def record_adopted(connection: sa.Connection, root: Path, script: ScriptDirectory, revision: str, reason: str) -> None:
    """Records, in the connection's transaction, that the schema is already what a revision makes."""
    ledger = Ledger(connection, root)
    ledger.create()
    MigrationContext.configure(connection).stamp(script, revision)
    checksum = run.checksum_of(script.get_revision(revision))
    ledger.record(revision, Direction.STAMP, Outcome.ADOPTED, checksum, reason)


def _refusal(claim: Claim, target: str | None, contradictions: list[str]) -> str:
    claimed = "applied" if claim.applied else "rolled back"
    expected = f"the database isn't what {target} makes" if target else "the database isn't empty"
    listed = "".join(f"\n  {line}" for line in contradictions)
    flag = "--applied" if claim.applied else "--rolled-back"
    return (
        f"{claim.revision} isn't {claimed}: {expected}. Nothing was written.{listed}\n"
        f"Put that right first. If it is to be believed all the same: schema resolve {claim.revision} {flag} --force "
        "--reason '…'"
    )
