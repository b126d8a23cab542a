"""The end of an adoption: version row and ledger rows in one transaction, when the facts agree."""

import json
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.migrations import run
from app.migrations.adopt.evidence import Proof
from app.migrations.adopt.explanation.findings import UNMANAGED, Finding, Group
from app.migrations.adopt.look import Look
from app.migrations.drift import digest
from app.migrations.errors import MigrationError
from app.migrations.project import Project
from app.migrations.run import Ledger, Outcome
from app.migrations.session import Direction
from app.migrations.snapshots import Difference, raw_differences


def record(
    connection: sa.Connection, project: Project, script: ScriptDirectory, now: Look, done: Look, proofs: list[Proof]
) -> None:
    """Records in the connection's transaction that the database is at head.

    Args:
        connection: in a transaction.
        project: whose database.
        script: its history.
        now: a look in this very transaction.
        done: the look that the steps came from.
        proofs: tables before and after.

    Raises:
        MigrationError: the facts don't agree.
    """
    _require_head(now)
    ledger = Ledger(connection, project.root)
    ledger.create()
    ledger.close_crashed()  # the lock is held, so nothing that is "running" runs
    MigrationContext.configure(connection).stamp(script, now.head)
    reasons = {finding.name: finding for finding in now.explanation.of(Group.ACCEPTED)}
    found = [*now.drift.of_schema, *_of_newer_facts(now)]
    for name in sorted({difference.name for difference in found}):
        finding = reasons.get(name) or Finding(name, Group.ACCEPTED, "left as it is.")
        differences = [d for d in found if d.name == name]
        checksum = None if finding.reason.startswith(UNMANAGED) else digest(differences)
        ledger.record(now.head, Direction.CHECK, Outcome.ACCEPTED, checksum, finding.full_reason, subject=name)
    for name in done.contracted:
        ledger.record(now.head, Direction.CHECK, Outcome.REVERTED, None, "its later step", subject=name)
    _record_revisions(ledger, script, now, done, proofs)


def _of_newer_facts(now: Look) -> list[Difference]:
    """Returns accepted differences in facts of which head's snapshot says nothing."""
    accepted = {f.name for f in now.explanation.of(Group.ACCEPTED)} - {d.name for d in now.drift.of_schema}
    return [d for d in raw_differences(now.drift.expected, now.drift.present) if d.name in accepted]


def _require_head(now: Look) -> None:
    left = [str(finding) for finding in now.explanation.findings if finding.group is not Group.ACCEPTED]
    if left or now.steps.all:
        listed = "; ".join(left or now.steps.all)
        raise MigrationError(
            f"The steps ran, and the schema isn't head's yet: {listed}. Another session may have changed it: run the "
            "same command again."
        )


def _record_revisions(ledger: Ledger, script: ScriptDirectory, now: Look, done: Look, proofs: list[Proof]) -> None:
    numbers = {group: len(done.explanation.of(group)) for group in Group}
    reason = (
        f"adopted by its facts: {numbers[Group.RENAMED]} renamed, {numbers[Group.REPAIRED]} repaired, "
        f"{numbers[Group.ACCEPTED]} accepted"
    )
    checksum = run.checksum_of(script.get_revision(now.head))
    evidence = json.dumps(as_values(done, proofs), sort_keys=True, default=str)
    ledger.record(now.head, Direction.STAMP, Outcome.ADOPTED, checksum, reason, evidence=evidence)
    for revision, rows in now.due.items():
        known = run.checksum_of(script.get_revision(revision))
        reason = f"{rows if rows is not None else 'an unknown number of'} rows still to do"
        ledger.record(revision, Direction.STAMP, Outcome.DUE, known, reason)


def as_values(done: Look, proofs: list[Proof]) -> dict[str, Any]:
    """Returns the evidence for the ledger."""
    return {
        "findings": [asdict(finding) for finding in done.explanation.findings],
        "statements": done.steps.all,
        "tables": [proof.as_values for proof in proofs],
    }
