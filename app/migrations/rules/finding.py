"""Findings: an effect of a revision, judged, in the words of a refusal."""

from dataclasses import dataclass

from app.migrations.rules.question import Verdict
from app.migrations.rules.table import COUNTED, Rule, rule_of
from app.migrations.sql import Effect


@dataclass(frozen=True)
class Finding:
    """An effect of a revision that a rule matches, with the verdict.

    Attributes:
        file: the revision's file.
        upgrade: the upgrade has the effect; consent to a downgrade's isn't written into the revision.
        note: more to say: the reason for a doubt, or the column concerned.
    """

    revision: str
    file: str
    upgrade: bool
    effect: Effect
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
        place = f"{self.file} {effect.where}".rstrip()
        return f"{self.revision}: {harm}{note} ({place})\n  Instead: {self.rule.instead}\n  {self._code()}"

    def _code(self) -> str:
        if not self.rule.loses:
            columns = self.effect.columns or ("…",)
            code = self.rule.code.format(table=self.effect.shown, column=columns[0], columns=", ".join(columns))
            return f"For example: {code}"
        if not self.upgrade:
            return f"If you mean it, this time: alembic -x accept-data-loss={self.revision} downgrade …"
        consent = f'acknowledged = {{"{self.effect.name()}": "why, and where the data is"}}'
        return f"If you mean it, write in {self.file}: {consent}"

    def _rows(self) -> str:
        if self.rows is None:
            return "an unknown number of rows"
        if self.rows > COUNTED:
            return f"more than {COUNTED:,} rows"
        return f"{self.rows:,} row{'s' if self.rows != 1 else ''}"
