"""Names of revisions: ids that are times, and messages offered for differences."""

import datetime as dt
import re
from collections.abc import Iterable
from typing import Any

from alembic.script import ScriptDirectory

from app.migrations.autogenerate.diffs import Change, changes_of
from app.migrations.errors import MigrationError

# UTC, one second apart at least: the ids sort as the revisions follow each other.
ID_FORMAT = "%Y%m%d%H%M%S"

_GENERATED_BY_ALEMBIC = re.compile(r"[0-9a-f]{12}")
_SEVERAL = 3


def next_id(script: ScriptDirectory, requested: str | None) -> str:
    """Returns the id of a new revision: the one that was requested, else the time, after all heads.

    Raises:
        MigrationError: the requested id isn't a time.
    """
    if requested and not _GENERATED_BY_ALEMBIC.fullmatch(requested):
        if not _is_time(requested):
            raise MigrationError(
                f"The revision id {requested} isn't a time, as the others are: leave out --rev-id, or give "
                "YYYYMMDDHHMMSS."
            )
        return requested
    following = [following_id(head) for head in script.get_heads() if _is_time(head)]
    return max([dt.datetime.now(dt.UTC).strftime(ID_FORMAT), *following])


def following_id(revision: str) -> str:
    """Returns the id one second after a revision's."""
    return (_time(revision) + dt.timedelta(seconds=1)).strftime(ID_FORMAT)


def offered_name(diffs: Iterable[Any]) -> str:
    """Returns a message for a revision that makes these differences: `add users.nickname`."""
    changes = [change for diff in diffs for change in changes_of(diff)]
    # Indexes and constraints come along with their tables and columns.
    main = [change for change in changes if change.kind in ("table", "column")] or changes
    facts: dict[str, set[str]] = {}
    for change in main:
        facts.setdefault(change.address, set()).add(change.fact)
    phrases = dict.fromkeys(_phrase(change, facts[change.address]) for change in main)
    if len(phrases) > _SEVERAL:
        tables = sorted({str(change.table or change.name) for change in main})
        return f"change {', '.join(tables)}" if len(tables) <= _SEVERAL else f"change {len(tables)} tables"
    verbs: dict[str, list[str]] = {}
    for verb, thing in phrases:
        verbs.setdefault(verb, []).append(thing)
    return " and ".join(f"{verb} {', '.join(things)}" for verb, things in verbs.items())


def _phrase(change: Change, facts: set[str]) -> tuple[str, str]:
    if change.kind == "table comment":
        return "change", f"comment of {change.table}"
    if facts - {""} == {"nullable"} and change.fact:
        return "no longer require" if change.new else "require", change.address
    if change.kind in ("table", "column"):
        return change.verb, change.address + (f" to {change.new}" if change.verb == "rename" else "")
    return change.verb, f"{change.kind} {change.name}"


def _is_time(revision: str) -> bool:
    try:
        return _time(revision).strftime(ID_FORMAT) == revision  # strptime doesn't insist on all the digits
    except ValueError:
        return False


def _time(revision: str) -> dt.datetime:
    return dt.datetime.strptime(revision, ID_FORMAT).replace(tzinfo=dt.UTC)
