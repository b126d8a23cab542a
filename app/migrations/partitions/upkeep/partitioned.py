"""The upkeep of one partitioned table."""

import time

import sqlalchemy as sa

from app import db
from app.migrations import run
from app.migrations.partitions.catalog import Partition
from app.migrations.partitions.creation import Needed, create_next, needed
from app.migrations.partitions.leaves import Parent
from app.migrations.partitions.ranges import Range
from app.migrations.partitions.upkeep.maintenance import Action, Maintenance, Options, Step
from app.migrations.project import Project
from app.partitions import Declared


class Partitions:
    """One partitioned table, and what is to be done about it.

    Args:
        project: whose table.
        engine: the database.
        declared: the table.
        options: the operator's.
        result: gets steps and notes.
    """

    def __init__(
        self, project: Project, engine: sa.Engine, declared: Declared, options: Options, result: Maintenance
    ) -> None:
        self._project, self._engine, self._declared = project, engine, declared
        self._options, self._result = options, result

    def plan(self) -> None:
        """Adds the steps that a run would take."""
        with run.reading(self._project, self._engine) as connection:
            Parent.of(connection, self._declared)
            found = needed(connection, self._declared, self._options.now)
        for range_ in found.ranges:
            name = f"{self._declared.table}_p{range_.low:%Y%m%d}"
            self._result.steps.append(_creation(found, self._declared, name, range_))

    def run(self) -> None:
        """Takes the steps."""
        while self._create_next():
            pass

    def _create_next(self) -> bool:
        started = time.monotonic()
        with run.writing(self._project, self._engine, self._options.lock_timeout):
            with db.connect(self._engine) as connection:
                found = needed(connection, self._declared, self._options.now)
            made = create_next(self._project, self._engine, self._declared, self._options.now)
        if made is None:
            return False
        self._result.steps.append(_made(found, self._declared, made, time.monotonic() - started))
        return True


def _creation(found: Needed, declared: Declared, name: str, range_: Range, seconds: float = 0) -> Step:
    return Step(
        declared.table,
        Action.CREATE,
        name,
        _reason(found, declared, range_),
        range_.low,
        range_.high,
        seconds=seconds,
    )


def _made(found: Needed, declared: Declared, made: Partition, seconds: float) -> Step:
    return _creation(found, declared, made.name, Range.of(made.low, made.high), seconds)


def _reason(found: Needed, declared: Declared, range_: Range) -> str:
    until = max((own.high for own in found.attached if own.high is not None), default=None)
    there = f"rows are taken until {until}" if until is not None else "there is no partition"
    return f"from {range_.low} to {range_.high} UTC; {there}, and {declared.schedule.ahead} ahead are declared"
