"""What SQL does: a statement is classified once, read by PostgreSQL's own grammar or told by SQLite itself.

Beside `Statement`: `effects`, a class for each kind of thing that a statement does, and `text`, names and values as SQL.
"""

from app.migrations.sql import effects, text
from app.migrations.sql.effects import Effect
from app.migrations.sql.statement import Hurry, Statement, effects_of_trigger

__all__ = ["Effect", "Hurry", "Statement", "effects", "effects_of_trigger", "text"]
