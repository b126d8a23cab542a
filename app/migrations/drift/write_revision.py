"""A revision written from a drift: it makes every other database like this one.

Alembic compares the database with the models; its operations are taken the other way round. Alembic doesn't see a view
or the predicate of an index: these become statements for this kind of database alone.
"""

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.operations import MigrateOperation, ops
from alembic.script import Script

from app.migrations import run, snapshots
from app.migrations.autogenerate import changes_of, flat
from app.migrations.drift.check import Drift, check
from app.migrations.drift.model_edits import model_edits
from app.migrations.drift.resolve import record_adopted
from app.migrations.errors import ConfigurationError, MigrationError, PendingRevisions
from app.migrations.project import Project
from app.migrations.session import Session
from app.migrations.snapshots import NAME, Difference, Snapshot, Snapshots, address_of, kind_of, owner_of

_COLON = re.compile(r"(?<![:\w\\]):(?=\w)")


@dataclass(frozen=True)
class WrittenRevision:
    """The result of `write_revision`.

    Attributes:
        file: the revision.
        snapshot: its snapshot for this kind of database.
        make_snapshots: the command that makes the one for the other kind, on whichever database it runs.
        model_edits: what to change in the models, a line each.
    """

    revision: str
    file: Path
    snapshot: Path
    make_snapshots: str
    model_edits: list[str]


def write_revision(
    project: Project, message: str, engine: sa.Engine | None = None, *, lock_timeout: float | None = None
) -> WrittenRevision:
    """Writes a revision that makes every other database like this one, and records it here as applied.

    Args:
        project: whose revision.
        message: names the revision.
        engine: the database, which must be at head; the project's if None.
        lock_timeout: as in `deploy`.

    Raises:
        ConfigurationError: there is no message, nothing to write, or something that no revision should take over.
        PendingRevisions: the database isn't at head.
    """
    if not message.strip():
        raise ConfigurationError("--write-revision needs a --message: it names the revision.")
    with run.writing(project, engine, lock_timeout) as (config, held_engine):
        result = check(project, held_engine)
        if result.status.problems:
            raise result.status.problems[0]
        if result.status.at != [result.status.head]:
            raise PendingRevisions(
                "A revision can only follow the last one. Bring the database there: alembic upgrade head"
            )
        with held_engine.connect() as connection:
            drifted = _FromDrift(connection, result.drift)
        written = _write(config, message, drifted)
        _require_same_result(project, held_engine, written, drifted)
        file = Snapshots(config).save(held_engine.dialect.name, written.revision, drifted.snapshot)
        with run.transaction(held_engine) as connection:
            record_adopted(connection, project.root, run.history(project), written.revision, message)
    files = run.from_root(project, Path(written.path)), run.from_root(project, file)
    edits = model_edits(project, drifted.differences, drifted.operations)
    return WrittenRevision(written.revision, *files, run.snapshot_command(project.root), edits)


@dataclass(eq=False)
class _StatementsOp(MigrateOperation):
    """SQL for one kind of database."""

    dialect: str
    statements: list[str]


@renderers.dispatch_for(_StatementsOp)
def _render_statements(_context: AutogenContext, operation: _StatementsOp) -> list[str]:
    # A colon before a word would be a parameter.
    escaped = [_COLON.sub(r"\:", statement) for statement in operation.statements]
    lines = [f"op.execute({statement!r})" for statement in escaped]
    return [f"if op.get_context().dialect.name == {operation.dialect!r}:", *lines, ""]


