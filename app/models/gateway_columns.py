"""Columns that several tables of the gateway have."""

import datetime as dt
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import MappedColumn, mapped_column

from app.models.base import JSON, TRUE, UTC_NOW, UtcDateTime, utc_now


def created_at() -> MappedColumn[dt.datetime]:
    """Makes the column of the time at which a row was made."""
    return mapped_column(UtcDateTime(), server_default=UTC_NOW, comment="When the row was made, UTC.")


def updated_at() -> MappedColumn[dt.datetime]:
    """Makes the column of the time at which a row was last changed; the ORM keeps it."""
    return mapped_column(
        UtcDateTime(), server_default=UTC_NOW, onupdate=utc_now, comment="When the row was last changed, UTC."
    )


def is_active() -> MappedColumn[bool]:
    """Makes the column that switches a row off."""
    return mapped_column(server_default=TRUE, comment="Whether the row is in use.")


def price(comment: str) -> MappedColumn[Decimal | None]:
    """Makes a column of US dollars, exact to the ten-thousandth."""
    return mapped_column(sa.Numeric(12, 4), comment=comment)


def json(comment: str) -> MappedColumn[Any]:
    """Makes a JSON column; None is stored as NULL."""
    return mapped_column(JSON, nullable=True, comment=comment)


def integer(comment: str) -> MappedColumn[int | None]:
    """Makes an integer column that may be NULL."""
    return mapped_column(sa.Integer, comment=comment)


def string(length: int, comment: str) -> MappedColumn[str | None]:
    """Makes a varchar column that may be NULL."""
    return mapped_column(sa.String(length), comment=comment)


def text(comment: str) -> MappedColumn[str | None]:
    """Makes a text column that may be NULL."""
    return mapped_column(sa.Text, comment=comment)
