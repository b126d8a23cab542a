"""SQL statements, classified once: PostgreSQL's own grammar reads them, or SQLite's authorizer reports on them.

Two modules belong to the face: `effects`, a class for each kind of thing that a statement does, and `lexer`, the tokens
of SQLite. They aren't imported here: an upgrade that has nothing to do needs none.
"""

from app.migrations.sql.piece import Work
from app.migrations.sql.statement import MOST_CHARACTERS, REPEATABLE, Hurry, Statement, Transaction, effects_of_trigger

__all__ = ["MOST_CHARACTERS", "REPEATABLE", "Hurry", "Statement", "Transaction", "Work", "effects_of_trigger"]
