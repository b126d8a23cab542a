"""Partitions that are declared with their table, as an index is.

    class RequestLog(Base):
        __tablename__ = "request_logs"
        __table_args__ = (Partitioned(by="request_time"),)

The table may be partitioned in a database; `metadata.create_all` and revisions make a plain one. In a comparison both
are equal, and a primary or unique key may have the partition column as well. SQLite ignores the declaration.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.base import SchemaEventTarget

from app.errors import SchemaError

INFO_KEY = "partitioned"


class Partitioned(sa.schema.SchemaItem):
    """Declares that a table may be partitioned by ranges of a column.

    Args:
        by: the name of the column in the database.
    """

    def __init__(self, *, by: str) -> None:
        self.by = by

    def _set_parent(self, parent: SchemaEventTarget, **_: Any) -> None:
        assert isinstance(parent, sa.Table)
        parent.info[INFO_KEY] = self  # a copy of the table has it, too


def declared_partitions(metadata: sa.MetaData) -> dict[str, str]:
    """Returns the tables that may be partitioned, each with its partition column.

    Raises:
        SchemaError: a table has no such column.
    """
    declared = {table: table.info[INFO_KEY].by for table in metadata.tables.values() if INFO_KEY in table.info}
    for table, by in declared.items():
        if by not in [column.name for column in table.columns]:
            raise SchemaError(f"The models declare {table.name} as partitioned by {by}, and it has no such column.")
    return {table.name: by for table, by in declared.items()}
