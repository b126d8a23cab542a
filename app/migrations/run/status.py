"""The status of a database: its revisions, applied, pending, failed. Reading it writes nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from alembic.script import Script, ScriptDirectory

from app.errors import SchemaError
from app.migrations import own_tables
from app.migrations.ahead import Ahead, read_ahead
from app.migrations.errors import MigrationError, PartitionsRunningOut, PendingRevisions
from app.migrations.line import Place
from app.migrations.phases import Phase, phase_of
from app.migrations.project import Project
from app.migrations.run import lock, preflight, revision_files
from app.migrations.run.ledger import Entry, Ledger, Outcome, attempts, last_applied
from app.migrations.run.lock import Holder
from app.migrations.session import Direction


class State(StrEnum):
    """The state of a revision."""

    APPLIED = "applied"
    EDITED = "edited"
    SKIPPED = "skipped"
    DUE = "due"
    PENDING = "pending"
    RUNNING = "running"
    FAILED = "failed"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class RevisionStatus:
    """One revision.

    Attributes:
        applied: the database has it, whatever became of the last attempt to revert it.
        entry: the attempt that `state` comes from; None for what was applied before the ledger, or never tried.
        unresolved: the attempt failed half-way outside its transaction: see `schema resolve`.
        phase: when it may run, seen from the release of the code that needs it.
    """

    revision: str
    title: str
    state: State
    applied: bool
    entry: Entry | None
    unresolved: bool = False
    phase: Phase | None = None


@dataclass(frozen=True)
class Status:
    """A database as this code sees it.

    Attributes:
        database: its URL, without the password.
        at: the revisions it is at; more than one only after a mistake.
        head: the last revision of the code; None if the history has several ends, see `problems`.
        holder: the run that holds the lock now.
        problems: one line for each thing that keeps `alembic upgrade head` from running.
        entries: the whole ledger, oldest first.
        place: where the ledger and the order of the revisions say that the database is.
        ahead: the partitions ahead of each table whose partitions are kept here.
    """

    database: str
    at: list[str]
    head: str | None
    holder: Holder | None
    revisions: list[RevisionStatus]
    problems: list[MigrationError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    place: Place = field(default_factory=lambda: Place((), [], frozenset()))
    ahead: list[Ahead] = field(default_factory=list)

    @property
    def pending(self) -> list[RevisionStatus]:
        """Returns the revisions that `alembic upgrade head` would run."""
        return [revision for revision in self.revisions if not revision.applied]

    @property
    def accepted(self) -> list[Entry]:
        """Returns the differences that an operator accepted, and that no later step has taken away."""
        return accepted_entries(self.entries)

    @property
    def running_out(self) -> list[PartitionsRunningOut]:
        """Returns one error for each table that has fewer than two partitions ahead; no upgrade refuses for it."""
        return [PartitionsRunningOut(ahead.warning) for ahead in self.ahead if ahead.warning]

    @property
    def exit_code(self) -> int:
        """Returns 0 in order, the code of the first problem, else 3 pending, else 10 partitions running out."""
        return self._first.exit_code if self._first is not None else 0

    @property
    def code(self) -> str:
        """Returns the same as a stable word."""
        return self._first.word if self._first is not None else "ok"

    @property
    def _first(self) -> type[MigrationError] | None:
        # What an upgrade mends comes before the partitions: the upgrade may be what makes them, or their table.
        kinds = [*map(type, self.problems), *([PendingRevisions] if self.pending else []), *map(type, self.running_out)]
        return next(iter(kinds), None)


def accepted_entries(entries: list[Entry]) -> list[Entry]:
    """Returns the entries of accepted differences, but for those that a later step has taken away."""
    gone = {entry.subject: entry.id for entry in entries if entry.outcome is Outcome.REVERTED}
    accepted = [entry for entry in entries if entry.outcome is Outcome.ACCEPTED]
    return [entry for entry in accepted if entry.id > gone.get(entry.subject, 0)]


def unmanaged(entries: list[Entry]) -> list[str]:
    """Returns the tables and columns that the operator of this database has declared another program's."""
    declared = [e.subject for e in accepted_entries(entries) if e.checksum is None and e.subject]
    return [subject.partition(" ")[2] for subject in declared]


