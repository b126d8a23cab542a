"""What `schema resolve` does: proves what somebody claims about a revision, then writes it down.

"Applied" says that the schema is what the revision makes, and that its `verify()` has nothing left to do. "Rolled back"
says that the schema is what it was before. Both are compared with the committed snapshots; a claim that doesn't hold is
refused with what contradicts it, and nothing is written. Ledger and version are written in one transaction.
"""

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

from app.migrations.drift import compare
from app.migrations.errors import ConfigurationError, HistoryError, UnresolvedFailure
from app.migrations.project import Project
from app.migrations.run import preflight
from app.migrations.run.ledger import Entry, Ledger, Outcome
from app.migrations.session import Direction
from app.migrations.snapshots import Snapshots


@dataclass(frozen=True)
class Claim:
    """What somebody says about a revision.

    Attributes:
        applied: all of it is in the database; else nothing of it is.
        force: believe it, whatever the database looks like.
        reason: why; kept for ever.
    """

    revision: str
    applied: bool
    force: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Resolution:
    """What was written.

    Attributes:
        outcomes: by revision, oldest first; empty if it was known already.
        at: the revision that the database is at now.
        contradictions: what spoke against the claim, and was overruled.
    """

    claim: Claim
    outcomes: dict[str, Outcome]
    at: str | None
    contradictions: list[str]


class Resolver:
    """Judges claims about one database; whoever makes one holds the lock.

    Args:
        connection: in a transaction, which all that is written joins.
        project: whose revision.
        script: the revisions.
    """

    def __init__(self, connection: sa.Connection, project: Project, script: ScriptDirectory) -> None:
        self._connection = connection
        self._project = project
        self._config = project.config()
        self._script = script
        self._context = MigrationContext.configure(connection)
        self._ledger = Ledger(connection, project.root)
        self._line = [revision.revision for revision in reversed(list(script.walk_revisions()))]

    def resolve(self, claim: Claim) -> Resolution:
        """Proves a claim and writes it down.

        Raises:
            HistoryError: there is no such revision, or it isn't its turn.
            ConfigurationError: it is to be believed, and no reason is given.
            UnresolvedFailure: the claim doesn't hold; the message says what contradicts it.
        """
        if claim.force and not claim.reason.strip():
            raise ConfigurationError("--force needs a --reason: it is kept in the ledger, and shown in the status.")
        at = self._at()
        if claim.revision not in self._line:
            raise HistoryError(f"There is no revision {claim.revision}.")
        entries = self._ledger.entries()
        concerned, to = self._concerned(claim, at)
        if not concerned and not self._open(claim, entries):
            return Resolution(claim, {}, at, [])
        wrong = self._contradictions(claim, concerned, to, entries)
        if wrong and not claim.force:
            raise UnresolvedFailure(_refusal(claim, to, wrong))
        return self._write(claim, concerned, to, wrong)

    def _at(self) -> str | None:
        heads = self._context.get_current_heads()
        preflight.require_single_head(self._script)
        preflight.require_known_heads(self._script, heads, self._ledger.entries())
        if len(heads) > 1:
            listed = ", ".join(sorted(heads))
            raise HistoryError(f"The version table has {len(heads)} rows ({listed}); it must have one.")
        return heads[0] if heads else None

    def _concerned(self, claim: Claim, at: str | None) -> tuple[list[str], str | None]:
        """The revisions that the claim moves the database over, and the one that it is at then."""
        here, place = self._place(at), self._place(claim.revision)
        if claim.applied:
            return self._line[here + 1 : place + 1], claim.revision if place > here else at
        if place > here + 1:
            raise HistoryError(f"{claim.revision} isn't the next to run here: the database is at {at or 'base'}.")
        before = self._line[place - 1] if place else None
        return list(reversed(self._line[place : here + 1])), before

    def _place(self, revision: str | None) -> int:
        return self._line.index(revision) if revision is not None else -1

    def _open(self, claim: Claim, entries: list[Entry]) -> bool:
        """Whether there is anything to say about a revision that the database needn't be moved over."""
        attempts = [e for e in entries if e.revision == claim.revision and e.direction is not Direction.CHECK]
        if not claim.applied:
            return bool(attempts) and attempts[-1].outcome in (Outcome.FAILED, Outcome.RUNNING)
        return bool(preflight.edited(entries, self._script, {claim.revision}, self._project.former_checksums)) or (
            bool(attempts) and attempts[-1].outcome in (Outcome.FAILED, Outcome.RUNNING, Outcome.SKIPPED)
        )

    def _contradictions(self, claim: Claim, concerned: list[str], to: str | None, entries: list[Entry]) -> list[str]:
        wrong = [str(d) for d in compare.of(self._connection, self._config, self._script, to, entries).open]
        if wrong:
            return wrong
        told = [revision for revision in concerned or [claim.revision] if not self._tells(revision)]
        return [
            f"revision {revision}: makes no difference to the schema here and has no verify(), so nothing tells "
            "whether it has run"
            for revision in told
        ]

    def _tells(self, revision: str) -> bool:
        """Whether a look at the database tells if a revision was applied, or it does no harm to run it again."""
        found: Script = self._script.get_revision(revision)
        if getattr(found.module, "verify", None) is not None:
            return True
        kept, dialect = Snapshots(self._config), self._connection.dialect.name
        before = self._line[self._place(revision) - 1] if self._place(revision) else None
        return kept.of(dialect, revision) != kept.of(dialect, before)

    def _write(self, claim: Claim, concerned: list[str], to: str | None, wrong: list[str]) -> Resolution:
        self._ledger.create()
        self._ledger.close_crashed()
        self._context.stamp(self._script, to or "base")
        outcomes = {}
        reason = claim.reason.strip() or "proved: the database is " + (f"what {to} makes" if to else "empty")
        for revision in concerned or [claim.revision]:
            outcomes[revision] = Outcome.ROLLED_BACK
            if claim.applied:
                outcomes[revision] = Outcome.SKIPPED if wrong and concerned else Outcome.ADOPTED
            checksum = preflight.checksum_of(self._script.get_revision(revision)) if claim.applied else None
            self._ledger.record(revision, Direction.STAMP, outcomes[revision], checksum, reason)
        return Resolution(claim, outcomes, to, wrong)


def record_adopted(connection: sa.Connection, root: Path, script: ScriptDirectory, revision: str, reason: str) -> None:
    """Writes down, in the connection's transaction, that a revision needn't run here: the schema is what it makes."""
    ledger = Ledger(connection, root)
    ledger.create()
    MigrationContext.configure(connection).stamp(script, revision)
    checksum = preflight.checksum_of(script.get_revision(revision))
    ledger.record(revision, Direction.STAMP, Outcome.ADOPTED, checksum, reason)


def _refusal(claim: Claim, to: str | None, wrong: list[str]) -> str:
    what = "applied" if claim.applied else "rolled back"
    should = f"the database isn't what {to} makes" if to else "the database isn't empty"
    listed = "".join(f"\n  {line}" for line in wrong)
    flag = "--applied" if claim.applied else "--rolled-back"
    return (
        f"{claim.revision} isn't {what}: {should}. Nothing was written.{listed}\n"
        f"Put that right first. If it is to be believed all the same: schema resolve {claim.revision} {flag} --force "
        "--reason '…'"
    )
