"""Statements that are executed as they stand."""

import sqlalchemy as sa
from alembic.operations import Operations

from app.migrations.sql import text


def run(operations: Operations, statement: str) -> None:
    """Executes a statement in which no colon is a parameter."""
    operations.execute(sa.text(text.without_parameters(statement)))
