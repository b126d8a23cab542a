"""Expressions that replace the values of a column: they are asked about however wide the new type is."""

from pathlib import Path

import pytest

from app.migrations.errors import DataLossRefused
from tests.support.database_access import execute, query
from tests.support.project_copy import ProjectCopy

STORED = [("a long value", "note", 7, "2026-01-31")]
TABLE = "CREATE TABLE gt (v varchar(50), a text, n int, d date)"


@pytest.fixture
def filled(postgres_url: str) -> str:
    """The URL of a database with one row."""
    execute(postgres_url, TABLE, "INSERT INTO gt VALUES ('a long value', 'note', 7, '2026-01-31')")
    return postgres_url


def alter(column: str, kind: str, using: str) -> str:
    return f"op.execute({f'ALTER TABLE gt ALTER {column} TYPE {kind} USING {using}'!r})"


LOSING = [
    ("v", "varchar(60)", "left(v, 3)"),
    ("v", "varchar(60)", "'x'"),
    ("v", "text", "upper(v)"),
    ("v", "varchar(50)", "a"),
    ("a", "text", "NULL"),
    ("a", "text", "trim('n' from a)"),
    ("a", "varchar", "a::varchar(2)"),
    ("n", "bigint", "0"),
    ("n", "bigint", "n / 2"),
    ("n", "int", "-n"),
    ("n", "bigint", "nullif(n, 7)"),
    ("n", "numeric", "random()"),
    ("d", "date", "d + 1"),
    ("d", "timestamp", "now()"),
]
KEEPING = [
    ("v", "varchar(60)", "v"),
    ("v", "varchar(60)", '"v"'),
    ("v", "text", "v::text"),
    ("v", "varchar(60)", "left(v, 12)"),
    ("a", "text", "coalesce(a, 'none')"),
    ("n", "bigint", "n::bigint"),
    ("n", "bigint", "n + 0"),
    ("n", "text", "n::text"),
    ("d", "timestamp", "d::timestamp"),
]


@pytest.mark.in_turn
@pytest.mark.parametrize(("column", "kind", "using"), LOSING)
def test_an_expression_that_changes_a_value_is_refused(
    filled: str, tmp_path: Path, column: str, kind: str, using: str
) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    project.add(alter(column, kind, using))
    with pytest.raises(DataLossRefused) as refused:
        project.upgrade(filled)
    assert f"changing gt.{column} to " in str(refused.value)
    assert "would change or refuse the values of 1 row." in str(refused.value)
    assert [(v, a, n, str(d)) for v, a, n, d in query(filled, "SELECT v, a, n, d FROM gt")] == STORED
    execute(filled, "DELETE FROM gt")
    project.upgrade(filled)


@pytest.mark.in_turn
@pytest.mark.parametrize(("column", "kind", "using"), KEEPING)
def test_an_expression_that_keeps_every_value_is_applied(
    filled: str, tmp_path: Path, column: str, kind: str, using: str
) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    revision = project.add(alter(column, kind, using))
    project.upgrade(filled)
    assert query(filled, "SELECT version_num FROM alembic_version") == [(revision,)]
    assert [(v, a, str(n), str(d)[:10]) for v, a, n, d in query(filled, "SELECT v, a, n, d FROM gt")] == [
        ("a long value", "note", "7", "2026-01-31")
    ]


def test_the_words_of_op_are_read_alike(filled: str, tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    project.add("op.alter_column('gt', 'v', type_=sa.String(60), postgresql_using='left(v, 3)')")
    with pytest.raises(DataLossRefused):
        project.upgrade(filled)


def test_looking_at_an_expression_changes_nothing(filled: str, tmp_path: Path) -> None:
    execute(filled, "CREATE SEQUENCE numbers")
    project = ProjectCopy(tmp_path, revisions=False)
    project.add(alter("n", "bigint", "nextval('numbers')"))
    with pytest.raises(DataLossRefused):
        project.upgrade(filled)
    assert query(filled, "SELECT is_called FROM numbers") == [(False,)]
