"""The guard against losing data: refuses revisions that put rows at risk without consent.

Before the first revision runs, the SQL of all is read, and the database answers whether rows are at risk. It is asked
again before each statement, for the answer may depend on the run itself. Consent stands in the revision, with a reason,
and speaks for its upgrade; a downgrade needs the operator's, each time.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from app.migrations.data_loss.consent import Consents
from app.migrations.data_loss.copy_effects import CopyEffects
from app.migrations.data_loss.functions import Functions
from app.migrations.data_loss.made_so_far import MadeSoFar
from app.migrations.data_loss.preview import ANOTHER, Preview, line_of_revision
from app.migrations.data_loss.queries import Answer, Questions
from app.migrations.errors import DataLossRefused
from app.migrations.guard import Guard
from app.migrations.rules import Finding, Verdict, rule_of, values_other_than
from app.migrations.session import Direction, Step
from app.migrations.sql import Statement, effects

_SCHEMA = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
WHILE_RUNNING = "seen only while it ran, and rolled back; what had finished stays applied"
OUTSIDE = "seen only while it ran, outside a transaction; what it had done until then stays"
_NO_CONSENT = (effects.Call, effects.Define, effects.SetPath)  # what they lead to is judged by itself


class DataLoss(Guard):
    """Judges the revisions of one run.

    Args:
        connection: what they run on.
        accepted: revisions whose losses the operator accepts.
        note: takes what isn't certain, in one line each.

    Attributes:
        consented: the consents that the last revision needed, for the ledger; None if it needed none.
    """

    def __init__(self, connection: sa.Connection, accepted: set[str], note: Callable[[str], None]) -> None:
        self.consented: str | None = None
        self._connection = connection
        self._note = note
        self._consents = Consents(accepted, note)
        self._questions = Questions(connection)
        self._functions = Functions(self._questions)
        self._made = self._nothing_made(live=True)
        self._copies = CopyEffects()
        self._step: Step | None = None
        self._done: set[str] = set()
        self._outside = False
        self._refusal: DataLossRefused | None = None

    # --- before the run -------------------------------------------------------

    def refuse(self, plan: list[Step]) -> None:
        """Judges the steps of a plan by the rows that are there, before any of them runs; notes what is uncertain.

        Raises:
            DataLossRefused: something is at risk without consent; the message has three beats for each finding.
            ConfigurationError: an `acknowledged` is misspelt, or so is a revision that the operator accepts.
        """
        self._consents.require_planned([step.revision for step in plan])
        schema = self._questions.rows(_SCHEMA) if self._questions.dialect.name == "sqlite" else None
        preview, made = Preview(self._questions.dialect, schema), self._nothing_made(live=False)
        findings: list[Finding] = []
        for step in plan:
            rendered = preview.render(step)
            of_step, names = self._judged(step, rendered.effects, made)
            self._consents.require_founded(step, of_step, names)
            findings += of_step
            if self._refused(of_step):
                preview.undo()  # it won't run, so the next ones don't find its changes
            if rendered.stopped:
                self._note(
                    f"{step.revision}: not looked at to its end ({rendered.stopped}); from there on each statement "
                    "is looked at before it runs"
                )
        self._connection.rollback()  # a revision may have begun a transaction
        for finding in findings:
            if finding.verdict is Verdict.UNKNOWN:
                self._note(f"{finding.step.revision}: can't tell about {finding.effect.name()}: {finding.note}")
        if refused := self._refused(findings):
            raise DataLossRefused("\n".join(dict.fromkeys(finding.text() for finding in refused)))

    def _refused(self, findings: list[Finding]) -> list[Finding]:
        return [f for f in findings if f.verdict is Verdict.AT_RISK and not self._consents.give(f)]

    def _judged(self, step: Step, rendered: list[effects.Effect], made: MadeSoFar) -> tuple[list[Finding], set[str]]:
        findings, names = [], set()
        for found in (each for one in rendered for each in self._functions.follow(one, made)):
            effect = made.as_it_is_now(found)
            if (answer := self._answer(effect, made)) is not None:
                findings.append(Finding(step, effect, *answer))
            if not isinstance(effect, _NO_CONSENT):
                names.add(effect.name())
        return findings, names

    # --- during the run -------------------------------------------------------

    def before(self, step: Step) -> None:
        """Begins a revision."""
        self._step = None if step.direction is Direction.STAMP else step
        self.consented, self._done, self._outside, self._refusal = None, set(), False, None
        self._made.begin_revision()
        self._questions = Questions(self._connection, together=math.inf)  # slow answers don't make a run fail
        self._functions = Functions(self._questions)

    def statement(self, statement: Statement) -> None:
        """Judges a statement that is about to be executed.

        Raises:
            DataLossRefused: it would lose data, or the revision has caught such a refusal and goes on.
        """
        if self._step is None or not statement.of_revision:
            return
        if self._refusal is not None:
            raise self._refusal
        self._outside |= self._connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
        if not statement.own:
            self._check(self._step, effects.Opaque(ANOTHER))
            return
        if statement.ends_savepoint:
            self._made.forget()  # some of it is undone
        for effect in self._copies.effects_of(statement):
            for each in self._functions.follow(effect, self._made):
                self._check(self._step, each)

    def after(self, _step: Step) -> None:
        """Ends a revision, in its transaction.

        Raises:
            ConfigurationError: it acknowledges something that it hasn't done.
        """
        step, self._step = self._step, None
        if step is not None:
            self.consented = self._consents.settle(step, self._done, outside=self._outside)

    def failed(self, _error: BaseException) -> None:
        """Ends a revision that has failed."""
        self._step = None

    def _check(self, step: Step, effect: effects.Effect) -> None:
        effect = self._made.as_it_is_now(effect)
        if rule_of(effect) is not None:
            self._done.add(effect.name())
        answer = self._answer(effect, self._made)
        if answer is None or answer[0] is not Verdict.AT_RISK:
            return
        verdict, rows, note = answer
        effect = replace(effect, where=f"{line_of_revision()} {effect.where}".strip())
        late = OUTSIDE if self._outside else WHILE_RUNNING
        finding = Finding(step, effect, verdict, rows, f"{note}; {late}" if note else late)
        if not self._consents.give(finding):
            self._refusal = DataLossRefused(finding.text())
            raise self._refusal

    # --- one effect -----------------------------------------------------------

    def _answer(self, effect: effects.Effect, made: MadeSoFar) -> Answer | None:
        """Returns the verdict on an effect, None if it is harmless, and takes note of it for those after it."""
        answer = self._ask(effect, made)
        if isinstance(effect, effects.Define):
            self._functions.forget()
        if not self._is_there(effect, made):  # IF NOT EXISTS, TEMPORARY
            made.note(effect)
        return None if answer is None or answer[0] is Verdict.SAFE else answer

    def _ask(self, effect: effects.Effect, made: MadeSoFar) -> Answer | None:
        rule, questions = rule_of(effect), self._questions
        concerned = made.concerns(effect) if rule is not None else None
        if concerned is None or rule is None:
            return None
        if rule.ask is None:
            return Verdict.AT_RISK, None, ""
        match concerned:
            case effects.AddColumn() if self._is_there(effect, made):  # IF NOT EXISTS, or it fails by itself
                return None
            case effects.DropColumn() if questions.is_partition_key(concerned.target, concerned.columns[0]):
                return None  # it is left
            case effects.Delete(whole=False) if not made.live and questions.dialect.name == "sqlite":
                return None  # revisions run with foreign keys off, until one of them switches them on
            case effects.AddForeignKey(referred=()):
                return Verdict.UNKNOWN, None, "the columns that it refers to aren't named"
            case effects.AddUnique(whole=False):
                return Verdict.UNKNOWN, None, "a unique index on an expression, or on some rows"
            case effects.AlterType() if (labels := made.labels_of(concerned.to)) is not None:
                return questions.ask(values_other_than(labels, concerned, questions.words))
            case _ if not rule.loses and not made.live and made.has_touched(concerned):
                return Verdict.UNKNOWN, None, "the same run changes the rows first"
        return questions.ask(rule.ask(concerned, questions.words))

    def _is_there(self, effect: effects.Effect, made: MadeSoFar) -> bool:
        """Returns whether something that is to be made exists already."""
        if made.is_gone(effect) or made.key(effect.target) in made.tables:
            return False
        match effect:
            case effects.CreateTable(temporary=False):
                return self._questions.exists(effect.target)
            case effects.AddColumn():
                return self._questions.exists(made.old_name(effect.target), effect.columns[0])
        return False

    def _nothing_made(self, *, live: bool) -> MadeSoFar:
        home, any_case = self._questions.home(), self._questions.dialect.name == "sqlite"
        return MadeSoFar(live=live, home=home or "", any_case=any_case, blind=home is None)
