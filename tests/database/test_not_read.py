"""What the readers of the catalog don't read: each thing is tried, and stands in the documentation."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from app import db
from app.migrations import snapshots
from app.migrations.snapshots import NOT_READ
from tests.support.environment import ROOT

SETUP = """
    CREATE TABLE t (id serial PRIMARY KEY, n int NOT NULL, s text);
    CREATE INDEX i ON t (n);
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
    CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE VIEW v AS SELECT s, n FROM t;
    CREATE MATERIALIZED VIEW m AS SELECT 1 AS one;
    CREATE TABLE parted (id int, a int, b int) PARTITION BY LIST (id);
    CREATE SEQUENCE q;
    CREATE STATISTICS st ON id, n FROM t;
"""
ON_POSTGRESQL = {
    "owners, privileges and default privileges": [
        "ALTER TABLE t OWNER TO pg_monitor",
        "GRANT SELECT ON t TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    ],
    "security labels": [],  # they need a provider
    "STORAGE, COMPRESSION, statistics targets and n_distinct of columns": [
        "ALTER TABLE t ALTER s SET STORAGE EXTERNAL",
        "ALTER TABLE t ALTER s SET COMPRESSION pglz",
        "ALTER TABLE t ALTER s SET STATISTICS 7",
        "ALTER TABLE t ALTER s SET (n_distinct = 5)",
    ],
    "the order of columns": ["ALTER TABLE parted DROP a", "ALTER TABLE parted ADD a int"],
    "names of NOT NULL constraints": ["ALTER TABLE t RENAME CONSTRAINT t_n_not_null TO other"],
    "storage parameters of TOAST tables and of the indexes of constraints": [
        "ALTER TABLE t SET (toast.autovacuum_enabled = false)",
        "ALTER INDEX t_pkey SET (fillfactor = 50)",
    ],
    "replica identity": ["ALTER TABLE t REPLICA IDENTITY FULL"],
    "the index that CLUSTER uses": ["ALTER TABLE t CLUSTER ON i"],
    "partitions": ["CREATE TABLE part PARTITION OF parted FOR VALUES IN (1)"],
    "rules": ["CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING"],
    "whether a trigger fires on replicas": ["ALTER TABLE t ENABLE ALWAYS TRIGGER tr"],
    "defaults of views' columns": ["ALTER VIEW v ALTER COLUMN s SET DEFAULT 'x'"],
    "whether a materialized view is filled": ["REFRESH MATERIALIZED VIEW m WITH NO DATA"],
    "unlogged sequences": ["ALTER SEQUENCE q SET UNLOGGED"],
    "statistics targets of extended statistics": ["ALTER STATISTICS st SET STATISTICS 9"],
    "comments on anything but tables and their columns, constraints, indexes, views, enumerations and domains": [
        "COMMENT ON TRIGGER tr ON t IS 'x'",
        "COMMENT ON FUNCTION f() IS 'x'",
        "COMMENT ON SEQUENCE q IS 'x'",
        "COMMENT ON COLUMN v.s IS 'x'",
        "COMMENT ON SCHEMA public IS 'x'",
    ],
    "composite types": ["CREATE TYPE pair AS (a int, b int)"],
    "aggregates, operators, casts and text search objects": [
        "CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int)",
        "CREATE OPERATOR ### (leftarg = int, rightarg = int, function = int4pl)",
        "CREATE TYPE pair AS (a int)",
        "CREATE CAST (pair AS text) WITH INOUT",
        "CREATE TEXT SEARCH CONFIGURATION words (COPY = simple)",
    ],
    "foreign tables, servers and data wrappers": [
        "CREATE FOREIGN DATA WRAPPER w",
        "CREATE SERVER far FOREIGN DATA WRAPPER w",
        "CREATE FOREIGN TABLE away (a int) SERVER far",
    ],
    "event triggers": ["CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION e()"],
    "extensions, their objects, and languages": [
        "CREATE EXTENSION pg_trgm",
        "CREATE LANGUAGE other HANDLER plpgsql_call_handler",
    ],
    "publications and subscriptions": [
        "CREATE PUBLICATION p FOR TABLE t",
        "CREATE SUBSCRIPTION p CONNECTION '' PUBLICATION p WITH (connect = false, slot_name = NONE)",
    ],
    "settings of the database and of roles": ["ALTER ROLE CURRENT_USER SET work_mem = '5MB'"],
    "schemas that no model names": ["CREATE SCHEMA other", "CREATE TABLE other.x (a int)"],
}
# Two statements that make the same for the reader.
ON_SQLITE = {
    "names of NOT NULL constraints": (
        "CREATE TABLE t (a INT NOT NULL)",
        "CREATE TABLE t (a INT CONSTRAINT x NOT NULL)",
    ),
    "MATCH of foreign keys": (
        "CREATE TABLE t (a INTEGER PRIMARY KEY REFERENCES t (a))",
        "CREATE TABLE t (a INTEGER PRIMARY KEY REFERENCES t (a) MATCH FULL)",
    ),
    "DESC and COLLATE in primary keys": (
        "CREATE TABLE t (a TEXT, b TEXT, PRIMARY KEY (a, b))",
        "CREATE TABLE t (a TEXT, b TEXT, PRIMARY KEY (a DESC, b COLLATE NOCASE))",
    ),
    "the order of columns": ("CREATE TABLE t (a TEXT, b TEXT)", "CREATE TABLE t (b TEXT, a TEXT)"),
    "modules and arguments of virtual tables": (
        "CREATE VIRTUAL TABLE t USING fts5 (a)",
        "CREATE VIRTUAL TABLE t USING fts5 (a, prefix = 2)",
    ),
    "settings that a pragma keeps in the file": ("PRAGMA user_version", "PRAGMA user_version = 7"),
    "attached databases and temporary objects": ("SELECT 1", "CREATE TEMP TABLE t (a)"),
}


@pytest.fixture
def connection(postgres_url: str) -> Iterator[sa.Connection]:
    with db.migration_engine(postgres_url).connect() as connection:
        connection.exec_driver_sql(SETUP)
        yield connection


def test_what_postgresql_has_besides_is_not_read(connection: sa.Connection) -> None:
    assert tuple(ON_POSTGRESQL) == NOT_READ["postgresql"]
    before = snapshots.take(connection)
    for thing, statements in ON_POSTGRESQL.items():
        with connection.begin_nested() as savepoint:
            for statement in statements:
                connection.exec_driver_sql(statement)
            assert snapshots.differences(before, snapshots.take(connection)) == [], thing
            savepoint.rollback()


def test_what_sqlite_has_besides_is_not_read() -> None:
    assert tuple(ON_SQLITE) == NOT_READ["sqlite"]
    for thing, statements in ON_SQLITE.items():
        taken = []
        for statement in statements:
            with db.migration_engine("sqlite://").connect() as memory:
                memory.exec_driver_sql(statement)
                taken.append(snapshots.take(memory))
        assert snapshots.differences(*taken) == [], thing


@pytest.mark.parametrize("dialect", NOT_READ)
def test_the_documentation_names_each(dialect: str) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = " ".join(page.partition("\nNot read, and so never compared,")[2].partition("\n### ")[0].split())
    assert [thing for thing in NOT_READ[dialect] if thing not in section] == []
