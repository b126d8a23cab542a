"""The code of types and defaults: plain SQLAlchemy, so that a revision imports nothing of the models."""

import re
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.dialects import postgresql

_BRACKETS = re.compile(r"\(('(?:[^']|'')*'|\w+)\)")
_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]
_CAST = re.compile(r"('(?:[^']|'')*')::[\w ]+(?:\(\d+\))?")


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Returns the code of a type or a default; False leaves it to Alembic. Alembic's option of that name."""
    if kind == "server_default":
        return _render_default(item)
    if kind != "type":
        return False
    if isinstance(item, postgresql.ARRAY):  # on SQLite Alembic leaves the element's module out
        context.imports.add("from sqlalchemy.dialects import postgresql")
        return f"postgresql.ARRAY(sa.{item.item_type!r})"
    if type(item).__module__.startswith("sqlalchemy."):
        return _render_reflected_type(item)
    if not isinstance(item, sa.types.TypeDecorator):
        return False
    exact = item.load_dialect_impl(_POSTGRESQL)
    if not (isinstance(exact, postgresql.TIMESTAMP) and exact.precision is not None):
        return f"sa.{item.impl!r}"
    context.imports.add("from sqlalchemy.dialects import postgresql")
    return f"sa.{item.impl!r}.with_variant(postgresql.{exact!r}, 'postgresql')"


def _render_reflected_type(item: sa.types.TypeEngine[Any]) -> str | Literal[False]:
    generic = item.as_generic(allow_nulltype=True)
    # The database's own spelling becomes the generic type: the revision is the same for both databases.
    is_own_spelling = type(generic) is not type(item) and type(generic).__module__ == "sqlalchemy.sql.sqltypes"
    return f"sa.{generic!r}" if is_own_spelling and not isinstance(generic, sa.types.NullType) else False


def _render_default(item: Any) -> str | Literal[False]:
    default = getattr(item, "arg", item)
    if isinstance(default, sa.TextClause):
        # SQLite and Alembic put a default in brackets, PostgreSQL adds the type of a literal.
        plain = _BRACKETS.fullmatch(default.text) or _CAST.fullmatch(default.text)
        return f"sa.text({(plain[1] if plain else default.text)!r})"
    if not (hasattr(default, "postgresql") and hasattr(default, "sqlite")):
        return False
    return f"op.dialect_text(postgresql={default.postgresql!r}, sqlite={default.sqlite!r})"
