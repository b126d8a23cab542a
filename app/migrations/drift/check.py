"""`schema check`: compares a database with what its revision makes, its rows with `verify()`, and both with the models.

Nothing is written. The models are compared only at head; a difference that the snapshot comparison has named already
isn't reported twice.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.migrations import run, snapshots
from app.migrations.autogenerate import Unmanaged, changes_of, describe
from app.migrations.errors import DriftDetected
from app.migrations.project import Project
from app.migrations.run import Entry, Status
from app.migrations.session import Session
from app.migrations.snapshots import (
    NAME,
    NOT_READ,
    Declared,
    Difference,
    Snapshot,
    Snapshots,
    address_of,
    kind_of,
    none_declared,
)

ROWS_TO_DO = "rows still to do"


@dataclass(frozen=True)
class Drift:
    """The differences of a database from what its revision makes.

    Attributes:
        revision: the revision that the database is at, None before the first.
        expected: the schema that this revision makes.
        found: the schema that is there.
        open: the differences, without accepted ones.
        accepted: the accepted differences.
        notes: what couldn't be read.
        declared: the models' partitioned tables.
        taken: the schema as it was read.
        present: the schema that is there, with facts of which a snapshot of a former version says nothing.
    """

    revision: str | None
    expected: Snapshot
    found: Snapshot
    open: list[Difference]
    accepted: list[Difference]
    notes: list[str] = field(default_factory=list)
    declared: Declared = none_declared
    taken: Snapshot | None = None
    present: Snapshot = field(default_factory=dict)

    def read(self, connection: sa.Connection) -> Snapshot:
        """Returns the schema that is there now, in the form that is compared."""
        return snapshots.in_plain_form(self.expected, snapshots.take(connection), self.declared)

    def without_accepted(self, but: Callable[[str], bool]) -> Snapshot:
        """Returns the schema that is there, with accepted differences as they are expected; `but` leaves some out."""
        kept = [d for d in self.accepted if d.attribute != ROWS_TO_DO and not but(d.name)]
        return snapshots.goal(self.present, self.expected, kept).end

    @property
    def of_schema(self) -> list[Difference]:
        """Returns the open differences that DDL can undo."""
        return [difference for difference in self.open if difference.attribute != ROWS_TO_DO]


@dataclass(frozen=True)
class Check:
    """The result of `schema check`.

    Attributes:
        wanted: what the models want and the database lacks, a few words each.
        models_compared: `whole`, `partly`, or `not` if the database isn't at head.
        notes_on_models: what that comparison left out, and what the history of the database has left.
        not_read: what no comparison of this kind of database reads.
    """

    status: Status
    drift: Drift
    wanted: list[str] = field(default_factory=list)
    models_compared: str = "not"
    notes_on_models: list[str] = field(default_factory=list)
    not_read: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """Returns 8 if anything differs; else 0, or the status' own: 3 pending, 4 and 5 for its problems."""
        return 8 if self.code == "drift" else self.status.exit_code

    @property
    def code(self) -> str:
        """Returns the same as a stable word."""
        differs = bool(self.drift.open or self.wanted)
        return "drift" if differs and not self.status.problems else self.status.code


def check(project: Project, engine: sa.Engine | None = None) -> Check:
    """Compares the database with what its revision makes, and at head with the models. Writes nothing.

    Raises:
        MigrationError: the database can't be reached, or its revision has no snapshot.
    """
    script = run.history(project)
    with run.reading(project, engine) as connection:
        state = run.read_status(connection, project, script, run.shown(project, engine))
        return compare(connection, project.config(), script, state, project.partitions)


def compare(
    connection: sa.Connection,
    config: Config,
    script: ScriptDirectory,
    state: Status,
    declared: Declared = none_declared,
) -> Check:
    """Compares the database of `connection`, which has the status `state`: see `check`."""
    run.require_complete(state.place)
    revision = state.at[0] if len(state.at) == 1 else None
    if revision is not None and revision not in {known.revision for known in script.walk_revisions()}:
        # The status reports it; it has no snapshot to compare with.
        return Check(state, Drift(revision, {}, {}, [], []))
    drift = find_drift(connection, config, script, revision, state.entries, declared)
    not_read = NOT_READ[connection.dialect.name]
    if revision != state.head:
        return Check(state, drift, not_read=not_read)
    session = Session.of(config)
    session.answers_notes, session.taken = True, drift.taken
    wanted = _wanted(connection, config, drift, state.entries)
    return Check(state, drift, wanted, session.models_compared, session.all_notes, not_read)


def current_drift(project: Project, connection: sa.Connection) -> Drift:
    """Returns the drift of the database of `connection` from the revision it is at."""
    script = run.history(project)
    state = run.read_status(connection, project, script, "")
    run.require_complete(state.place)
    revision = state.at[0] if state.at else None
    return find_drift(connection, project.config(), script, revision, state.entries, project.partitions)


