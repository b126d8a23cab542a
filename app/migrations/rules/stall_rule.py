"""The form of a rule of stalls."""

from dataclasses import dataclass
from enum import StrEnum

CONCURRENT = "with op.concurrently():\n    "


class Severity(StrEnum):
    """Ranks findings: an error keeps others waiting or fails, a warning may, a note is for later."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class StallRule:
    """A rule; its texts may have `{table}`, `{name}`, `{object}`, `{columns}` and `{to}`.

    Attributes:
        grows: the harm takes as long as the table is large, so a small table is none.
    """

    harm: str
    instead: str
    code: str
    severity: Severity = Severity.ERROR
    grows: bool = False
