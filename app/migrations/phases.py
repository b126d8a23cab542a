"""Phases: when a revision may run, seen from the release of the code that needs it; loads no Alembic.

A module of a revision may say `phase = "contract"`. A revision that says nothing may run at any time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

_Item = TypeVar("_Item")


class Phase(StrEnum):
    """Orders the revisions of a change around a release."""

    EXPAND = "expand"  # before the release: code that runs doesn't notice it
    MIGRATE = "migrate"  # after an expansion, while old and new code run
    CONTRACT = "contract"  # after the release, when no old code runs any more

    def is_after(self, last: "Phase | None") -> bool:
        """Returns whether a run up to the phase `last` stops before a revision of this one; None stops nowhere."""
        order = [*Phase]
        return last is not None and order.index(self) > order.index(last)


class Phased(Protocol):
    """A revision, as far as phases go."""

    @property
    def revision(self) -> str:
        """Its id."""

    @property
    def phase(self) -> Phase | None:
        """The phase that it declares."""


@dataclass(frozen=True)
class Stop:
    """The place where an upgrade ends because of the phase that was asked for.

    Attributes:
        revision: the first revision that doesn't run.
        phase: the phase of that revision.
        left: the number of revisions that don't run.
        behind: revisions among these whose own phase could run: history is a line, so nothing passes the first.
    """

    revision: str
    phase: Phase
    left: int
    behind: tuple[str, ...]

    def text(self, *, by_schema: bool = False) -> str:
        """Returns the line on it, with the command that runs the others: one of `schema`, or of `alembic`."""
        revisions = "1 revision" if self.left == 1 else f"{self.left} revisions"
        beginning = f"Stopped before {self.revision} ({self.phase}), {revisions} left: {_HARM[self.phase]}."
        if self.behind:
            only = "only code" if self.phase is Phase.CONTRACT else "code"
            return (
                f"{beginning} {', '.join(self.behind)} behind it must wait, and so must code that needs it. When "
                f"{only} that knows its expansion runs: alembic upgrade {self.revision}, and then the same again"
            )
        if self.phase is Phase.CONTRACT:
            command = "schema deploy" if by_schema else "alembic upgrade head"
            return f"{beginning} When only the new code runs: {command}"
        command = f"schema deploy --phase {self.phase}" if by_schema else f"alembic -x phase={self.phase} upgrade head"
        return f"{beginning} When the release has begun: {command}"


_HARM = {
    Phase.MIGRATE: "it moves rows while old and new code run",
    Phase.CONTRACT: "it breaks code of before the release",
}


def until_stop(
    items: Sequence[_Item], last: Phase | None, as_phased: Callable[[_Item], Phased]
) -> tuple[list[_Item], Stop | None]:
    """Returns the first items of a plan, up to what comes after the phase `last`, and the place of the stop.

    Args:
        items: steps of an upgrade, in order.
        last: the last phase that may run; None for all.
        as_phased: gives the revision of an item.
    """
    revisions = [as_phased(item) for item in items]
    for place, revision in enumerate(revisions):
        if revision.phase is not None and revision.phase.is_after(last):
            later = revisions[place:]
            behind = tuple(other.revision for other in later if other.phase and not other.phase.is_after(last))
            return [*items[:place]], Stop(revision.revision, revision.phase, len(later), behind)
    return [*items], None


def phase_of(module: Any, file_name: str) -> Phase | None:
    """Returns the phase that a revision declares; None if it declares none.

    Raises:
        HistoryError: it declares something else.
    """
    from app.migrations.errors import HistoryError  # loads Alembic

    declared = getattr(module, "phase", None)
    if declared is None:
        return None
    if declared not in list(Phase):
        raise HistoryError(f"{file_name}: phase is {declared!r}: write one of {', '.join(map(repr, map(str, Phase)))}.")
    return Phase(declared)
