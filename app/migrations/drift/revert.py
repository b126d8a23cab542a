"""Reverting a drift, and accepting a difference."""

from typing import Any

import sqlalchemy as sa

from app.migrations import run, snapshots
from app.migrations.data_loss import Questions
from app.migrations.drift.check import Drift, current_drift, digest
from app.migrations.errors import ConfigurationError, DataLossRefused, MigrationError
from app.migrations.project import BASE, Project
from app.migrations.rules import Verdict, rule_of
from app.migrations.run import Ledger, Outcome
from app.migrations.session import Direction
from app.migrations.snapshots import Plan
from app.sql_text import for_driver


def plan_revert(project: Project, engine: sa.Engine | None = None) -> tuple[Plan, list[str]]:
    """Returns what `revert` would run now, and what that would lose. Writes nothing.

    Raises:
        MigrationError: there is no statement for one of the differences.
    """
    with run.reading(project, engine) as connection:
        plan = _plan(connection, current_drift(project, connection))
        return plan, _losses(connection, plan)


def revert(
    project: Project,
    engine: sa.Engine | None = None,
    *,
    accept_data_loss: bool = False,
    lock_timeout: float | None = None,
) -> Plan:
    """Brings the database back to what its revision makes, except for accepted differences; records that.

    Args:
        project: whose database.
        engine: the database; the project's if None.
        accept_data_loss: tables and columns that hold something may go.
        lock_timeout: as in `deploy`.

    Raises:
        DataLossRefused: rows or values would go, and `accept_data_loss` isn't set.
        MigrationError: a statement failed, or a difference is left; the transaction is rolled back.
    """
    with run.writing(project, engine, lock_timeout) as (_, held_engine):
        with run.transaction(held_engine) as connection:
            drift = current_drift(project, connection)
            plan = _plan(connection, drift)
            if plan.all:
                _run(connection, project, drift, plan, accept_data_loss=accept_data_loss)
        if plan.afterwards:  # CREATE INDEX CONCURRENTLY refuses to run in a transaction
            with held_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                _execute(connection, plan.afterwards)
            with held_engine.connect() as connection:
                _require_no_difference(connection, drift)
        return plan


def accept(
    project: Project, name: str, reason: str, engine: sa.Engine | None = None, *, lock_timeout: float | None = None
) -> list[str]:
    """Records that an object may differ from what the revision makes, as long as it differs in exactly this way.

    Returns:
        The accepted differences.

    Raises:
        ConfigurationError: the object doesn't differ, or no reason is given.
    """
    if not reason.strip():
        raise ConfigurationError("--accept needs a --reason: it is kept in the ledger, and shown in the status.")
    with (
        run.writing(project, engine, lock_timeout) as (_, held_engine),
        run.transaction(held_engine) as connection,
    ):
        drift = current_drift(project, connection)
        revision = drift.revision or BASE
        accepted = [difference for difference in drift.open if difference.name == name]
        if not accepted:
            names = ", ".join(sorted({difference.name for difference in drift.open})) or "none"
            raise ConfigurationError(f"{name!r} doesn't differ from what {revision} makes; these do: {names}.")
        ledger = Ledger(connection, project.root)
        ledger.create()
        ledger.record(revision, Direction.CHECK, Outcome.ACCEPTED, digest(accepted), reason.strip(), subject=name)
        return [str(difference) for difference in accepted]


def _plan(connection: sa.Connection, drift: Drift) -> Plan:
    aim = snapshots.goal(snapshots.take(connection), drift.expected, drift.of_schema)
    return snapshots.plan(connection.dialect.name, aim)


def _run(connection: sa.Connection, project: Project, drift: Drift, plan: Plan, *, accept_data_loss: bool) -> None:
    """Runs the statements of the transaction, and records the revert."""
    if connection.dialect.name == "postgresql":  # an ALTER TABLE that waits blocks all later readers
        timeout = f"{project.limits().table_lock * 1000:.0f}"
        connection.exec_driver_sql(f"SELECT set_config('lock_timeout', '{timeout}', true)")
    _execute(connection, plan.renames)
    losses = _losses(connection, plan)  # after the renames, whose new names the plan uses
    if losses and not accept_data_loss:
        raise DataLossRefused(
            f"Nothing was changed, for this would lose data:{_listed(losses)}\n"
            "Copy it first. If you mean it: schema check --revert --yes --accept-data-loss"
        )
    before = _broken_references(connection)
    _execute(connection, plan.statements)
    if new := _broken_references(connection) - before:
        raise MigrationError(f"This would leave references to rows that don't exist, in {', '.join(sorted(new))}.")
    if not plan.afterwards:  # else `revert` does so after the index builds
        _require_no_difference(connection, drift)
    names = ", ".join(sorted({difference.name for difference in drift.of_schema}))
    ledger = Ledger(connection, project.root)
    ledger.create()
    ledger.record(drift.revision or BASE, Direction.CHECK, Outcome.REVERTED, None, None, subject=names)


def _losses(connection: sa.Connection, plan: Plan) -> list[str]:
    """Asks the database what the statements would lose; returns a line for each loss."""
    questions = Questions(connection)
    losses = []
    for effect in plan.losses:
        rule = rule_of(effect)
        if rule is None or rule.ask is None:
            continue
        verdict, rows, note = questions.ask(rule.ask(effect, questions.words))
        if verdict is not Verdict.SAFE:
            count = f"{rows} row{'s' * (rows != 1)}" if rows is not None else note or "an unknown number of rows"
            losses.append(f"{effect.name()}: {count}")
    return losses


def _require_no_difference(connection: sa.Connection, drift: Drift) -> None:
    undone = {difference.name for difference in drift.of_schema}
    left = [d for d in snapshots.differences(drift.expected, drift.read(connection)) if d.name in undone]
    if left:
        raise MigrationError(
            f"The statements ran, and the schema still isn't what {drift.revision or BASE} makes:{_listed(left)}"
        )


def _broken_references(connection: sa.Connection) -> set[str]:
    if connection.dialect.name != "sqlite":
        return set()
    return {f"{child} to {parent}" for child, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check")}


def _execute(connection: sa.Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(for_driver(statement, connection.dialect))


def _listed(lines: list[Any]) -> str:
    return "".join(f"\n  {line}" for line in lines)
