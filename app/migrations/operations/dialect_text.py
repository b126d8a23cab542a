"""`op.dialect_text`: a server default that each database spells in its own way."""

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations


class DialectTextOp(MigrateOperation):
    """SQL text in the spelling of each database."""

    def __init__(self, postgresql: str, sqlite: str) -> None:
        self.postgresql = postgresql
        self.sqlite = sqlite

    @classmethod
    def dialect_text(cls, operations: Operations, *, postgresql: str, sqlite: str) -> sa.TextClause:
        """Returns SQL text in the spelling of the database that the revision runs on."""
        text: sa.TextClause = operations.invoke(cls(postgresql, sqlite))
        return text


def choose_text(operations: Operations, operation: DialectTextOp) -> sa.TextClause:
    """Returns the text for the database of `operations`."""
    sqlite = operations.get_context().dialect.name == "sqlite"
    return sa.text(operation.sqlite if sqlite else operation.postgresql)
