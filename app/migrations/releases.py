"""Releases: the last revision whose code runs everywhere, and what that code no longer maps."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.config import Config

RELEASED = "released"  # options of `[schema]` in alembic.ini, which `schema release` writes
UNMAPPED = "unmapped"


@dataclass(frozen=True)
class Release:
    """A release of the code.

    Attributes:
        revision: the newest revision that the released code knows.
        unmapped: tables, and columns as `users.nick`, that the schema has at that revision and the code doesn't use.
    """

    revision: str
    unmapped: frozenset[str]


def read_release(config: "Config") -> Release | None:
    """Returns the release that alembic.ini names; None if it names none."""
    revision = (config.file_config.get("schema", RELEASED, fallback="") or "").strip()
    if not revision:
        return None
    unmapped = (config.file_config.get("schema", UNMAPPED, fallback="") or "").replace(",", " ").split()
    return Release(revision, frozenset(unmapped))
