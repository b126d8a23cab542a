"""Brings a database back to what its revision makes, and accepts what is to stay otherwise."""

from pathlib import Path

import sqlalchemy as sa

from app.migrations import snapshots
from app.migrations.data_loss import Questions
from app.migrations.drift import compare
from app.migrations.drift.compare import ROWS_TO_DO, Drift
from app.migrations.errors import ConfigurationError, DataLossRefused, MigrationError
from app.migrations.project import Project
from app.migrations.rules import Verdict, rule_of
from app.migrations.run.ledger import Ledger, Outcome
from app.migrations.session import Direction
from app.migrations.snapshots import ddl
from app.migrations.snapshots.ddl import Plan
from app.migrations.snapshots.differences import Difference, differences
from app.migrations.sql import text

BASE = "base"


def plan(connection: sa.Connection, found: Drift) -> Plan:
    """The statements that undo a drift, except for what was accepted or is unmanaged.

    Raises:
        MigrationError: there is no statement for one of the differences.
    """
    aim = ddl.goal(snapshots.take(connection), found.expected, _of_the_schema(found))
    return ddl.plan(connection.dialect.name, aim)


def run(connection: sa.Connection, project: Project, found: Drift, *, accept_data_loss: bool) -> Plan:
    """Undoes a drift in the connection's transaction; what must run outside one is left to `finish`.

    Raises:
        DataLossRefused: rows or values would go, and nobody has said that they may.
        MigrationError: the database isn't what it should be after that; roll it back.
    """
    planned = plan(connection, found)
    if not planned.all:
        return planned
    _hurry(connection, project.limits().table_lock)
    for statement in planned.renames:
        _execute(connection, statement)
    risks = at_risk(connection, planned)
    if risks and not accept_data_loss:
        listed = "".join(f"\n  {risk}" for risk in risks)
        raise DataLossRefused(
            f"Nothing was changed, for this would lose data:{listed}\n"
            "Copy it first. If you mean it: schema check --revert --yes --accept-data-loss"
        )
    before = _broken_references(connection)
    for statement in planned.statements:
        _execute(connection, statement)
    if new := _broken_references(connection) - before:
        raise MigrationError(f"This would leave references to rows that don't exist, in {', '.join(sorted(new))}.")
    if not planned.afterwards:
        _must_be_undone(connection, found)
    names = sorted({d.name for d in _of_the_schema(found)})
    ledger = Ledger(connection, project.root)
    ledger.create()
    ledger.record(found.revision or BASE, Direction.CHECK, Outcome.REVERTED, None, None, subject=", ".join(names))
    return planned


def finish(engine: sa.Engine, planned: Plan, found: Drift) -> None:
    """Runs what holds up nobody, for as long as it takes.

    Raises:
        MigrationError: the database still isn't what it should be.
    """
    if planned.afterwards:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in planned.afterwards:
                _execute(connection, statement)
        with engine.connect() as connection:
            _must_be_undone(connection, found)


def at_risk(connection: sa.Connection, planned: Plan) -> list[str]:
    """What the statements would lose, a line each; asks the database."""
    questions = Questions(connection)
    risks = []
    for effect in planned.losses:
        rule = rule_of(effect)
        if rule is None or rule.ask is None:
            continue
        verdict, rows, note = questions.ask(rule.ask(effect, questions.words))
        if verdict is not Verdict.SAFE:
            count = f"{rows} row{'s' * (rows != 1)}" if rows is not None else note or "an unknown number of rows"
            risks.append(f"{effect.name()}: {count}")
    return risks


def accept(connection: sa.Connection, root: Path, found: Drift, name: str, reason: str) -> list[str]:
    """Records that an object may stay as it is, for as long as its differences are exactly these.

    Returns:
        The differences.

    Raises:
        ConfigurationError: there is no such difference, or no reason is given.
    """
    if not reason.strip():
        raise ConfigurationError("--accept needs a --reason: it is kept in the ledger, and shown in the status.")
    at = found.revision or BASE
    mine = [d for d in found.open if d.name == name]
    if not mine:
        names = ", ".join(sorted({d.name for d in found.open})) or "none"
        raise ConfigurationError(f"{name!r} doesn't differ from what {at} makes; these do: {names}.")
    ledger = Ledger(connection, root)
    ledger.create()
    ledger.record(at, Direction.CHECK, Outcome.ACCEPTED, compare.digest(mine), reason.strip(), subject=name)
    return [str(d) for d in mine]


def _of_the_schema(found: Drift) -> list[Difference]:
    return [d for d in found.open if d.attribute != ROWS_TO_DO]


def _must_be_undone(connection: sa.Connection, found: Drift) -> None:
    undone = {d.name for d in _of_the_schema(found)}
    left = [d for d in differences(found.expected, snapshots.take(connection)) if d.name in undone]
    if left:
        listed = "".join(f"\n  {difference}" for difference in left)
        raise MigrationError(
            f"The statements ran, and the schema still isn't what {found.revision or BASE} makes:{listed}"
        )


def _hurry(connection: sa.Connection, seconds: float) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT set_config('lock_timeout', '{seconds * 1000:.0f}', true)")


def _broken_references(connection: sa.Connection) -> set[str]:
    if connection.dialect.name != "sqlite":
        return set()
    return {f"{child} to {parent}" for child, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check")}


def _execute(connection: sa.Connection, statement: str) -> None:
    connection.exec_driver_sql(text.for_driver(statement, connection.dialect))
