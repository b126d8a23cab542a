"""Server defaults that PostgreSQL and SQLite spell differently, declared with their column.

Autogenerate writes one as `op.dialect_text(postgresql="…", sqlite="…")`.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles


class DialectText(sa.ColumnElement[Any]):
    """A server default that PostgreSQL and SQLite spell differently."""

    inherit_cache = True

    def __init__(self, *, postgresql: str, sqlite: str) -> None:
        self.postgresql = postgresql
        self.sqlite = sqlite


@compiles(DialectText)
def _compile_dialect_text(element: DialectText, compiler: sa.sql.compiler.SQLCompiler, **_: Any) -> str:
    text = element.sqlite if compiler.dialect.name == "sqlite" else element.postgresql
    # psycopg takes a single percent sign for a parameter.
    return text.replace("%", "%%") if getattr(compiler.preparer, "_double_percents", False) else text
