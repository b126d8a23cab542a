"""The rule table, for all who judge a revision: when it is written, before it runs and while it runs.

A rule matches a kind of effect. It has the question that finds rows at risk in this very database, the harm, what to
do instead and the line to paste. A reader without a database uses all of it but the question.
"""

from app.migrations.rules.casts import keeps_table
from app.migrations.rules.question import Question, Verdict, Words
from app.migrations.rules.table import COUNTED, Finding, rule_of, values_other_than

__all__ = ["COUNTED", "Finding", "Question", "Verdict", "Words", "keeps_table", "rule_of", "values_other_than"]
