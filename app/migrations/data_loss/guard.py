"""The gate: no revision loses data unless somebody has said that it may.

Before the first revision runs, all of them are rehearsed and the database is asked whether rows are at risk. What
nobody can see beforehand, because it depends on what the run itself does, is asked again before each statement, and
stopped inside its transaction. Consent stands in the revision, with a reason, and speaks for its upgrade; a downgrade
needs the operator's, each time: `-x accept-data-loss=REVISION`.
"""

import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from app.migrations import operations, sql
from app.migrations.data_loss import copies, rehearsal
from app.migrations.data_loss.consent import Consents
from app.migrations.data_loss.made_so_far import Run
from app.migrations.data_loss.queries import Answer, Questions
from app.migrations.data_loss.routines import Routines
from app.migrations.errors import DataLossRefused
from app.migrations.rules import Finding, Verdict, rule_of
from app.migrations.session import Direction, Step
from app.migrations.sql import effects
from app.migrations.sql.effects import Effect, Kind

WHILE_RUNNING = "seen only while it ran, and rolled back; what had finished stays applied"
OUTSIDE = "seen only while it ran, outside a transaction; what it had done until then stays"

_NO_CONSENT = (Kind.CALL, Kind.DEFINE, Kind.SET_PATH)  # it takes none: what they lead to is judged by itself


class Gate:
    """Judges the revisions of one run.

    Args:
        connection: what they run on.
        accepted: revisions whose losses the operator accepts.
        note: hears what couldn't be told, in one line each.
    """

    def __init__(self, connection: sa.Connection, accepted: set[str], note: Callable[[str], None]) -> None:
        self._connection = connection
        self._note = note
        self._consents = Consents(accepted, note)
        self._questions = Questions(connection.dialect)
        self._routines = Routines(self._questions)
        self._run = self._new_run(live=True)
        self._step: Step | None = None
        self._done: set[str] = set()
        self._outside = False
        self._refusal: DataLossRefused | None = None

    def judge(self, plan: list[Step]) -> list[Finding]:
        """What the steps of a plan would do to the rows that are there, before any of them runs.

        Returns:
            Everything that is at risk or can't be told, consented to or not.

        Raises:
            ConfigurationError: an `acknowledged` is misspelt, or so is a revision that the operator accepts.
        """
        self._consents.check([step.revision for step in plan])
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
        refused = [f for f in findings if f.verdict is Verdict.AT_RISK and not self._consents.give(f)]
        if refused:
            raise DataLossRefused("\n".join(dict.fromkeys(finding.text() for finding in refused)))

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Asks before each statement, for as long as the context lasts."""
        thread = threading.get_ident()

        def before(connection: sa.Connection, cursor: Any, statement: str, *_: object) -> None:
            if threading.get_ident() == thread:
                self._before(cursor.connection, statement)

        sa.event.listen(sa.Engine, "before_cursor_execute", before)
        token = operations.observer.set(self._operation)
        try:
            yield
        finally:
            operations.observer.reset(token)
            sa.event.remove(sa.Engine, "before_cursor_execute", before)

    def begin(self, step: Step) -> None:
        """To be called before each revision."""
        self._step = None if step.direction is Direction.STAMP else step
        self._done = set()
        self._outside = False
        self._refusal = None
        self._run.settle()
        self._questions = Questions(self._connection.dialect, together=math.inf)
        self._routines = Routines(self._questions)

    def end(self) -> str | None:
        """To be called after each revision, in its transaction; says what was consented to, for the ledger.

        Raises:
            ConfigurationError: it acknowledges something that it hasn't done.
        """
        step, self._step = self._step, None
        return self._consents.settle(step, self._done, outside=self._outside) if step else None

    def abandon(self) -> None:
        """To be called when a revision has failed."""
        self._step = None

    def _new_run(self, *, live: bool) -> Run:
        dialect = self._connection.dialect.name
        return Run(live=live, home=self._questions.home(self._connection), any_case=dialect == "sqlite")

    # --- before the run -------------------------------------------------------

    def _judged(self, step: Step, found: rehearsal.Rehearsal, run: Run, reading: sa.Connection) -> list[Finding]:
        if found.around:
            found.effects.append(found.around)
        findings = []
        names = set()
        for effect in (each for one in found.effects for each in self._routines.follow(one, run, reading)):
            asked = self._ask(effect, run, reading)
            if asked is not None:
                findings.append(self._finding(step, effect, *asked))
            self._take_note(effect, run, reading)
            if effect.kind not in _NO_CONSENT:
                names.add(effect.name())
        self._consents.compare(step, findings, names)
        if found.stopped:
            self._note(
                f"{step.revision}: not looked at to its end ({found.stopped}); from there on each statement "
                "is looked at before it runs"
            )
        return findings

    def _finding(self, step: Step, effect: Effect, verdict: Verdict, rows: int | None, note: str) -> Finding:
        return Finding(step.revision, step.file_name, step.direction is Direction.UPGRADE, effect, verdict, rows, note)

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
        if effect.kind is Kind.DEFINE:
            self._routines.forget()
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

    # --- during the run -------------------------------------------------------

    def _operation(self, context: Any, operation: Any, carry_out: Callable[[], Any]) -> Any:
        # On PostgreSQL every operation ends in statements that say what they do; on SQLite a table copy doesn't.
        if self._step is not None and self._connection.dialect.name == "sqlite":
            for effect in effects.of_operation(operation, context.get_context().dialect):
                self._check(effect)
        return carry_out()

    def _before(self, driver: Any, statement: str) -> None:
        if self._step is None:
            return
        if self._refusal is not None:  # the revision has caught it
            raise self._refusal
        self._outside |= self._connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
        if driver is not self._connection.connection.driver_connection:
            self._check(Effect(Kind.OPAQUE, rehearsal.ANOTHER))
            return
        dialect = self._connection.dialect.name
        for effect in sql.effects_of(dialect, statement, driver):
            if dialect == "sqlite" and copies.is_copy(effect):
                continue
            lost = copies.lost(effect, self._run, driver) if dialect == "sqlite" else None
            for each in [effect] if lost is None else lost:
                for followed in self._routines.follow(each, self._run, self._connection):
                    self._check(followed)

    def _check(self, effect: Effect) -> None:
        if effect.kind not in _NO_CONSENT and not _harmless(effect):
            self._done.add(effect.name())
        asked = self._ask(effect, self._run, self._connection)
        self._take_note(effect, self._run, self._connection)
        if asked is None or asked[0] is not Verdict.AT_RISK:
            return
        verdict, rows, note = asked
        place = rehearsal.place(sys._getframe())  # noqa: SLF001 - how to find the caller's line
        effect = replace(effect, where=f"{place} {effect.where}".strip())
        late = OUTSIDE if self._outside else WHILE_RUNNING
        assert self._step is not None
        finding = self._finding(self._step, effect, verdict, rows, f"{note}; {late}" if note else late)
        if not self._consents.give(finding):
            self._refusal = DataLossRefused(finding.text())
            raise self._refusal


def _harmless(effect: Effect) -> bool:
    match effect.kind:
        case Kind.ADD_COLUMN:
            return not effect.to
        case Kind.UPDATE:
            return not effect.whole
        case Kind.RENAME_TABLE | Kind.RENAME_COLUMN:
            return True
    return False
