"""Releases: the last revision whose code runs everywhere, and what that code no longer maps.

`schema release` writes both into alembic.ini, where the linter and autogenerate read them:

    [schema]
    released = 20260228000000
    unmapped = users.legacy, old_table
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.config import Config

RELEASED = "released"
UNMAPPED = "unmapped"
_HEADER = re.compile(r"\[(.+)\]")


@dataclass(frozen=True)
class Release:
    """A release: a revision, and the code that knows it.

    Attributes:
        revision: the newest revision that the released code knows.
        unmapped: tables, and columns as `users.nick`, that the schema has at that revision and the code doesn't use.
    """

    revision: str
    unmapped: frozenset[str]

    def uses(self, table: str, column: str = "") -> bool:
        """Returns whether the released code may use a table, or a column of it, if the schema had it then."""
        return table not in self.unmapped and f"{table}.{column}" not in self.unmapped


def read_release(config: "Config") -> Release | None:
    """Returns the release that alembic.ini names; None if it names none."""
    revision = (config.file_config.get("schema", RELEASED, fallback="") or "").strip()
    return Release(revision, _unmapped(config)) if revision else None


def of_database(connection: "sa.Connection", config: "Config") -> Release | None:
    """Returns the release of a database's code: its revision there, with alembic.ini's unmapped columns.

    A database that has been expanded for the next release is at that one's revision. None if it is at no revision, or
    at more than one.
    """
    from alembic.runtime.migration import MigrationContext

    heads = MigrationContext.configure(connection).get_current_heads()
    return Release(heads[0], _unmapped(config)) if len(heads) == 1 else None


def _unmapped(config: "Config") -> frozenset[str]:
    return frozenset((config.file_config.get("schema", UNMAPPED, fallback="") or "").replace(",", " ").split())


def with_release(text: str, revision: str, unmapped: Iterable[str]) -> str:
    """Returns the text of an alembic.ini that names a release; every other line, and every comment, is as before.

    Args:
        text: the text, with its own ends of lines.
        revision: the released revision.
        unmapped: what its code doesn't use.
    """
    lines = [*io.StringIO(text, newline="")]  # as ConfigParser divides it; str.splitlines knows more ends
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += end
    if not any(_header(line) == "schema" for line in lines):
        lines += [*([end] if lines else []), f"[schema]{end}"]
    for name, value in ((RELEASED, revision), (UNMAPPED, ", ".join(sorted(unmapped)))):
        _set(lines, name, f"{name} = {value}".rstrip() + end)
    return "".join(lines)


def _set(lines: list[str], name: str, option: str) -> None:
    """Sets an option of `[schema]`, in its place or at the section's end."""
    start = next(place for place, line in enumerate(lines) if _header(line) == "schema")
    stop = next((place for place in range(start + 1, len(lines)) if _header(lines[place]) is not None), len(lines))
    place, last, indentation = start + 1, start, ""
    while place < stop:
        if not _says_something(lines[place]):
            place += 1
            continue
        line, following = lines[place], _end_of_value(lines, place, stop)
        indentation = line[: _indent(line)]
        if re.match(rf"{name}\s*[=:]", line.strip(), re.IGNORECASE):
            # Comments may stand between the lines of a value.
            comments = [line for line in lines[place + 1 : following] if line.strip() and not _says_something(line)]
            lines[place:following] = [indentation + option, *comments]
            return
        last, place = following - 1, following
    lines.insert(last + 1, indentation + option)


def _end_of_value(lines: list[str], place: int, stop: int) -> int:
    """Returns the place after an option, whose value goes on in lines that are indented further."""
    end = place + 1
    for following in range(place + 1, stop):
        if not _says_something(lines[following]):
            continue
        if _indent(lines[following]) <= _indent(lines[place]):
            break
        end = following + 1
    return end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _says_something(line: str) -> bool:
    """Returns whether a line is neither empty nor a comment."""
    return bool(line.strip()) and not line.strip().startswith(("#", ";"))


def _header(line: str) -> str | None:
    """Returns the name of the section that a line begins; None for any other line."""
    match = _HEADER.match(line)
    return match[1] if match is not None else None
