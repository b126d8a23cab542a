"""Which statements may wait, take their time or be run again, by their text."""

import pytest

from app.migrations.run.blockers import QUERY_LENGTH, redacted
from app.migrations.run.timeouts import Timeouts
from app.migrations.sql import Statement

ADD = "op.add_column('busy', sa.Column('added', sa.Integer))"


@pytest.mark.parametrize(
    ("statement", "again"),
    [
        ("SELECT 1", True),
        ("CREATE TABLE IF NOT EXISTS t ()", True),
        ("DROP TABLE IF EXISTS t", True),
        ("DROP INDEX CONCURRENTLY IF EXISTS i", True),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (n)", True),
        ("ALTER TABLE t VALIDATE CONSTRAINT c", True),
        ("VACUUM ANALYZE t", True),
        ("REINDEX INDEX CONCURRENTLY i", True),
        ("/* backfill */ UPDATE t SET n = 1", True),
        ("CREATE INDEX CONCURRENTLY i ON t (n)", False),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (n)", False),
        ("DROP INDEX CONCURRENTLY i", False),
        ("CREATE TABLE t ()", False),
        ("ALTER TYPE kind ADD VALUE 'new'", False),
        ("INSERT INTO t VALUES (1)", False),
        ("UPDATE t SET n = n + 1", False),
        ("DELETE FROM t", False),
        ("WITH kept AS MATERIALIZED (SELECT id FROM t) SELECT * FROM kept", True),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", False),
        ("-- why\n/* and how */ SELECT 1", True),
        ("SELECT 1; DELETE FROM t", False),
        ("CREATE TABLE IF NOT EXISTS t (); INSERT INTO t DEFAULT VALUES", False),
        ("SELECT * INTO copy FROM t", False),
        ("EXPLAIN ANALYZE DELETE FROM t", False),
        ("ALTER TABLE t VALIDATE CONSTRAINT c, ADD COLUMN n integer", False),
    ],
)
def test_a_statement_is_repeatable_by_its_text(statement: str, again: bool) -> None:
    assert Statement("postgresql", statement, None).repeatable is again


@pytest.mark.parametrize(
    ("statement", "hurried"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (n)", False),
        ("-- large\nCREATE INDEX CONCURRENTLY i ON t (n)", False),
        ('ALTER TABLE ONLY s."T t" VALIDATE CONSTRAINT "c", VALIDATE CONSTRAINT d;', False),
        ("VACUUM (ANALYZE) t", False),
        ("VACUUM (FULL) t", True),
        ("ANALYZE t; ALTER TABLE t ADD COLUMN n integer", True),
        ("ALTER TABLE t ADD COLUMN n integer, VALIDATE CONSTRAINT c", True),
        ("ALTER TABLE t VALIDATE CONSTRAINT c, ADD COLUMN n integer", True),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (s <> 'VALIDATE CONSTRAINT')", True),
    ],
)
def test_only_statements_that_block_nobody_have_no_timeout(statement: str, hurried: bool) -> None:
    limits = Timeouts(3, 60).of(Statement("postgresql", statement, None))
    assert limits == (Timeouts(3, 60) if hurried else Timeouts(0, 0))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT * FROM t WHERE a = 'it''s' AND b = 12.5", "SELECT * FROM t WHERE a = ? AND b = ?"),
        ("SELECT $tag$ se'cret $tag$, $$x$$", "SELECT ?, ?"),
        ("UPDATE t1\n   SET x2 = -7", "UPDATE t1 SET x2 = -?"),
        ("x" * 500, "x" * (QUERY_LENGTH - 1) + "…"),
        (r"SELECT E'a\'b secret', 1", "SELECT ?, ?"),
        ("SELECT 'unfinished secret", "SELECT ?"),
        ("SELECT 1e10, 0xFF, 1_000", "SELECT ?, ?, ?"),
        ("SELECT 1 -- sk-secret\n, 2 /* sk-secret */", "SELECT ? , ?"),
        ("SELECT \"it's\", 'secret', \"x", 'SELECT "it\'s", ?, "x'),
        ("SELECT $x$ unfinished secret $$", "SELECT ?"),
        ("SELECT /* unfinished secret", "SELECT"),
        ("SELECT U&'secret', B'1', X'FF'", "SELECT U&?, B?, X?"),
    ],
)
def test_values_are_taken_out_of_what_is_shown_of_a_blocker(text: str, shown: str) -> None:
    assert redacted(text) == shown
