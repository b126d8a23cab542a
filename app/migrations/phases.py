"""Phases: when a revision may run, seen from the release of the code that needs it.

A module of a revision may say `phase = "contract"`. A revision that says nothing may run at any time.
"""

from enum import StrEnum
from typing import Any

from app.migrations.errors import HistoryError


class Phase(StrEnum):
    """Orders the revisions of a change around a release."""

    EXPAND = "expand"  # before the release: code that runs doesn't notice it
    MIGRATE = "migrate"  # after an expansion, while old and new code run
    CONTRACT = "contract"  # after the release, when no old code runs any more


def phase_of(module: Any, file_name: str) -> Phase | None:
    """Returns the phase that a revision declares; None if it declares none.

    Raises:
        HistoryError: it declares something else.
    """
    declared = getattr(module, "phase", None)
    if declared is None:
        return None
    if declared not in list(Phase):
        raise HistoryError(f"{file_name}: phase is {declared!r}: write one of {', '.join(map(repr, map(str, Phase)))}.")
    return Phase(declared)
