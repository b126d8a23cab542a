"""What `schema check` finds: whether a database is what its revision says, and whether the models want something else.

Three comparisons, none of which writes: the database with the committed snapshot of its revision; the rows with the
`verify()` of data revisions that were applied; at head, the models with the database, of which only what the first
didn't name already is told.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.migrations import snapshots
from app.migrations.autogenerate.unmanaged import Unmanaged
from app.migrations.errors import DriftDetected
from app.migrations.run.ledger import Entry, Outcome
from app.migrations.run.status import Status
from app.migrations.snapshots import Snapshot, Snapshots, kind_of, owner_of
from app.migrations.snapshots.differences import NAME, Difference, differences

ROWS_TO_DO = "rows still to do"


@dataclass(frozen=True)
class Drift:
    """How a database differs from what its revision makes.

    Attributes:
        revision: the revision it is at, None before the first.
        expected: the schema that this revision makes.
        found: the schema that is there.
        open: the differences, unless somebody has accepted them.
        accepted: those that somebody has.
        notes: what couldn't be looked at.
    """

    revision: str | None
    expected: Snapshot
    found: Snapshot
    open: list[Difference]
    accepted: list[Difference]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """What `schema check` tells.

    Attributes:
        wanted: what the models want that the database hasn't, a few words each.
    """

    status: Status
    drift: Drift
    wanted: list[str]

    @property
    def exit_code(self) -> int:
        """0 in order, 8 if anything differs, or what the status says: 3 pending, 4 and 5 for its problems."""
        return 8 if self.code == "drift" else self.status.exit_code

    @property
    def code(self) -> str:
        """The same as a stable word."""
        differs = bool(self.drift.open or self.wanted)
        return "drift" if differs and not self.status.problems else self.status.code


def read(connection: sa.Connection, config: Config, script: ScriptDirectory, status: Status) -> Check:
    """Checks the database that `connection` is connected to.

    Raises:
        HistoryError: the revision that the database is at has no snapshot.
    """
    revision = status.at[0] if len(status.at) == 1 else None
    known = revision is None or revision in {r.revision for r in script.walk_revisions()}
    if not known:
        return Check(status, Drift(revision, {}, {}, [], []), [])
    drift = of(connection, config, script, revision, status.entries)
    wanted = [] if revision != status.head else _wanted(connection, config, drift)
    return Check(status, drift, wanted)


def of(
    connection: sa.Connection, config: Config, script: ScriptDirectory, revision: str | None, entries: list[Entry]
) -> Drift:
    """How a database differs from what `revision` makes.

    Args:
        connection: where it is.
        config: says where the snapshots are, and what is unmanaged.
        script: the revisions, of which those with a `verify()` up to `revision` are asked for rows left behind.
        revision: the revision; None is an empty schema.
        entries: the ledger: what was accepted.

    Raises:
        HistoryError: the revision has no snapshot.
    """
    unmanaged = Unmanaged(config)
    expected = unmanaged.without(Snapshots(config).of(connection.dialect.name, revision))
    found = unmanaged.without(snapshots.take(connection))
    left, notes = _left_behind(connection, script, revision)
    every = [*differences(expected, found), *left]
    accepted = _accepted(every, entries)
    return Drift(revision, expected, found, [d for d in every if d not in accepted], accepted, notes)


def unaccepted(diffs: Iterable[Any], entries: list[Entry]) -> list[Any]:
    """Those of Alembic's differences that are of no object which somebody has accepted as it is."""
    told = [entry.subject or "" for entry in entries if entry.outcome is Outcome.ACCEPTED]
    named = _named(Difference(subject, "", None, None) for subject in told)
    return [diff for diff in diffs if not (_subjects(diff) & named)]


def digest(found: Iterable[Difference]) -> str:
    """A checksum of all differences of one object: it is accepted as long as they are exactly these."""
    facts = sorted(json.dumps([d.name, d.attribute, d.expected, d.found], sort_keys=True) for d in found)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _accepted(found: list[Difference], entries: list[Entry]) -> list[Difference]:
    told = {(entry.subject, entry.checksum) for entry in entries if entry.outcome is Outcome.ACCEPTED}
    accepted = {name for name in {d.name for d in found} if (name, digest(d for d in found if d.name == name)) in told}
    return [d for d in found if d.name in accepted]


def _left_behind(
    connection: sa.Connection, script: ScriptDirectory, revision: str | None
) -> tuple[list[Difference], list[str]]:
    """Rows that data revisions up to `revision` have left to do."""
    found, notes = [], []
    for applied in reversed(list(script.iterate_revisions(revision, "base")) if revision else []):
        verify = getattr(applied.module, "verify", None)
        if verify is None:
            continue
        name = f"revision {applied.revision}"
        try:
            with connection.begin_nested():
                rows = verify(connection)
        except sa.exc.DBAPIError as error:
            notes.append(f"{name}: its verify() can't look any more: {str(error.orig).strip().partition(chr(10))[0]}")
            continue
        if rows:
            found.append(Difference(name, ROWS_TO_DO, 0, rows))
    return found, notes


def _wanted(connection: sa.Connection, config: Config, drift: Drift) -> list[str]:
    from app.migrations.autogenerate.revision import describe

    config.attributes["connection"] = connection
    try:
        command.check(config)
    except DriftDetected as error:
        named = _named([*drift.open, *drift.accepted])
        return [describe(diff) for diff in error.diffs if not (_subjects(diff) & named)]
    return []


def _named(found: Iterable[Difference]) -> set[str]:
    """The objects that differences speak of, under both names; a table that comes or goes speaks for its parts too."""
    names = set()
    for difference in found:
        table = kind_of(difference.name) == "table"
        whole = table and difference.attribute in ("", NAME)
        name = difference.name.partition(" ")[2]
        names.add(f"{name} itself" if table and not whole else name)
        if kind_of(difference.name) == "column" and difference.attribute in ("", NAME):
            names |= {f"in {name}", f"in {owner_of(difference.name)}.{difference.found}"}
        if difference.attribute == NAME:
            names.add(difference.found if table else f"{owner_of(difference.name)}.{difference.found}")
    return names


def _subjects(diff: Any) -> set[str]:
    """What one of Alembic's differences speaks of: the object, and its table."""
    if isinstance(diff, list):
        return {subject for part in diff for subject in _subjects(part)}
    kind, *rest = diff
    noun = kind.partition("_")[2]
    if kind.startswith("modify_"):
        return {rest[1], f"{rest[1]}.{rest[2]}"}
    if noun == "column":
        return {rest[1], f"{rest[1]}.{rest[2].name}"}
    if noun == "trigger_function":
        return {f"{getattr(rest[0], 'name', rest[0])}()"}
    if noun in ("table", "table_comment"):
        return {rest[0].name, f"{rest[0].name} itself"}
    table = getattr(rest[0], "table", rest[-1])
    table = getattr(table, "name", table)
    built_on = {f"in {table}.{column.name}" for column in getattr(rest[0], "columns", ())}
    for key in getattr(rest[0], "elements", ()):
        built_on |= {key.target_fullname.partition(".")[0], f"in {key.target_fullname}"}
    return {table, f"{table}.{getattr(rest[0], 'name', rest[0])}", *built_on}
