"""The comment by which a statement stands in the place of an ALTER."""

import sqlite3

import pytest

from app.migrations.sql import Statement, effects, type_changes


@pytest.mark.parametrize(
    ("written", "judged"),
    [
        ("VARCHAR(20)", "VARCHAR(20)"),
        ('VARCHAR(20) COLLATE "RTRIM"', "VARCHAR(20)"),
        ("TEXT COLLATE NOCASE", "TEXT"),
        ("NUMERIC(10, 2)", "NUMERIC(10, 2)"),
    ],
)
def test_the_type_of_sqlite_is_one_that_a_cast_takes(written: str, judged: str) -> None:
    text = f"{type_changes.announcing(f'ALTER TABLE t ALTER COLUMN a TYPE {written}')} SELECT 1"
    (effect,) = Statement("sqlite", text, sqlite3.connect(":memory:")).effects
    assert isinstance(effect, effects.AlterType)
    assert (effect.target, effect.to) == ("t", judged)
