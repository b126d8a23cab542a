"""The gate: no revision loses data unless somebody has said that it may.

Before the first revision runs, all of them are rehearsed and the database is asked whether rows are at risk. What
nobody can see beforehand, because it depends on what the run itself does, is asked again before each statement, and
stopped inside its transaction. Consent stands in the revision, with a reason, and speaks for its upgrade; a downgrade
needs the operator's, each time: `-x accept-data-loss=REVISION`.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.migrations import copies, effects, grammar, operations, rehearsal
from app.migrations.effects import Effect, Kind
from app.migrations.errors import ConfigurationError, DataLossRefused
from app.migrations.questions import Answer, Questions
from app.migrations.safety import Finding, Run, Verdict, rule_of

ACCEPTED = "accepted by the operator"
WHILE_RUNNING = "seen only while it ran, and rolled back; what had finished stays applied"


class Gate:
    """Judges the revisions of one run.

    Args:
        connection: what they run on.
        accepted: revisions whose losses the operator accepts.
        note: hears what couldn't be told, in one line each.
    """

    def __init__(self, connection: sa.Connection, accepted: set[str], note: Callable[[str], None]) -> None:
        self._connection = connection
        self._accepted = accepted
        self._note = note
        self._questions = Questions(connection.dialect)
        self._run = self._new_run(live=True)
        self._step: Any = None
        self._acknowledged: dict[str, dict[str, str]] = {}
        self._consented: dict[str, dict[str, str]] = {}
        self._used: dict[str, str] = {}
        self._refusal: DataLossRefused | None = None

    def judge(self, plan: list[Any]) -> list[Finding]:
        """What the steps of a plan would do to the rows that are there, before any of them runs.

        Returns:
            Everything that is at risk or can't be told, consented to or not.

        Raises:
            ConfigurationError: an `acknowledged` is misspelt, or so is a revision that the operator accepts.
        """
        planned = [step.revision.revision for step in plan]
        for revision in sorted(self._accepted - set(planned)):
            raise ConfigurationError(
                f"accept-data-loss speaks of {revision!r}, which isn't about to run; these are: {', '.join(planned)}."
            )
        findings: list[Finding] = []
        run = self._new_run(live=False)
        with rehearsal.session(self._connection) as reading:
            for step in plan:
                found = rehearsal.rehearse(step, reading)
                findings += self._judged(step, found, run, reading)
        return findings

    def refuse(self, findings: list[Finding]) -> None:
        """Stops the run if something is at risk that nobody has consented to.

        Raises:
            DataLossRefused: it has; the message has three beats for each finding.
        """
        for finding in findings:
            if finding.verdict is Verdict.UNKNOWN:
                self._note(f"{finding.revision}: can't tell about {finding.effect.name()}: {finding.note}")
        refused = [f for f in findings if f.verdict is Verdict.AT_RISK and not self._consent(f)]
        if refused:
            raise DataLossRefused("\n".join(dict.fromkeys(finding.text() for finding in refused)))

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Asks before each statement, for as long as the context lasts."""
        thread = threading.get_ident()

        def before(connection: sa.Connection, cursor: Any, statement: str, *_: object) -> None:
            if threading.get_ident() == thread:
                self._before(connection, cursor, statement)

        sa.event.listen(sa.Engine, "before_cursor_execute", before)
        token = operations.observer.set(self._operation)
        try:
            yield
        finally:
            operations.observer.reset(token)
            sa.event.remove(sa.Engine, "before_cursor_execute", before)

    def begin(self, step: Any) -> None:
        """To be called before each revision."""
        self._step = None if step.info.is_stamp else step
        self._used = dict(self._consented.get(step.revision.revision, {})) if self._step else {}
        self._refusal = None
        self._run.settle()

    def end(self) -> str | None:
        """To be called after each revision; says what was consented to, for the ledger."""
        self._step = None
        return "; ".join(f"{name}: {reason}" for name, reason in self._used.items()) or None

    def _new_run(self, *, live: bool) -> Run:
        dialect = self._connection.dialect.name
        return Run(live=live, home=self._questions.home(self._connection), any_case=dialect == "sqlite")

    # --- before the run -------------------------------------------------------

    def _judged(self, step: Any, found: rehearsal.Rehearsal, run: Run, reading: sa.Connection) -> list[Finding]:
        if found.around:
            found.effects.append(found.around)
        findings = []
        for effect in found.effects:
            asked = self._ask(effect, run, reading)
            if asked is not None:
                findings.append(self._finding(step, effect, *asked))
            self._take_note(effect, run, reading)
        names = {effect.name() for effect in found.effects} | {f.effect.name() for f in findings}
        acknowledged = self._acknowledged[step.revision.revision] = consents(step)
        if step.info.is_upgrade and not found.stopped:
            for name in acknowledged.keys() - names:
                raise ConfigurationError(
                    f"{_file(step)}: acknowledged speaks of {name!r}, and the revision does no such thing; it does: "
                    f"{', '.join(sorted(names)) or 'nothing that could lose data'}."
                )
        if found.stopped:
            self._note(
                f"{step.revision.revision}: not looked at to its end ({found.stopped}); from there on each statement "
                "is looked at before it runs"
            )
        return findings

    def _finding(self, step: Any, effect: Effect, verdict: Verdict, rows: int | None, note: str) -> Finding:
        return Finding(step.revision.revision, _file(step), step.info.is_upgrade, effect, verdict, rows, note)

    def _ask(self, effect: Effect, run: Run, connection: sa.Connection) -> Answer | None:
        """The verdict on an effect; None if it is harmless."""
        concerned = run.concerns(effect)
        rule = rule_of(effect)
        if concerned is None or rule is None or _harmless(concerned):
            return None
        if rule.ask is None:
            return Verdict.AT_RISK, None, ""
        ask = self._questions
        answer: Answer
        match concerned.kind:
            case Kind.ADD_COLUMN if self._is_there(effect, run, connection):  # IF NOT EXISTS, or it fails by itself
                return None
            case Kind.ADD_UNIQUE if not concerned.whole:
                answer = Verdict.UNKNOWN, None, "a unique index on an expression, or on some rows"
            case Kind.ALTER_TYPE if (labels := run.made(concerned.to[0])) is not None:
                answer = ask.outside(connection, concerned, labels)
            case _ if not rule.loses and not run.live and concerned.table in run.touched:
                answer = Verdict.UNKNOWN, None, "the same run changes the rows first"
            case _:
                answer = ask.ask(connection, rule.ask(concerned, ask.words(connection)))
        return None if answer[0] is Verdict.SAFE else answer

    def _take_note(self, effect: Effect, run: Run, connection: sa.Connection) -> None:
        """Lets the run know of an effect, unless that makes what is there already: IF NOT EXISTS, TEMPORARY."""
        if not self._is_there(effect, run, connection):
            run.note(effect)

    def _is_there(self, effect: Effect, run: Run, connection: sa.Connection) -> bool:
        """Whether something that is to be made exists already."""
        if run.is_gone(effect) or run.key(effect.table) in run.tables:
            return False
        match effect.kind:
            case Kind.CREATE_TABLE if not effect.to:
                return self._questions.exists(connection, effect.table)
            case Kind.ADD_COLUMN:
                return self._questions.exists(connection, run.old_name(effect.table), effect.columns[0])
        return False

    def _consent(self, finding: Finding) -> bool:
        name = finding.effect.name()
        reason = self._acknowledged[finding.revision].get(name)
        if finding.revision in self._accepted:
            reason = ACCEPTED
        if reason is not None:
            self._consented.setdefault(finding.revision, {})[name] = reason
        return reason is not None

    # --- during the run -------------------------------------------------------

    def _operation(self, context: Any, operation: Any, carry_out: Callable[[], Any]) -> Any:
        # On PostgreSQL every operation ends in statements that say what they do; on SQLite a table copy doesn't.
        if self._step is not None and self._connection.dialect.name == "sqlite":
            for effect in effects.of_operation(operation, context.get_context().dialect):
                self._check(effect)
        return carry_out()

    def _before(self, connection: sa.Connection, cursor: Any, statement: str) -> None:
        if self._step is None:
            return
        if self._refusal is not None:  # the revision has caught it
            raise self._refusal
        if cursor.connection is not self._connection.connection.driver_connection:
            self._check(Effect(Kind.OPAQUE, rehearsal.ANOTHER))
            return
        dialect = connection.dialect.name
        for effect in grammar.effects_of(dialect, statement, cursor.connection):
            if dialect == "sqlite" and copies.is_copy(effect):
                continue
            lost = copies.lost(effect, self._run, cursor.connection) if dialect == "sqlite" else None
            for each in [effect] if lost is None else lost:
                self._check(each)

    def _check(self, effect: Effect) -> None:
        asked = self._ask(effect, self._run, self._connection)
        self._take_note(effect, self._run, self._connection)
        if asked is None or asked[0] is not Verdict.AT_RISK:
            return
        verdict, rows, note = asked
        effect = replace(effect, where=rehearsal.place(sys._getframe()))  # noqa: SLF001 - how to find the caller's line
        finding = self._finding(self._step, effect, verdict, rows, note or WHILE_RUNNING)
        reason = consents(self._step).get(effect.name()) if self._step.info.is_upgrade else None
        if finding.revision in self._accepted:
            reason = ACCEPTED
        if reason is None:
            self._refusal = DataLossRefused(finding.text())
            raise self._refusal
        self._used[effect.name()] = reason


def consents(step: Any) -> dict[str, str]:
    """What a revision acknowledges, for its upgrade.

    Raises:
        ConfigurationError: it isn't a dictionary of names and reasons, or a reason is empty.
    """
    if not step.info.is_upgrade:
        return {}
    acknowledged = getattr(step.revision.module, "acknowledged", {})
    if not isinstance(acknowledged, dict) or not all(
        isinstance(name, str) and isinstance(reason, str) for name, reason in acknowledged.items()
    ):
        raise ConfigurationError(
            f'{_file(step)}: acknowledged must look like {{"drop_column users.legacy": "reason"}}.'
        )
    for name, reason in acknowledged.items():
        if not reason.strip():
            raise ConfigurationError(f"{_file(step)}: acknowledged gives no reason for {name!r}.")
    return acknowledged


def _harmless(effect: Effect) -> bool:
    match effect.kind:
        case Kind.ADD_COLUMN:
            return not effect.to
        case Kind.UPDATE:
            return not effect.whole
        case Kind.RENAME_TABLE | Kind.RENAME_COLUMN:
            return True
    return False


def _file(step: Any) -> str:
    return Path(step.revision.path).name