class _FromDrift:
    """A revision that is to be written.

    Attributes:
        expected: the schema of the revision before.
        snapshot: the schema that the new revision makes.
        differences: what it does; the database is expected here, and the snapshot differs from it.
        operations: what it does, as far as Alembic has operations for it; set by `directives`.

    Raises:
        ConfigurationError: there is nothing that a revision could take over.
    """

    def __init__(self, connection: sa.Connection, drift: Drift) -> None:
        self._undo = drift.of_schema
        if not self._undo:
            raise ConfigurationError("There is nothing to write: the schema is what its revision makes.")
        for difference in self._undo:
            _require_valid_index(difference)
        accepted = {name for d in drift.accepted for name in (d.name, d.found_name)}
        self._dialect = connection.dialect.name
        self._present = drift.read(connection)
        self._addresses = {address_of(name) for d in self._undo for name in (d.name, d.found_name)}
        self._tables = {owner_of(d.name) for d in self._undo if kind_of(d.name) == "table" and not d.attribute}
        self.expected = drift.expected
        # Unmanaged objects are left out on both sides.
        inverse = snapshots.differences(drift.found, drift.expected)
        self.differences = [d for d in inverse if d.name not in accepted]
        self.snapshot = snapshots.in_order(snapshots.goal(drift.expected, self._present, self.differences).end)
        self.operations: list[MigrateOperation] = []

    @property
    def not_a_rename(self) -> list[str]:
        """Returns the columns and tables of the database that aren't renamed ones of the snapshot."""
        renamed = {d.name for d in self.differences if d.attribute == NAME}
        return [address_of(name) for name in self._present if name not in renamed]

    def directives(self, _context: Any, _revision: Any, scripts: list[ops.MigrationScript]) -> None:
        """Exchanges upgrade and downgrade, and adds the statements; Alembic's `process_revision_directives`."""
        script = scripts[0]
        assert script.upgrade_ops is not None
        assert script.downgrade_ops is not None
        self.operations = list(self._of_drift(script.downgrade_ops.ops))
        undo = list(self._of_drift(script.upgrade_ops.ops))
        settled = {fact for operation in flat(self.operations) for fact in _settled_facts(operation)}
        statements = self._statements(self.expected, self._present, self.differences, settled)
        undo_statements = self._statements(self._present, self.expected, self._undo, settled)
        script.upgrade_ops = ops.UpgradeOps([*self.operations, *statements])
        script.downgrade_ops = ops.DowngradeOps([*undo, *undo_statements])

    def _of_drift(self, operations: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
        """Returns the operations on objects that differ; the models may want more than that."""
        for operation in operations:
            if isinstance(operation, ops.ModifyTableOps):
                inner = list(self._of_drift(operation.ops))
                if inner:
                    yield ops.ModifyTableOps(operation.table_name, inner)
                continue
            addresses = {a for change in changes_of(operation.to_diff_tuple()) for a in change.addresses}
            if addresses & self._addresses or {a.partition(".")[0] for a in addresses} & self._tables:
                yield operation

    def _statements(
        self, start: Snapshot, end: Snapshot, differences: list[Difference], settled: set[tuple[str, str]]
    ) -> list[MigrateOperation]:
        """Returns the statements for what is left when the operations have run."""
        left = [
            d for d in differences if not settled & {(address_of(name), d.attribute) for name in (d.name, d.found_name)}
        ]
        after = snapshots.goal(start, end, [d for d in differences if d not in left]).end
        plan = snapshots.plan(self._dialect, snapshots.goal(after, end, left))
        return [_StatementsOp(self._dialect, plan.within_a_transaction)] if plan.all else []


def _require_valid_index(difference: Difference) -> None:
    facts = difference.found if not difference.attribute else {difference.attribute: difference.found}
    if kind_of(difference.name) == "index" and (facts or {}).get("valid") is False:
        raise ConfigurationError(
            f"{difference.name} is INVALID: its build failed, and no revision would make another like it. Finish it: "
            "schema check --revert"
        )


def _settled_facts(operation: MigrateOperation) -> Iterator[tuple[str, str]]:
    """Returns the facts that an operation settles, each with the address of its object."""
    for change in changes_of(operation.to_diff_tuple()):
        if change.verb == "change":
            facts = [change.fact]
        elif change.verb == "rename":
            facts = [NAME]
        else:
            facts = ["comment"] if change.kind == "table comment" else ["", NAME, "definition"]
        yield from product(change.addresses, facts)


def _write(config: Config, message: str, drifted: _FromDrift) -> Script:
    config.set_section_option("post_write_hooks", "hooks", "tidy")  # the snapshot is made here, and compared
    session = Session.of(config)
    # The snapshots' facts have settled what is a rename: there is nothing to ask.
    session.from_drift, session.ask, session.not_a_rename = True, lambda *_: "y", drifted.not_a_rename
    with redirect_stdout(io.StringIO()):  # Alembic reports there what it does
        written = command.revision(config, message, autogenerate=True, process_revision_directives=drifted.directives)
    assert isinstance(written, Script)
    return written


def _require_same_result(project: Project, engine: sa.Engine, written: Script, drifted: _FromDrift) -> None:
    """Runs the new revision on a scratch database at the revision before, if the server lets us make one.

    Raises:
        MigrationError: it makes something else than what is there; its file is removed again.
    """
    try:
        with run.scratch_database(project, engine) as scratch_engine:
            with run.transaction(scratch_engine) as connection:
                run.prepare(connection, drifted.expected, run.history(project), str(written.down_revision))
            run.upgrade(project.config(scratch_engine), written.revision)
            with scratch_engine.connect() as connection:
                wrong = snapshots.differences(drifted.snapshot, snapshots.take(connection))
    except run.NoScratch:
        return
    if wrong:
        Path(written.path).unlink()
        listed = "".join(f"\n  {difference}" for difference in wrong)
        raise MigrationError(f"A revision made from this wouldn't make it elsewhere, so it wasn't kept:{listed}")