def find_drift(
    connection: sa.Connection,
    config: Config,
    script: ScriptDirectory,
    revision: str | None,
    entries: list[Entry],
    declared: Declared = none_declared,
) -> Drift:
    """Returns the differences of a database from what `revision` makes; None is an empty schema.

    Raises:
        HistoryError: the revision has no snapshot.
    """
    unmanaged = Unmanaged(config)
    dialect = connection.dialect.name
    expected = unmanaged.without(Snapshots(config).of(dialect, revision))
    taken = snapshots.take(connection)
    present = snapshots.in_plain_form(expected, unmanaged.without(taken), declared)
    found = snapshots.as_former(dialect, expected, present)
    rows, notes = _rows_to_do(connection, script, revision)
    of_schema = snapshots.without_spelling(connection, expected, snapshots.differences(expected, found))
    differences = [*of_schema, *rows]
    accepted = _accepted(differences, entries)
    left = [d for d in differences if d not in accepted]
    return Drift(revision, expected, found, left, accepted, notes, declared, taken, present)


def unaccepted(diffs: Iterable[Any], entries: list[Entry]) -> list[Any]:
    """Returns those of Alembic's differences that concern no accepted object."""
    subjects = [entry.subject or "" for entry in run.accepted_entries(entries)]
    accepted = _concerned(Difference(subject, "", None, None) for subject in subjects)
    return [diff for diff in diffs if not _subjects(diff) & accepted]


def digest(differences: Iterable[Difference]) -> str:
    """Returns a checksum of all differences of an object: it is accepted as long as they are exactly these."""
    facts = sorted(json.dumps([d.name, d.attribute, d.expected, d.found], sort_keys=True) for d in differences)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _accepted(differences: list[Difference], entries: list[Entry]) -> list[Difference]:
    # Without a checksum an object is another program's, whatever becomes of it.
    digests = {(entry.subject, entry.checksum) for entry in run.accepted_entries(entries)}
    names = {d.name for d in differences}
    accepted = {
        name
        for name in names
        if (name, None) in digests or (name, digest(d for d in differences if d.name == name)) in digests
    }
    return [d for d in differences if d.name in accepted]


def _rows_to_do(
    connection: sa.Connection, script: ScriptDirectory, revision: str | None
) -> tuple[list[Difference], list[str]]:
    """Asks the data revisions up to `revision`; returns differences, and notes on those that can't answer."""
    differences, notes = [], []
    for applied in reversed(list(script.iterate_revisions(revision, "base")) if revision else []):
        verify = getattr(applied.module, "verify", None)
        if verify is None:
            continue
        name = f"revision {applied.revision}"
        try:
            with connection.begin_nested():  # a failed query would end PostgreSQL's whole transaction
                rows = verify(connection)
        except sa.exc.DBAPIError as error:
            notes.append(f"{name}: its verify() can't look: {str(error.orig).strip().partition(chr(10))[0]}")
            continue
        if rows:
            differences.append(Difference(name, ROWS_TO_DO, 0, rows))
    return differences, notes


def _wanted(connection: sa.Connection, config: Config, drift: Drift, entries: list[Entry]) -> list[str]:
    config.attributes["connection"] = connection  # Alembic's commands run on it
    try:
        command.check(config)
    except DriftDetected as error:
        concerned = _concerned([*drift.open, *drift.accepted])
        # A snapshot of a former version says nothing of some facts, so an accepted one isn't among the drift.
        return [describe(diff) for diff in unaccepted(error.diffs, entries) if not _subjects(diff) & concerned]
    return []


def _concerned(differences: Iterable[Difference]) -> set[str]:
    """Returns the objects that differences concern, under both names.

    A missing or extra table stands for its parts too; with another difference it stands for `users itself`. A missing
    or extra column stands for what is built `in users.nick` too.
    """
    names = set()
    for difference in differences:
        kind, whole = kind_of(difference.name), difference.attribute in ("", NAME)
        addresses = {address_of(difference.name), address_of(difference.found_name)}
        if kind == "table" and not whole:
            addresses = {f"{address} itself" for address in addresses}
        names |= addresses
        if kind == "column" and whole:
            names |= {f"in {address}" for address in addresses}
    return names


def _subjects(diff: Any) -> set[str]:
    """Returns the objects that one of Alembic's differences concerns, in the same words."""
    subjects = set()
    for change in changes_of(diff):
        subjects |= {change.table, *change.addresses}
        subjects |= {f"{change.table} itself"} if change.kind in ("table", "table comment") else set()
        if change.fact == "owner":  # of a sequence, whose table is called otherwise
            subjects |= {str(column).partition(".")[0] for column in (change.old, change.new)}
        for column in change.built_on:
            subjects |= {column.partition(".")[0], f"in {column}"}
    return subjects
