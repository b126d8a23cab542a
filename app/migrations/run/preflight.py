"""Checks before the first revision runs.

Each reads and none writes. The texts name what is wrong, where, and the command or the edit that mends it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping

import sqlalchemy as sa
from alembic.script import Script, ScriptDirectory

from app.migrations import file_contents, own_tables
from app.migrations.checksums import checksum, recorded_parents
from app.migrations.errors import (
    ConfigurationError,
    HistoryError,
    PendingRevisions,
    UnresolvedFailure,
)
from app.migrations.line import Line, Place, Revision
from app.migrations.own_tables import VERSION_TABLE
from app.migrations.project import OWN_TABLES
from app.migrations.run.ledger import Entry, Outcome, attempts, last_applied
from app.migrations.session import Direction

_MINIMUM_SQLITE = (3, 35)


def require_supported(connection: sa.Connection) -> None:
    """Raises `ConfigurationError` if SQLite is too old."""
    if connection.dialect.name == "sqlite" and sqlite3.sqlite_version_info < _MINIMUM_SQLITE:
        raise ConfigurationError(
            f"SQLite {sqlite3.sqlite_version} is too old: {'.'.join(map(str, _MINIMUM_SQLITE))} or newer is needed. It "
            "comes with Python: use a newer one."
        )


def require_one_schema(connection: sa.Connection) -> None:
    """Raises `ConfigurationError` if new tables would be made in another schema than the one that has the others.

    So it is where a schema of the role's name was created after the tables, since `"$user"` comes first in the path.
    """
    if connection.dialect.name != "postgresql":
        return
    began = not connection.in_transaction()
    query = f"""SELECT quote_ident(current_schema()), current_setting('search_path'), quote_ident(
        (SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.oid = to_regclass('{VERSION_TABLE}')))"""
    current, path, home = connection.exec_driver_sql(query).one()
    if began:
        connection.rollback()
    if current is None:
        raise ConfigurationError(
            f"The search path of this session is {path or 'empty'}, and none of its schemas exists or may be used: "
            "ALTER ROLE … SET search_path = the schema of the tables."
        )
    if home not in (None, current):
        raise ConfigurationError(
            f"{VERSION_TABLE} is in the schema {home}, and new tables would be made in {current}, which comes before "
            f"it in the search path ({path}). Migrate with the schema of the tables first: ALTER ROLE … SET "
            f"search_path = {home}"
        )


def line_of(script: ScriptDirectory) -> Line:
    """Returns the order of the revisions."""
    revisions = []
    for revision in script.walk_revisions():
        down = revision.down_revision
        parents = (down,) if isinstance(down, str) else tuple(down or ())
        revisions.append(Revision(revision.revision, parents, file_contents.read(revision.path)))
    return Line(revisions)


def require_complete(place: Place) -> None:
    """Raises `PendingRevisions` if a revision below the database's version was never applied."""
    if place.missing:
        raise PendingRevisions(
            f"The database lacks {', '.join(place.missing)}, which the history has before {', '.join(place.rows)} now, "
            "as after a merge of two branches. Apply it: alembic upgrade head"
        )


def require_settled(place: Place, heads: Iterable[str]) -> None:
    """Raises an error before a downgrade if a revision below was never applied, or one above was."""
    heads = sorted(heads)
    require_complete(place)
    if heads != sorted(place.rows):
        raise HistoryError(
            f"The version table says {', '.join(heads)}, and by the ledger and the order of the revisions the database "
            f"is at {', '.join(place.rows)}, as after a merge of two branches. Put that right first: alembic upgrade "
            "head"
        )


def require_known_heads(line: Line, heads: Iterable[str], entries: list[Entry]) -> None:
    """Raises `HistoryError` if the database is at a revision that the code doesn't have."""
    heads = list(heads)
    for head in heads:
        if head not in line.order:
            raise ahead_of_code(head, entries)
        if heads.count(head) > 1:
            raise HistoryError(f"The table {VERSION_TABLE} holds {head} {heads.count(head)} times: delete all but one.")


def ahead_of_code(revision: object, entries: list[Entry]) -> HistoryError:
    """Makes the error for a database at a revision that this code doesn't have, or at what can be none."""
    if not isinstance(revision, str) or not revision or revision != revision.strip():
        return HistoryError(
            f"The table {VERSION_TABLE} holds {revision!r}, which can't be a revision. Only migrations write it: put "
            "the id of the revision that the schema equals there, as text."
        )
    entry = last_applied(entries, str(revision))
    when = f", applied {entry.started_at:%Y-%m-%d %H:%M} UTC by {entry.by}" if entry else ""
    version = f" from code {entry.code_version[:12]}" if entry and entry.code_version else ""
    return HistoryError(
        f"The database is ahead of the code: it is at {revision}{when}{version}, and alembic/versions has no such "
        "revision. Deploy code that has it; to go back, run alembic downgrade from that code."
    )


