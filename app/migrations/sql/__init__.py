"""SQL statements, classified once: PostgreSQL's own grammar reads them, or SQLite's authorizer reports on them.

The face has three modules: `effects`, a class for each kind of thing that a statement does; `text`, which quotes and
escapes; `lexer`, the tokens of SQLite.
"""

from app.migrations.sql import effects, lexer, text
from app.migrations.sql.effects import Effect
from app.migrations.sql.statement import Hurry, Statement, effects_of_trigger
from app.migrations.sql.text import literal

__all__ = ["Effect", "Hurry", "Statement", "effects", "effects_of_trigger", "lexer", "literal", "text"]
