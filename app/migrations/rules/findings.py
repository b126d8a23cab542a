"""What the rules have found in a revision, in the words of a refusal."""

from dataclasses import dataclass

from app.migrations.rules.data_loss import COUNTED, Rule, rule_of
from app.migrations.rules.questions import Verdict
from app.migrations.sql.effects import Effect


@dataclass(frozen=True)
class Finding:
    """An effect of a revision, judged.

    Attributes:
        file: the revision's file.
        upgrade: it is the upgrade that has the effect; consent to a downgrade's isn't written into the revision.
        note: what is more to say.
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
        """The rule that was asked."""
        rule = rule_of(self.effect)
        assert rule is not None
        return rule

    def text(self) -> str:
        """The three beats of a refusal."""
        effect = self.effect
        columns = ", ".join(f"{effect.shown}.{column}" for column in effect.columns) or effect.shown
        harm = self.rule.harm.format(what=columns, table=effect.shown, rows=self._rows(), to=", ".join(effect.to))
        where = f" ({self.file} {effect.where})" if effect.where else f" ({self.file})"
        return (
            f"{self.revision}: {harm}{f' [{self.note}]' if self.note else ''}{where}\n"
            f"  Instead: {self.rule.instead}\n"
            f"  {self._code()}"
        )

    def _code(self) -> str:
        if self.rule.mend:
            columns = self.effect.columns or ("…",)
            mend = self.rule.mend.format(table=self.effect.shown, column=columns[0], columns=", ".join(columns))
            return f"For example: {mend}"
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
