"""Findings: what the rules of stalls match in revisions, but for what is waived with a reason."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from alembic.config import Config
from sqlalchemy.dialects import postgresql

from app.migrations.data_loss import Preview
from app.migrations.errors import ConfigurationError, HistoryError
from app.migrations.line import Line, read_line
from app.migrations.lint.live import Live
from app.migrations.releases import Release, read_release
from app.migrations.rules.releases import RELEASES, DeployOrder
from app.migrations.rules.stalls import RULES, Severity, Stall
from app.migrations.rules.watch import Watch
from app.migrations.session import Direction, Step
from app.migrations.snapshots import Snapshot, Snapshots
from app.migrations.sql import Work
from app.sql_text import bare

WAIVED = "waived"  # in `[schema]` of alembic.ini: names of rules
_DATA = "it can't be written as SQL"  # a data revision of ours, which works page by page


@dataclass(frozen=True)
class Finding:
    """Something that would stall others, in a revision.

    Attributes:
        file: the revision's file.
        line: the line in it; 1 if it isn't known.
        size: the size of the table, as a database tells it; empty without one.
    """

    revision: str
    file: Path
    line: int
    stall: Stall
    size: str = ""

    def beats(self) -> tuple[str, str, str]:
        """Returns the harm, what to do instead, and the code to paste."""
        harm, instead, code = self.stall.beats()
        return f"{harm} ({self.stall.work.table}: {self.size})" if self.size else harm, instead, code

    def text(self) -> str:
        """Returns the place and the three beats."""
        harm, instead, code = self.beats()
        code = code.replace("\n", "\n  ")
        place = f"{self.file.name}:{self.line}: {self.stall.severity} [{self.stall.rule}]"
        waiver = f'acknowledged = {{"{self.stall.name}": "reason"}}'
        return f"{place} {harm}\n  Instead: {instead}\n  {code}\n  If it may stay: {waiver}"


@dataclass
class Linted:
    """The findings of some revisions.

    Attributes:
        revisions: how many were looked at.
        notes: what couldn't be looked at, or was left out, a line each.
    """

    revisions: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Returns 9 if there are findings, else 0; a note is none."""
        return 9 if any(finding.stall.severity is not Severity.NOTE for finding in self.findings) else 0


def lint(
    config: Config,
    revisions: Sequence[Any],
    *,
    small: Sequence[str] = (),
    partitioned: Sequence[str] = (),
    live: Live | None = None,
    release: Release | None = None,
) -> Linted:
    """Looks at the upgrades of revisions.

    Args:
        config: Alembic's; `waived` in `[schema]` names rules that the project does without.
        revisions: Alembic's scripts, the oldest first.
        small: tables that may be locked, as their models say.
        partitioned: tables that may be partitioned, as their models say.
        live: what a database tells about its tables.
        release: the released code; None for what alembic.ini says of it.

    Raises:
        ConfigurationError: `waived` names no rule, or a waiver of a revision matches nothing.
    """
    waived = _waived_rules(config)
    done, snapshots, small_ones = Linted(), Snapshots(config), {*small, *(live.small if live else ())}
    preview = Preview(postgresql.dialect())  # type: ignore[no-untyped-call]
    order = _deploy_order(revisions, release or read_release(config), snapshots)
    known = live or Live()
    watch = Watch(
        utc=known.utc, order=order, partitioned=partitioned, parts=known.partitions
    )  # nobody waits for a table that the same upgrade makes
    for script in revisions:
        step = Step(script.revision, Direction.UPGRADE, script.doc, Path(script.path), script.module)
        watch.begin(_facts_before(script, snapshots, done.notes), vouched=getattr(step.module, "repeatable", False))
        stalls = [Stall(rule, work, _place_of_phase(step)) for rule, work in order.begin(script.revision, step.phase)]
        stalls += _stalls(step, preview, watch, done.notes)
        stalls = [stall for stall in stalls if not (stall.rule in RELEASES and order.is_replaced(stall.work))]
        of_small = [s for s in stalls if RULES[s.rule].grows and bare(s.work.table) in small_ones]
        wanted = [stall for stall in stalls if stall.rule not in waived and stall not in of_small]
        sizes = live.sizes if live else {}
        done.findings += [
            Finding(step.revision, Path(script.path), _line(stall.where), stall, sizes.get(bare(stall.work.table), ""))
            for stall in _unwaived(step, wanted, {stall.name for stall in stalls})
        ]
        done.notes += [_left_out(step, stall, sizes.get(bare(stall.work.table), "")) for stall in of_small]
        done.revisions += 1
    done.findings = [found for found in done.findings if not _served_later(found.stall, watch)]
    return done


