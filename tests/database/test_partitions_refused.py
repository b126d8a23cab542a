"""Tables that can't be partitioned as they are: each is refused before the first step, in one line."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.migrations.partitions.conversion.refusals import refusals
from app.migrations.partitions.facts import table_facts
from app.partitions import Declared, Schedule
from tests.support.approved_texts import Approve
from tests.support.database_access import engine, execute
from tests.support.databases import Servers, database

DECLARED = Declared("logs", "at", ("id",), Schedule.parse("week", None, None))
MODELS = ["logs", "details", "keys"]
TABLES = (
    "CREATE TABLE keys (id int PRIMARY KEY)",
    (
        "CREATE TABLE logs (id bigserial PRIMARY KEY, at timestamp NOT NULL, day date NOT NULL DEFAULT now(), n int, "
        "key int REFERENCES keys, u text)"
    ),
    "CREATE TABLE details (log bigint PRIMARY KEY REFERENCES logs, at timestamp)",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    *(
        f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        for role in ("logs_owner", "logs_member", "logs_reader")
    ),
    "GRANT logs_owner TO logs_member",
)
OWNED = "ALTER TABLE logs OWNER TO logs_owner; ALTER TABLE details OWNER TO logs_owner; GRANT ALL ON keys TO logs_owner"
# What is refused, and what is much like it and isn't.
CASES: dict[str, tuple[str, str]] = {
    "a view": ("CREATE VIEW v AS SELECT id FROM logs", "CREATE VIEW v AS SELECT id FROM keys"),
    "a view of a view": ("CREATE VIEW v AS SELECT id FROM logs; CREATE VIEW w AS SELECT * FROM v", ""),
    "a materialized view": ("CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM logs", ""),
    "a rule": ("CREATE RULE r AS ON DELETE TO logs DO INSTEAD NOTHING", ""),
    "a function with a body of SQL": (
        "CREATE FUNCTION n() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM logs; END",
        "CREATE FUNCTION n() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM logs'",
    ),
    "a function of its rows": ("CREATE FUNCTION g(logs) RETURNS int LANGUAGE sql AS 'SELECT 1'", ""),
    "a column of its rows": ("CREATE TABLE more (row logs)", "CREATE TABLE more (row keys)"),
    "a constraint trigger from it": (
        "CREATE CONSTRAINT TRIGGER c AFTER INSERT ON keys FROM logs FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE CONSTRAINT TRIGGER c AFTER INSERT ON logs FROM keys FOR EACH ROW EXECUTE FUNCTION f()",
    ),
    "row level security": ("ALTER TABLE logs ENABLE ROW LEVEL SECURITY", "ALTER TABLE keys ENABLE ROW LEVEL SECURITY"),
    "a policy": ("CREATE POLICY p ON logs USING (true)", "CREATE POLICY p ON keys USING (true)"),
    "a child": ("CREATE TABLE child () INHERITS (logs)", ""),
    "a parent": ("CREATE TABLE parent (n int); ALTER TABLE logs INHERIT parent", ""),
    "a partition": (
        (
            "CREATE TABLE whole (LIKE logs INCLUDING DEFAULTS) PARTITION BY RANGE (at); "
            "ALTER TABLE whole ATTACH PARTITION logs DEFAULT"
        ),
        "",
    ),
    "an unlogged table": ("ALTER TABLE details SET UNLOGGED; ALTER TABLE logs SET UNLOGGED", ""),
    "a typed table": (
        "CREATE TYPE typed AS (id bigint, at timestamp, day date, n int, key int, u text); ALTER TABLE logs OF typed",
        "",
    ),
    "a security label": (
        "INSERT INTO pg_seclabel VALUES ('logs'::regclass, 'pg_class'::regclass, 0, 'selinux', 'x')",
        "INSERT INTO pg_seclabel VALUES ('keys'::regclass, 'pg_class'::regclass, 0, 'selinux', 'x')",
    ),
    "a table of an extension": (
        (
            "INSERT INTO pg_depend SELECT 'pg_class'::regclass, 'logs'::regclass, 0, 'pg_extension'::regclass, oid, 0, "
            "'e' FROM pg_extension WHERE extname = 'plpgsql'"
        ),
        "",
    ),
    "a subscription": (
        (
            "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false); "
            "INSERT INTO pg_subscription_rel SELECT oid, 'logs'::regclass, 'r', NULL FROM pg_subscription"
        ),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false); "
            "INSERT INTO pg_subscription_rel SELECT oid, 'keys'::regclass, 'r', NULL FROM pg_subscription"
        ),
    ),
    "an identity column": ("ALTER TABLE logs ADD i int GENERATED ALWAYS AS IDENTITY", "ALTER TABLE logs ADD i serial"),
    "a column that may be NULL": ("ALTER TABLE logs ALTER at DROP NOT NULL", ""),
    "a date": (
        "ALTER TABLE logs ALTER at TYPE date",
        "ALTER TABLE logs ALTER at TYPE timestamptz",
    ),
    "no such column": ("ALTER TABLE logs RENAME at TO moment", ""),
    "no primary key": ("ALTER TABLE logs DROP CONSTRAINT logs_pkey CASCADE", ""),
    "a unique constraint": ("ALTER TABLE logs ADD UNIQUE (u)", "ALTER TABLE logs ADD UNIQUE (u, at)"),
    "a unique index": ("CREATE UNIQUE INDEX one ON logs (lower(u))", "CREATE UNIQUE INDEX one ON logs (lower(u), at)"),
    "a unique index that includes it": ("CREATE UNIQUE INDEX one ON logs (u) INCLUDE (at)", ""),
    "an exclusion": ("ALTER TABLE logs ADD EXCLUDE USING btree (u WITH =)", ""),
    "a check that isn't validated": (
        "ALTER TABLE logs ADD CONSTRAINT c CHECK (n > 0) NOT VALID",
        "ALTER TABLE logs ADD CONSTRAINT c CHECK (n > 0)",
    ),
    "a foreign key that isn't validated": (
        "ALTER TABLE logs ADD CONSTRAINT k FOREIGN KEY (n) REFERENCES keys NOT VALID",
        "ALTER TABLE logs ADD CONSTRAINT k FOREIGN KEY (n) REFERENCES keys",
    ),
    "a check of the table alone": ("ALTER TABLE logs ADD CONSTRAINT c CHECK (n > 0) NO INHERIT", ""),
    "a check by our name": (
        "ALTER TABLE logs ADD CONSTRAINT logs_until CHECK (n > 0)",
        (
            "ALTER TABLE logs ADD CONSTRAINT logs_until CHECK (at < '2030-01-01'); COMMENT ON CONSTRAINT logs_until "
            "ON logs IS 'schema partitions: logs from MINVALUE to 2030-01-01 00:00:00 UTC, converting'"
        ),
    ),
    "an index by our name": (
        "CREATE INDEX logs_until_key ON logs (id, at)",
        "CREATE UNIQUE INDEX logs_until_key ON logs (id, at)",
    ),
    "an invalid index": (
        "CREATE INDEX i ON logs (n); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass",
        "CREATE INDEX i ON keys (id); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass",
    ),
    "a foreign key of another program": (
        "CREATE TABLE theirs (log bigint REFERENCES logs)",
        "CREATE TABLE theirs (key int REFERENCES keys)",
    ),
    "a foreign key to the column": (
        "ALTER TABLE logs ADD UNIQUE (at, id); ALTER TABLE details ADD FOREIGN KEY (log, at) REFERENCES logs (id, at)",
        "ALTER TABLE logs ADD UNIQUE (at, id); ALTER TABLE details ADD FOREIGN KEY (log) REFERENCES logs (id)",
    ),
    "a trigger for rows with transition tables": (
        "CREATE TRIGGER t AFTER INSERT ON logs REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER t AFTER INSERT ON logs REFERENCING NEW TABLE AS n EXECUTE FUNCTION f()",
    ),
    "a publication": (
        "CREATE PUBLICATION p FOR TABLE logs",
        "CREATE PUBLICATION p FOR TABLE logs WITH (publish_via_partition_root)",
    ),
    "a publication without the column": (
        "CREATE PUBLICATION p FOR TABLE logs (id, n) WITH (publish_via_partition_root)",
        (
            "ALTER TABLE logs REPLICA IDENTITY FULL; "
            "CREATE PUBLICATION p FOR TABLE logs (id, n) WITH (publish_via_partition_root)"
        ),
    ),
    "a publication of all tables": (
        "CREATE PUBLICATION p FOR ALL TABLES",
        "CREATE PUBLICATION p FOR ALL TABLES WITH (publish_via_partition_root)",
    ),
    "a publication of the schema": (
        "CREATE PUBLICATION p FOR TABLES IN SCHEMA public",
        "CREATE PUBLICATION p FOR TABLES IN SCHEMA public WITH (publish_via_partition_root)",
    ),
    "another owner's publication": (
        (
            f"{OWNED}; GRANT CREATE ON SCHEMA public TO logs_owner; "
            "CREATE PUBLICATION p FOR TABLE logs WITH (publish_via_partition_root); SET LOCAL ROLE logs_owner"
        ),
        (
            f"{OWNED}; GRANT CREATE ON SCHEMA public TO logs_owner; "
            "CREATE PUBLICATION p FOR ALL TABLES WITH (publish_via_partition_root); SET LOCAL ROLE logs_owner"
        ),
    ),
    "another owner": (
        "GRANT CREATE ON SCHEMA public TO logs_reader; SET LOCAL ROLE logs_reader",
        f"{OWNED}; GRANT CREATE ON SCHEMA public TO logs_owner; SET LOCAL ROLE logs_member",
    ),
    "a schema that is closed": (f"{OWNED}; SET LOCAL ROLE logs_owner", ""),
    "a schema that is closed to the owner": (
        f"{OWNED}; GRANT CREATE ON SCHEMA public TO logs_member; SET LOCAL ROLE logs_member",
        "",
    ),
    "a table that may not be referred to": (
        (
            f"{OWNED}; GRANT CREATE ON SCHEMA public TO logs_owner; REVOKE REFERENCES ON keys FROM logs_owner; "
            "SET LOCAL ROLE logs_owner"
        ),
        "",
    ),
    "another owner's details": (
        (
            "ALTER TABLE logs OWNER TO logs_owner; GRANT ALL ON keys TO logs_owner; "
            "GRANT CREATE ON SCHEMA public TO logs_owner; SET LOCAL ROLE logs_owner"
        ),
        "",
    ),
    "rights that were passed on": (
        (
            "GRANT SELECT ON logs TO logs_reader WITH GRANT OPTION; SET LOCAL ROLE logs_reader; "
            "GRANT SELECT ON logs TO logs_member; RESET ROLE"
        ),
        "GRANT SELECT ON logs TO logs_reader WITH GRANT OPTION",
    ),
    "a session that reads only": ("SET TRANSACTION READ ONLY", ""),
    "another schema": ("CREATE SCHEMA other; SET LOCAL search_path = other, public", ""),
    "a temporary table": (
        "CREATE TEMPORARY TABLE logs (id int PRIMARY KEY, at timestamp NOT NULL)",
        "",
    ),
    "a foreign table": (
        (
            "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; ALTER TABLE logs RENAME TO other; "
            "CREATE FOREIGN TABLE logs (at timestamp) SERVER s"
        ),
        "",
    ),
    "a view in its place": ("ALTER TABLE logs RENAME TO other; CREATE VIEW logs AS SELECT * FROM other", ""),
}
NEWER = {
    "a key without overlaps": (
        (
            "CREATE EXTENSION btree_gist; ALTER TABLE logs DROP CONSTRAINT logs_pkey CASCADE; ALTER TABLE logs "
            "ADD r tsrange NOT NULL DEFAULT tsrange(now()::timestamp, NULL), ADD PRIMARY KEY (id, r WITHOUT OVERLAPS)"
        ),
        "",
    ),
    "a check that isn't enforced": ("ALTER TABLE logs ADD CONSTRAINT c CHECK (n > 0) NOT ENFORCED", ""),
    "a NOT NULL that isn't validated": ("ALTER TABLE logs ADD CONSTRAINT c NOT NULL n NOT VALID", ""),
    "a NOT NULL of the table alone": ("ALTER TABLE logs ADD CONSTRAINT c NOT NULL n NO INHERIT", ""),
}


@pytest.fixture(params=["postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)])
def url(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[str]:
    with database(request.param, servers, tmp_path) as url:
        execute(url, *TABLES)
        yield url


def lines(url: str, script: str, newest: dt.datetime | None = None) -> list[str]:
    """What is refused after some statements, which are rolled back."""
    with engine(url).connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(script)
        facts = table_facts(connection, "logs")
        assert facts is not None
        return refusals(connection, facts, DECLARED, MODELS, newest)


def test_each_is_refused_in_one_line(url: str, approve: Approve) -> None:
    is_newer = _major(url) >= 18
    assert lines(url, "") == []
    told = {name: lines(url, bad) for name, (bad, _) in (CASES | (NEWER if is_newer else {})).items()}
    assert {name: found for name, found in told.items() if not found} == {}
    if is_newer:
        text = "\n".join(f"{name}\n" + "".join(f"  {line}\n" for line in found) for name, found in told.items())
        approve("partitions/refused.txt", text)
    assert {name: found for name, (_, good) in CASES.items() if good and (found := lines(url, good))} == {}


def test_rows_of_the_far_future_are_refused(url: str) -> None:
    (line,) = lines(url, "", dt.datetime(2999, 1, 1))  # noqa: DTZ001 - as all of them here
    assert line.startswith("rows of logs are later than 4 weeks from now, up to 2999-01-01 00:00:00 UTC")


def _major(url: str) -> int:
    with engine(url).connect() as connection:
        return int(connection.exec_driver_sql("SELECT current_setting('server_version_num')::int / 10000").scalar_one())
