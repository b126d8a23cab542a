"""One command of Alembic's: which it is, what runs it, and what it is told by those who call it in process."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from alembic.config import Config

from app.migrations.own_tables import PARTITIONS
from app.migrations.phases import Phase, phase_of
from app.migrations.terminal import Ask

LockCheck = Callable[[], None]
"""Raises `LockNotObtained`, with the reason as a clause, if the migration lock was lost with
the connection, the server or the file."""


class Command(StrEnum):
    """Alembic's commands, as far as they differ here."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    MOVE = "move"  # stamp and ensure_version: all others that write to the database
    REVISION = "revision"
    CHECK = "check"
    MERGE = "merge"
    LOOK = "look"  # current, history, heads and all others that only read

    @classmethod
    def of(cls, opts: Mapping[str, Any]) -> "Command":
        """Tells the command from what it hands to Alembic's environment; other tools hand over the same.

        `check` differs from `revision`, `merge` from those that look, and the commands that move revisions from each
        other, only in the name of their function `fn`: this is the one place that depends on it.
        """
        function = opts["fn"]
        if "destination_rev" in opts:
            return {"downgrade": cls.DOWNGRADE, "do_stamp": cls.MOVE}.get(function.__name__, cls.UPGRADE)
        if "revision_context" in opts:
            return cls.CHECK if function.__qualname__.startswith("check.") else cls.REVISION
        if function.__qualname__.startswith("merge."):
            return cls.MERGE
        return cls.MOVE if function.__name__ == "do_ensure_version" else cls.LOOK

    @property
    def moves_revisions(self) -> bool:
        """Returns whether it writes to the database."""
        return self in (self.UPGRADE, self.DOWNGRADE, self.MOVE)

    @property
    def compares(self) -> bool:
        """Returns whether it compares the database with the models."""
        return self in (self.REVISION, self.CHECK)


class Direction(StrEnum):
    """The direction of an attempt; a ledger entry names it."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"
    CHECK = "check"
    PARTITIONS = PARTITIONS  # no attempt at a revision: what became of a partition
    UNKNOWN = "unknown"  # newer code's; no attempt of this code


@dataclass(frozen=True)
class Step:
    """One step of a plan: a revision to apply or revert, or a stamp.

    Attributes:
        revision: its id; of a stamp where the database is to be, `base` before the first.
        title: the first line of its docstring.
        file: the revision's file; None for a stamp.
        module: the loaded revision; None for a stamp.
    """

    revision: str
    direction: Direction
    title: str = ""
    file: Path | None = None
    module: Any = None

    @classmethod
    def of(cls, step: Any) -> "Step":
        """Takes it from one of Alembic's steps."""
        if step.info.is_stamp:
            return cls(str(next(iter(step.info.destination_revision_ids), "base")), Direction.STAMP)
        direction = Direction.UPGRADE if step.info.is_upgrade else Direction.DOWNGRADE
        revision = step.revision
        title = revision.doc.rstrip(".")
        return cls(revision.revision, direction, title, Path(revision.path), revision.module)

    @property
    def file_name(self) -> str:
        """The name of the revision's file; empty for a stamp."""
        return self.file.name if self.file is not None else ""

    @property
    def phase(self) -> Phase | None:
        """The phase that the revision declares."""
        return phase_of(self.module, self.file_name)

    def __str__(self) -> str:
        return f"{self.direction} {self.revision} {self.title}".rstrip()


@dataclass
class Session:
    """Options that a caller in process gives to Alembic's commands; kept in their configuration.

    Attributes:
        lock: of the database's lock, if the caller holds it.
        reporter: hears what happens.
        ask: asks the developer; if None, a terminal is asked if there is one and no caller.
        not_a_rename: columns, as `users.nick`, and tables that are dropped, whatever is added beside them.
        name_revision: names a revision by its differences where no message is given.
        from_drift: the revision takes over what a database has.
        accepted_losses: revisions whose losses the operator accepts.
        phase: the last phase that an upgrade runs; None for all.
        called_by_schema: the caller is one of our commands, whose options a refusal names.
        facts: the snapshot from which the compared database was made just now; None for any other database.
        taken: the snapshot of the compared database, if the caller has read it already.
        notes: differences that only the history of the database has left, by the last comparison with the models.
        unmanaged: what the compared database itself declares unmanaged, in its ledger.
        held_back: changes that wait for a release, a line each.
        left_out: a line on what that comparison couldn't compare; empty if it compared everything.
        answers_notes: the caller's answer has both, so they aren't logged.
    """

    lock: LockCheck | None = None
    reporter: Any = None  # a Reporter of the room `run`, which is above this module
    ask: Ask | None = None
    not_a_rename: Collection[str] = ()
    name_revision: Callable[[list[Any]], str] | None = None
    from_drift: bool = False
    accepted_losses: Collection[str] = ()
    phase: Phase | None = None
    called_by_schema: bool = False
    facts: dict[str, Any] | None = None
    taken: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    unmanaged: list[str] = field(default_factory=list)
    held_back: list[str] = field(default_factory=list)
    left_out: str = ""
    answers_notes: bool = False

    @property
    def models_compared(self) -> str:
        """Returns a stable word: the last comparison with the models was `whole` or `partly` made."""
        return "partly" if self.left_out else "whole"

    @property
    def all_notes(self) -> list[str]:
        """Returns what that comparison left out, the notes, and what is held back."""
        return [*filter(None, [self.left_out]), *self.notes, *self.held_back]

    @classmethod
    def of(cls, config: Config) -> "Session":
        """Returns the session of a configuration, made by the first who asks."""
        session = config.attributes.setdefault("schema", cls())
        assert isinstance(session, cls)
        return session
