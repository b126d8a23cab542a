"""The declarative base of all models, their constraint names and column types."""

import datetime as dt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase

from app.dialect_text import DialectText

# PostgreSQL's own default names: a database made by hand or by another tool matches by name.
NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
}


class Base(DeclarativeBase):
    """The declarative base of every model; its `metadata` is the schema at head."""

    metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

    def __repr__(self) -> str:
        """The class and the primary key: other columns may hold secrets, and reading them could query."""
        state = sa.inspect(self)
        names = [state.mapper.get_property_by_column(column).key for column in state.mapper.primary_key]
        values = state.identity or [state.dict.get(name) for name in names]
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in zip(names, values, strict=True))})"


class UtcDateTime(sa.types.TypeDecorator[dt.datetime]):
    """An aware datetime in UTC, whatever the database keeps.

    Args:
        timezone: PostgreSQL stores `timestamptz(6)`; else `timestamp`, holding UTC. SQLite stores UTC either way.
    """

    impl = sa.DateTime
    cache_ok = True

    def __init__(self, *, timezone: bool = False) -> None:
        super().__init__(timezone=timezone)
        self.timezone = timezone

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """The column's type in the database."""
        if self.timezone and dialect.name == "postgresql":
            return postgresql.TIMESTAMP(timezone=True, precision=6)
        return super().load_dialect_impl(dialect)

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """UTC, without a zone where the column has none.

        Raises:
            ValueError: the datetime is naive; SQLAlchemy raises it as a `StatementError`.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime was given: use an aware one, such as datetime.now(UTC)")
        value = value.astimezone(dt.UTC)
        return value if self.timezone and dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: dt.datetime | None, _dialect: sa.Dialect) -> dt.datetime | None:
        """The stored time, aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


# The bare word would store the session's local time in a PostgreSQL `timestamp`.
UTC_NOW = DialectText(postgresql="timezone('utc', CURRENT_TIMESTAMP)", sqlite="CURRENT_TIMESTAMP")
EMPTY_TEXT_ARRAY = DialectText(postgresql="ARRAY[]::text[]", sqlite="'[]'")
# sa.true() and sa.false() render as 1 and 0 on SQLite: a revision written there wouldn't fit PostgreSQL, nor the
# reverse.
TRUE = sa.text("true")
FALSE = sa.text("false")

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True)
TEXT_ARRAY = sa.JSON(none_as_null=True).with_variant(postgresql.ARRAY(sa.Text()), "postgresql")


def utc_now() -> dt.datetime:
    """The time, aware."""
    return dt.datetime.now(dt.UTC)
