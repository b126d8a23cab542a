"""SQL expressions of the models as code: one text where both databases have the same, else one for each."""

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.dialect_text import DialectText

# With named parameters no percent sign is doubled.
DIALECTS: dict[str, sa.Dialect] = {
    "postgresql": postgresql.dialect(paramstyle="named"),  # type: ignore[no-untyped-call]
    "sqlite": sqlite.dialect(paramstyle="named"),
}
_PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w)")


def escaped(text: str) -> str:
    """Returns what `sqlalchemy.text` takes for this very text, readable: only what would be a parameter is escaped."""
    return _PARAMETER.sub(r"\:", text)


def texts_of(expression: Any) -> dict[str, str]:
    """Returns an expression as each database spells it, as `sqlalchemy.text` takes it."""
    if isinstance(expression, str):
        return dict.fromkeys(DIALECTS, expression)
    if isinstance(expression, sa.TextClause):
        return dict.fromkeys(DIALECTS, expression.text)
    return {name: _compiled(expression, dialect) for name, dialect in DIALECTS.items()}


def expression_of(texts: dict[str, str]) -> Any:
    """Returns an expression that stands in no table: one that names the models' columns would become a part of them."""
    if len(set(texts.values())) == 1:
        return sa.text(next(iter(texts.values())))
    return DialectText(postgresql=texts["postgresql"], sqlite=texts["sqlite"])


def code_of(texts: dict[str, str], *, plain: bool = False) -> str:
    """Returns the code of an expression.

    Args:
        texts: as each database spells it.
        plain: a text that is the same for both stands for itself, without `sa.text`.
    """
    if len(set(texts.values())) == 1:
        (text,) = set(texts.values())
        return repr(text) if plain else f"sa.text({text!r})"
    return f"op.dialect_text(postgresql={texts['postgresql']!r}, sqlite={texts['sqlite']!r})"


def _compiled(expression: Any, dialect: sa.Dialect) -> str:
    options = {"literal_binds": True, "include_table": False}
    try:
        return escaped(str(expression.compile(dialect=dialect, compile_kwargs=options)))
    except (sa.exc.CompileError, NotImplementedError):  # only the other database knows it
        return _compiled(expression, DIALECTS["postgresql"]) if dialect.name == "sqlite" else ""