def read_status(
    connection: sa.Connection,
    project: Project,
    script: ScriptDirectory,
    database: str,
    model_tables: Callable[[], Iterable[str]] = tuple,
) -> Status:
    """Reads the status of a database; raises `MigrationError` if the version table can't be read.

    Args:
        connection: to the database.
        project: whose revisions and partitions they are.
        script: the history.
        database: its URL for people.
        model_tables: one of them in a database without history is a problem.
    """
    at = _heads(connection)
    entries, notes = _entries(connection)
    holder = lock.holder(connection)
    heads = sorted(script.get_heads())
    problems = _problem(lambda: revision_files.require_single_head(script))
    ours = {r.revision: r for r in script.walk_revisions()}
    line = preflight.line_of(script)
    place = line.place(at, entries)
    applied = {*place.applied}
    notes += [str(error) for error in _problem(lambda: preflight.require_complete(place))]
    edited = preflight.edited(entries, line, applied, project.former_checksums)
    revisions = []
    for revision in reversed(list(ours.values())):
        found = _of_ours(
            revision, entries, applied=revision.revision in applied, edited=edited, held=holder is not None
        )
        revisions.append(replace(found, phase=phase_of(revision.module, Path(revision.path).name)))
    for unknown in [str(row) for row in at if row not in ours]:
        last = last_applied(entries, unknown)
        revisions.append(RevisionStatus(unknown, "not in this code", State.UNKNOWN, True, last))
    problems += _problem(lambda: preflight.require_known_heads(line, at, entries))
    problems += _problem(lambda: preflight.require_history(connection, at, model_tables))
    problems += [preflight.edited_revision(entry) for entry in edited[:1]]
    problems += [preflight.unresolved_failure(r.entry) for r in revisions if r.unresolved and r.entry is not None]
    problems += [p for r in revisions if not r.applied for p in _problem(_known_outcome(entries, r.revision))]
    notes += _of_newer_code(entries)
    ahead = read_ahead(connection)
    notes += _notes_on_partitions(connection, project, ahead)
    head = heads[0] if len(heads) == 1 else None
    shown = sorted(str(revision) or "''" for revision in at)
    return Status(database, shown, head, holder, revisions, problems, notes, entries, place, ahead)


def _notes_on_partitions(connection: sa.Connection, project: Project, ahead: list[Ahead]) -> list[str]:
    """Returns a note for settings that can't be used, and for each declared table whose partitions others keep."""
    kept = {each.table for each in ahead}
    query = "SELECT relname FROM pg_class WHERE relkind = 'p' AND pg_table_is_visible(oid) ORDER BY relname"
    is_server = connection.dialect.name == "postgresql"
    tables = [name for name in connection.exec_driver_sql(query).scalars() if name not in kept] if is_server else []
    try:
        project.partition_settings()
        declared = project.partitions() if tables else {}  # the models take time to load
    except SchemaError as error:
        return [str(error)]
    return [
        f"The partitions of {table} carry no mark of ours, so nothing tells when they run out, and maintain leaves "
        f"them alone. Take them over: schema partitions adopt {table}"
        for table in tables
        if table in declared
    ]


def _heads(connection: sa.Connection) -> list[str]:
    try:
        return [*own_tables.version_rows(connection)]
    except sa.exc.DBAPIError as error:
        connection.rollback()
        raise MigrationError(f"The version table can't be read: {_first_line(error)}") from None


def _entries(connection: sa.Connection) -> tuple[list[Entry], list[str]]:
    ledger = Ledger(connection)
    try:
        if ledger.exists():
            return ledger.entries(with_partitions=True), []
    except sa.exc.DBAPIError as error:
        connection.rollback()
        return [], [f"The ledger can't be read, so times and failures are missing: {_first_line(error)}"]
    return [], ["There is no ledger yet: it begins with the next command that changes something."]


def _of_ours(
    revision: Script, entries: list[Entry], *, applied: bool, edited: list[Entry], held: bool
) -> RevisionStatus:
    name, title = revision.revision, revision.doc.rstrip(".")
    tried = attempts(entries, name)
    last = tried[-1] if tried else None
    if last is not None and last.outcome is Outcome.RUNNING:
        state = State.RUNNING if held else State.CRASHED
        return RevisionStatus(name, title, state, applied, last, not (held or last.repeatable))
    if applied and (reverted := preflight.half_reverted(entries, name)) is not None:
        return RevisionStatus(name, title, State.FAILED, applied, reverted, unresolved=True)
    if applied:
        done = (Outcome.APPLIED, Outcome.ADOPTED, Outcome.SKIPPED)
        ups = [entry for entry in tried if entry.outcome in done and entry.direction is not Direction.DOWNGRADE]
        entry = ups[-1] if ups else None
        skipped = entry is not None and entry.outcome is Outcome.SKIPPED
        was_edited = name in {entry.revision for entry in edited}
        state = State.EDITED if was_edited else State.SKIPPED if skipped else State.APPLIED
        return RevisionStatus(name, title, state, applied, entry)
    if last is not None and last.outcome is Outcome.FAILED:
        return RevisionStatus(name, title, State.FAILED, applied, last, not last.repeatable)
    if last is not None and last.outcome is Outcome.DUE:
        return RevisionStatus(name, title, State.DUE, applied, last)
    return RevisionStatus(name, title, State.PENDING, applied, None)


def _known_outcome(entries: list[Entry], revision: str) -> Callable[[], None]:
    return lambda: preflight.require_known_outcome(entries, revision)


def _of_newer_code(entries: list[Entry]) -> list[str]:
    rows = [f"{entry.newer} of {entry.revision}" for entry in entries if entry.newer]
    if not rows:
        return []
    return [f"Newer code wrote rows of the ledger that this code can't judge, and leaves aside: {', '.join(rows)}."]


def _problem(check: Callable[[], None]) -> list[MigrationError]:
    try:
        check()
    except MigrationError as error:
        return [error]
    return []


def _first_line(error: sa.exc.DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]


def when(moment: datetime) -> str:
    """Returns a time for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
