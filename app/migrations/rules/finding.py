"""Findings: an effect of a revision, judged, in the words of a refusal."""

from dataclasses import dataclass

from app.migrations.rules.question import Verdict
from app.migrations.rules.table import COUNTED, Rule, rule_of
from app.migrations.session import Direction, Step
from app.migrations.sql import effects


@dataclass(frozen=True)
class Finding:
    """An effect of a revision that a rule matches, with the verdict.

    Attributes:
        note: more to say: the reason for a doubt, or the column concerned.
    """

    step: Step
    effect: effects.Effect
    verdict: Verdict
    rows: int | None = None
    note: str = ""

    @property
    def rule(self) -> Rule:
        """Returns the rule that matches."""
        rule = rule_of(self.effect)
        assert rule is not None
        return rule

    def text(self) -> str:
        """Returns the three beats of a refusal: the harm, what to do instead, the line to paste."""
        effect = self.effect
        what = ", ".join(f"{effect.shown}.{column}" for column in effect.columns) or effect.shown
        harm = self.rule.harm.format(what=what, table=effect.shown, rows=self._rows(), to=getattr(effect, "to", ""))
        note = f" [{self.note}]" if self.note else ""
        place = f"{self.step.file_name} {effect.where}".rstrip()
        return f"{self.step.revision}: {harm}{note} ({place})\n  Instead: {self.rule.instead}\n  {self._code()}"

    def _code(self) -> str:
        if not self.rule.loses:
            columns = self.effect.columns or ("…",)
            code = self.rule.code.format(table=self.effect.shown, column=columns[0], columns=", ".join(columns))
            return f"For example: {code}"
        if self.step.direction is not Direction.UPGRADE:  # consent to those isn't written into the revision
            return f"If you mean it, this time: alembic -x accept-data-loss={self.step.revision} downgrade …"
        consent = f'acknowledged = {{"{self.effect.name()}": "why, and where the data is"}}'
        return f"If you mean it, write in {self.step.file_name}: {consent}"

    def _rows(self) -> str:
        if self.rows is None:
            return "an unknown number of rows"
        if self.rows > COUNTED:
            return f"more than {COUNTED:,} rows"
        return f"{self.rows:,} row{'s' if self.rows != 1 else ''}"
