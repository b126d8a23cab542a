"""Checks before the first revision runs.

Each reads and none writes. The texts name what is wrong, where, and the command or the edit that mends it.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import sqlalchemy as sa
from alembic.script import Script, ScriptDirectory

from app.migrations.checksums import checksum, recorded_parents
from app.migrations.errors import (
    ConfigurationError,
    HistoryError,
    PendingRevisions,
    UnresolvedFailure,
)
from app.migrations.line import Line, Place, Revision
from app.migrations.loading import AFTER_THE_EDIT
from app.migrations.project import BASE, OWN_TABLES, VERSION_TABLE
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


def require_single_head(script: ScriptDirectory) -> None:
    """Raises `HistoryError` if the history isn't one line, with the edits that make it one again."""
    heads = sorted(script.get_heads())
    merges = [revision for revision in script.walk_revisions() if isinstance(revision.down_revision, tuple)]
    if merges:
        merge = merges[-1]  # the oldest
        stays, moves = sorted(merge.down_revision or ())[:2]
        raise HistoryError(
            f"{Path(merge.path).name} merges two branches, and the history must be one line. Put them one after the "
            f"other: in {_edit_of_parent(script, stays, moves)}, and in {Path(merge.path).name} write down_revision = "
            f"{moves!r} instead of {merge.down_revision!r}. {AFTER_THE_EDIT}"
        )
    if len(heads) > 1:
        raise HistoryError(
            f"The history has {len(heads)} ends ({', '.join(heads)}), as after a merge of two branches. Put one after "
            f"the other: in {_edit_of_parent(script, heads[0], heads[-1])}. {AFTER_THE_EDIT}"
        )


def _edit_of_parent(script: ScriptDirectory, stays: str, moves: str) -> str:
    """Returns the edit that puts the branch with the end `moves` after `stays`."""
    shared = {revision.revision for revision in script.iterate_revisions(stays, BASE)}
    first = [r for r in script.iterate_revisions(moves, BASE) if r.revision not in shared][-1]
    return f"{Path(first.path).name} write down_revision = {stays!r} instead of {first.down_revision!r}"


def line_of(script: ScriptDirectory) -> Line:
    """Returns the order of the revisions."""
    revisions = []
    for revision in script.walk_revisions():
        down = revision.down_revision
        parents = (down,) if isinstance(down, str) else tuple(down or ())
        revisions.append(Revision(revision.revision, parents, Path(revision.path).read_bytes()))
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


def require_known_heads(script: ScriptDirectory, heads: Iterable[str], entries: list[Entry]) -> None:
    """Raises `HistoryError` if the database is at a revision that the code doesn't have."""
    revisions = {revision.revision for revision in script.walk_revisions()}
    heads = list(heads)
    for head in heads:
        if head not in revisions:
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
    present = set(sa.inspect(connection).get_table_names()) - set(OWN_TABLES)
    ours = sorted(present & set(model_tables())) if present else []
    if ours:
        raise HistoryError(
            f"This database has tables of ours ({', '.join(ours)}) but no migration "
            "history: it was made by hand or by another tool. Find the revision that its schema equals, and record "
            "that it is there: alembic stamp REVISION. Then run this again."
        )


def edited(
    entries: list[Entry], script: ScriptDirectory, applied: set[str], former: Mapping[str, frozenset[str]]
) -> list[Entry]:
    """Returns the entries of applied revisions whose code isn't what the ledger saw, oldest first.

    Another `down_revision` is no edit: it is how merged branches become one line. `former` has checksums that mean the
    same as today's, by revision.
    """
    changed = []
    known = tuple(sorted(revision.revision for revision in script.walk_revisions()))
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
        source = Path(script.get_revision(revision).path).read_bytes()
        if seen != checksum(source) and recorded_parents(source, seen, known) is None:
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
    return checksum(Path(revision.path).read_bytes())


def unresolved_failure(entry: Entry) -> UnresolvedFailure:
    """Makes the error for an attempt that failed half-way."""
    return UnresolvedFailure(
        f"The revision {entry.revision} failed on {entry.started_at:%Y-%m-%d %H:%M} UTC after it had left its "
        f"transaction ({entry.error or 'it crashed'}), so part of it may have been done, and it can't simply be run "
        "again. Undo or complete what is there, then say which: "
        f"schema resolve {entry.revision} --rolled-back (it will run again), or --applied (it won't). What you say is "
        "proved first, and a refusal tells what is left to do."
    )


def unresolved(entries: list[Entry], revision: str) -> Entry | None:
    """Returns the last attempt at a revision, if it failed half-way and was not resolved since."""
    ended_badly = (Outcome.FAILED, Outcome.RUNNING)  # the holder of the lock knows that no run is going on
    tried = attempts(entries, revision)
    if tried and tried[-1].outcome in ended_badly and not tried[-1].repeatable:
        return tried[-1]
    return None
