"""The rule table: what would lose data or fail, what to do instead, and the words for it.

A rule belongs to a kind of effect. It carries the question that tells whether rows are at risk in this very database,
and the three beats of a refusal: the harm, what to do instead, and the line that says "I mean it". The gate asks before
a run and during it; a linter can ask nobody, and only reads.
"""

from app.migrations.rules.casts import widens
from app.migrations.rules.data_loss import COUNTED, RULES, Rule, rule_of
from app.migrations.rules.findings import Finding
from app.migrations.rules.questions import Question, Verdict, Words, text_of

__all__ = [
    "COUNTED",
    "RULES",
    "Finding",
    "Question",
    "Rule",
    "Verdict",
    "Words",
    "rule_of",
    "text_of",
    "widens",
]
