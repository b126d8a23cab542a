"""The work on one table, there or back: tried under the migration lock until it is done."""

import time
from dataclasses import replace
from typing import NoReturn

import sqlalchemy as sa
from alembic.config import Config

from app.migrations import run
from app.migrations.errors import MigrationError
from app.migrations.partitions.conversion.brief import Brief
from app.migrations.partitions.conversion.look import declared_as, require_postgresql
from app.migrations.partitions.conversion.plan import Plan
from app.migrations.project import Project
from app.migrations.session import Session
from app.partitions import Declared

_LET_GO_SECONDS = 2.0  # longer than a waiting deploy sleeps between two looks at the lock


class Work:
    """The work on one table, under the migration lock.

    Args:
        project: whose database.
        config: of Alembic, from `run.writing`.
        engine: the database.
        declared: the table.

    Attributes:
        done: what becomes of the table, in one word or two.
    """

    done: str

    def __init__(self, project: Project, config: Config, engine: sa.Engine, declared: Declared) -> None:
        self._project, self._config, self._engine, self._declared = project, config, engine, declared
        held = Session.of(config).lock
        assert held is not None
        self._brief = Brief(engine, project.limits(), held, self._say)

    def go_on(self) -> Plan | None:
        """Does what is left; returns None if a table stays in use."""
        raise NotImplementedError

    def _done(self, plan: Plan) -> Plan:
        return replace(plan, done=True, held_seconds=self._brief.held_seconds)

    def _refuse(self, lines: list[str]) -> NoReturn:
        listed = "".join(f"\n  {line}" for line in lines)
        raise MigrationError(f"{self._declared.table} was not {self.done}, for these are in the way:{listed}")

    def _say(self, line: str) -> None:
        run.log.info("%s: %s", self._declared.table, line)


def finish(
    kind: type[Work], project: Project, table: str, engine: sa.Engine | None, lock_timeout: float | None
) -> Plan:
    """Does a work to its end; while tables stay in use, a deploy gets the migration lock from time to time.

    Args:
        kind: the work.
        project: whose database.
        table: its name.
        engine: the database; the project's if None.
        lock_timeout: the longest wait for another migration, in seconds; else the project's limit.

    Raises:
        MigrationError: something is in the way, or a step failed. The service goes on, and the same command as well.
    """
    started, declared = time.monotonic(), declared_as(project, table)
    with run.reading(project, engine) as connection:
        require_postgresql(connection, table)
    while True:
        with run.writing(project, engine, lock_timeout) as (config, held_engine):
            done = kind(project, config, held_engine, declared).go_on()
        if done is not None:
            return replace(done, database=run.shown(project, engine), seconds=time.monotonic() - started)
        time.sleep(_LET_GO_SECONDS)