def _waived_rules(config: Config) -> set[str]:
    waived = set((config.file_config.get("schema", WAIVED, fallback="") or "").split())
    if unknown := sorted(waived - RULES.keys()):
        raise ConfigurationError(
            f"waived in alembic.ini names no rule: {', '.join(unknown)}. There are: {', '.join(RULES)}."
        )
    return waived


def _facts_before(script: Any, snapshots: Snapshots, notes: list[str]) -> Snapshot:
    try:
        return snapshots.of("postgresql", script.down_revision)
    except HistoryError as error:
        notes.append(str(error))
        return {}


def _deploy_order(revisions: Sequence[Any], release: Release | None, snapshots: Snapshots) -> DeployOrder:
    line = Line([])
    with suppress(FileNotFoundError):  # a folder of files that are no history
        line = read_line(Path(revisions[0].path).parent) if revisions else line
    return DeployOrder(line, release, partial(snapshots.of, "postgresql"))


def _place_of_phase(step: Step) -> str:
    """Returns the line that declares a revision's phase."""
    assert step.file is not None
    lines = step.file.read_text(encoding="utf-8").splitlines()
    return next((f"line {number}" for number, line in enumerate(lines, 1) if line.startswith("phase")), "")


def _left_out(step: Step, stall: Stall, size: str) -> str:
    size = f" ({size})" if size else ""
    return f"{step.file_name}: {stall.name} is left out, for {stall.work.table} is small{size}"


def _stalls(step: Step, preview: Preview, watch: Watch, notes: list[str]) -> Iterator[Stall]:
    lock = getattr(step.module, "timeouts", {}).get("lock")
    if lock == 0:
        yield Stall("missing-lock-timeout", Work("set_limit", "", "lock_timeout"), "")
    rendered = preview.render(step)
    for statement, place in rendered.statements:
        yield from watch.see(statement, place)
    unread = rendered.stopped
    if not rendered.statements and rendered.effects:  # code past `op`
        unread = unread or rendered.effects[0].target
    if unread:
        notes.append(f"{step.file_name}: not looked at to its end ({unread})")
        if not unread.startswith(_DATA):
            yield Stall("unreadable", Work("unreadable", "", "rest of the revision"), unread)


def _served_later(stall: Stall, watch: Watch) -> bool:
    """Returns whether an index for a foreign key is made after it."""
    indexes = watch.known_indexes(bare(stall.work.table)) if stall.rule == "unindexed-foreign-key" else []
    columns = stall.work.columns
    return any(index.columns[: len(columns)] == columns for index in indexes)


def _unwaived(step: Step, stalls: list[Stall], known: set[str]) -> list[Stall]:
    acknowledged = getattr(step.module, "acknowledged", {})
    reasons = {name: reason for name, reason in acknowledged.items() if isinstance(reason, str) and reason.strip()}
    for name in reasons:
        if name.partition(" ")[0] in RULES and name not in known:
            raise ConfigurationError(
                f"{step.file_name}: acknowledged speaks of {name!r}, and the revision does no such thing; it does: "
                f"{', '.join(sorted(known)) or 'nothing that could stall others'}."
            )
    return [stall for stall in stalls if stall.name not in reasons]


def _line(where: str) -> int:
    match = re.search(r"line (\d+)", where)
    return int(match[1]) if match else 1


__all__ = ["Finding", "Linted", "Severity", "lint"]