def require_history(connection: sa.Connection, heads: Iterable[str], model_tables: Callable[[], Iterable[str]]) -> None:
    """Raises `HistoryError` if the models' tables are there and no revision is: the first would fail half-way.

    `model_tables` imports the models, so it is called only if there are tables at all.
    """
    if list(heads):
        return
    present = {*own_tables.tables(connection)} - {*OWN_TABLES}
    ours = sorted(present & set(model_tables())) if present else []
    if ours:
        raise HistoryError(
            f"This database has tables of ours ({', '.join(ours)}) but no migration "
            "history: it was made by hand or by another tool. See what differs, and take it over: schema adopt"
        )


def edited(
    entries: list[Entry], line: Line, applied: Iterable[str], former: Mapping[str, frozenset[str]]
) -> list[Entry]:
    """Returns the entries of applied revisions whose code isn't what the ledger saw, oldest first.

    Another `down_revision` is no edit: it is how merged branches become one line. `former` has checksums that mean the
    same as today's, by revision.
    """
    changed = []
    for revision in sorted(applied):
        with_checksum = [
            entry
            for entry in attempts(entries, revision)
            if entry.checksum
            and entry.outcome in (Outcome.APPLIED, Outcome.ADOPTED)
            and entry.direction is not Direction.DOWNGRADE
        ]
        seen = with_checksum[-1].checksum if with_checksum else None
        if seen is None or seen in former.get(revision, ()):
            continue
        source = line.source(revision)
        if seen != checksum(source) and recorded_parents(source, seen, line.order) is None:
            changed.append(with_checksum[-1])
    return changed


def edited_revision(entry: Entry) -> HistoryError:
    """Makes the error for a revision whose code has changed since it was applied."""
    return HistoryError(
        f"The revision {entry.revision} was edited after it was applied here ({entry.started_at:%Y-%m-%d %H:%M} UTC by "
        f"{entry.by}). Restore the file, and make the change in a new revision; if the edit changes nothing that "
        f"matters, say so: schema resolve {entry.revision} --applied"
    )


def checksum_of(revision: Script) -> str:
    """Returns the checksum of a revision's file."""
    return checksum(file_contents.read(revision.path))


def unresolved_failure(entry: Entry) -> UnresolvedFailure:
    """Makes the error for an attempt that failed half-way."""
    subject, left = f"The revision {entry.revision}", "part of it may have been done"
    is_there, is_gone = "--applied (it won't)", "--rolled-back (it will run again)"
    if entry.direction is Direction.DOWNGRADE:
        subject, left = f"The downgrade of {entry.revision}", "part of the revision may be gone"
        is_there, is_gone = "--applied (all of it is there again)", "--rolled-back (nothing of it is left)"
    return UnresolvedFailure(
        f"{subject} failed on {entry.started_at:%Y-%m-%d %H:%M} UTC after it had left its "
        f"transaction ({entry.error or 'it crashed'}), so {left}, and it can't simply be run "
        f"again. Undo or complete what is there, then say which: schema resolve {entry.revision} {is_gone}, or "
        f"{is_there}. What you say is proved first, and a refusal tells what is left to do."
    )


def require_resolved(entries: list[Entry], planned: Iterable[str], applied: Iterable[str]) -> None:
    """Raises an error if the last attempt at a revision leaves open what the database has of it.

    Raises:
        UnresolvedFailure: a planned revision failed half-way, or the downgrade of an applied one did.
        HistoryError: newer code has written the end of the last attempt at a planned revision.
    """
    planned = list(planned)
    for revision in planned:
        require_known_outcome(entries, revision)
    of_plan = (unresolved(entries, revision) for revision in planned)
    for entry in [*of_plan, *(half_reverted(entries, revision) for revision in sorted(applied))]:
        if entry is not None:
            raise unresolved_failure(entry)


def require_known_outcome(entries: list[Entry], revision: str) -> None:
    """Raises `HistoryError` if only newer code knows how the last attempt at a revision ended.

    To run it could be to run it twice, and to pass over it could be to leave it out. Only a planned revision is
    refused: where the version table is past one, it is applied, whatever the ledger says. `schema resolve` is the way
    out without that code: it proves what the database has, and its row counts from then on.
    """
    tried = attempts(entries, revision)
    if tried and tried[-1].newer:
        by = f" ({tried[-1].code_version[:12]})" if tried[-1].code_version else ""
        raise HistoryError(
            f"Newer code{by} has written {tried[-1].newer!r} for the revision {revision} into the ledger, which this "
            "code doesn't know, so it can't tell whether that is applied. Upgrade with that code; or let it be proved: "
            f"schema resolve {revision} --applied, or --rolled-back"
        )


def unresolved(entries: list[Entry], revision: str) -> Entry | None:
    """Returns the last attempt at a revision, if it failed half-way and was not resolved since."""
    ended_badly = (Outcome.FAILED, Outcome.RUNNING)  # the holder of the lock knows that no run is going on
    tried = attempts(entries, revision)
    if tried and tried[-1].outcome in ended_badly and not tried[-1].repeatable:
        return tried[-1]
    return None


def half_reverted(entries: list[Entry], revision: str) -> Entry | None:
    """Returns the downgrade of an applied revision that failed half-way, unless it was resolved or stamped since."""
    entry = unresolved(entries, revision)
    if entry is None or entry.direction is not Direction.DOWNGRADE:
        return None
    stamped = any(e.direction is Direction.STAMP and e.outcome is Outcome.APPLIED and e.id > entry.id for e in entries)
    return None if stamped else entry
