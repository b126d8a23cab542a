"""Writes the effects of a statement as texts."""

import sqlite3
from collections.abc import Iterator

from app.migrations.sql import Statement, effects


def short(found: list[effects.Effect]) -> list[str]:
    """Each effect as `kind table.columns`, with what else it says."""
    return [" ".join([effect.name(), *more(effect)]) for effect in found]


def more(effect: effects.Effect) -> Iterator[str]:
    match effect:
        case effects.RenameTable(to=names) | effects.CreateEnum(labels=names):
            yield f"to {', '.join(names)}"
        case effects.RenameColumn(to=name):
            yield f"to {name}"
        case effects.AlterType(to=name, using=using):
            yield f"to {name}"
            yield from [f"using {using}"] if using else []
        case effects.AddColumn(required=True):
            yield "to required"
        case effects.CreateTable(temporary=True, until_commit=until_commit):
            yield "to fleeting" if until_commit else "to temporary"
        case effects.ChangeRows(only=True):
            yield "to only"
    if not getattr(effect, "whole", True):
        yield "in part"


def effects_of(dialect: str, statement: str, driver: sqlite3.Connection | None = None) -> list[effects.Effect]:
    return Statement(dialect, statement, driver).effects
