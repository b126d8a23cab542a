"""Findings: what the rules of stalls match in revisions, but for what is waived with a reason."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alembic.config import Config
from sqlalchemy.dialects import postgresql

from app.migrations.data_loss import Preview
from app.migrations.errors import ConfigurationError, HistoryError
from app.migrations.rules.stalls import RULES, Severity, Stall
from app.migrations.rules.watch import Watch
from app.migrations.session import Direction, Step
from app.migrations.snapshots import Snapshots

WAIVED = "waived"  # in `[schema]` of alembic.ini: names of rules


@dataclass(frozen=True)
class Finding:
    """Something that would stall others, in a revision.

    Attributes:
        file: the revision's file.
        line: the line in it; 1 if it isn't known.
    """

    revision: str
    file: Path
    line: int
    stall: Stall

    def text(self) -> str:
        """Returns the place and the three beats: the harm, what to do instead, the code to paste."""
        harm, instead, code = self.stall.beats()
        code = code.replace("\n", "\n  ")
        place = f"{self.file.name}:{self.line}: {self.stall.severity} [{self.stall.rule}]"
        waiver = f'acknowledged = {{"{self.stall.name}": "why nobody waits"}}'
        return f"{place} {harm}\n  Instead: {instead}\n  {code}\n  If nobody waits for it: {waiver}"


@dataclass
class Linted:
    """The findings of some revisions.

    Attributes:
        revisions: how many were looked at.
        notes: what couldn't be looked at, a line each.
    """

    revisions: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Returns 9 if there are findings, else 0; a note is none."""
        return 9 if any(finding.stall.severity is not Severity.NOTE for finding in self.findings) else 0


def lint(config: Config, revisions: Sequence[Any]) -> Linted:
    """Looks at the upgrades of revisions, without a database.

    Args:
        config: Alembic's; `waived` in `[schema]` names rules that the project does without.
        revisions: Alembic's scripts, the oldest first.

    Raises:
        ConfigurationError: `waived` names no rule, or a waiver of a revision matches nothing.
    """
    waived = set((config.file_config.get("schema", WAIVED, fallback="") or "").split())
    if unknown := sorted(waived - RULES.keys()):
        raise ConfigurationError(
            f"waived in alembic.ini names no rule: {', '.join(unknown)}. There are: {', '.join(RULES)}."
        )
    done, snapshots = Linted(), Snapshots(config)
    preview = Preview(postgresql.dialect())  # type: ignore[no-untyped-call]
    made = set[str]()
    for script in revisions:
        step = Step(script.revision, Direction.UPGRADE, script.doc, Path(script.path), script.module)
        try:
            facts = snapshots.of("postgresql", script.down_revision)
        except HistoryError as error:
            facts = {}
            done.notes.append(str(error))
        watch = Watch(facts, made)  # nobody waits for a table that the same upgrade makes
        watch.begin_revision()
        rendered = preview.render(step)
        stalls = [stall for statement, place in rendered.statements for stall in watch.see(statement, place)]
        done.findings += _unwaived(step, [stall for stall in stalls if stall.rule not in waived])
        if rendered.stopped:
            done.notes.append(f"{step.file_name}: not looked at to its end ({rendered.stopped})")
        done.revisions += 1
    return done


def _unwaived(step: Step, stalls: list[Stall]) -> list[Finding]:
    acknowledged = getattr(step.module, "acknowledged", {})
    reasons = {name: reason for name, reason in acknowledged.items() if isinstance(reason, str) and reason.strip()}
    assert step.file is not None
    found = {stall.name for stall in stalls}
    for name in reasons:
        if name.partition(" ")[0] in RULES and name not in found:
            raise ConfigurationError(
                f"{step.file.name}: acknowledged speaks of {name!r}, and the revision does no such thing; it does: "
                f"{', '.join(sorted(found)) or 'nothing that could stall others'}."
            )
    return [
        Finding(step.revision, step.file, _line(stall.where), stall) for stall in stalls if stall.name not in reasons
    ]


def _line(where: str) -> int:
    match = re.search(r"\d+", where)
    return int(match[0]) if match else 1


__all__ = ["Finding", "Linted", "Severity", "lint"]
