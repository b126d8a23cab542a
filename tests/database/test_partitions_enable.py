"""`schema partitions enable`: a table becomes partitioned and plain again, with all that it has; or is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.migrations.partitions import enable, plan_enable, plan_undo, undo
from app.partitions import Partitioned
from tests.support.database_access import execute, query
from tests.support.databases import Servers, database
from tests.support.hand_made_project import HandMade, dump

NAME = 'vis"its Log'
TABLE, AT = '"vis""its Log"', '"at ""x"""'
BODY = "BEGIN RETURN NEW; END"
EVERYTHING = (
    *(
        f"DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        for role in ("reader", '"odd Writer"')
    ),
    "CREATE TABLE keys (id int PRIMARY KEY)",
    "INSERT INTO keys VALUES (1), (2)",
    f"CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$ {BODY} $$",
    f"""CREATE TABLE {TABLE} (
        gone int, id bigserial, {AT} timestamptz NOT NULL, n int DEFAULT 5 CHECK (n > 0), key int,
        body text COMPRESSION pglz, twice int GENERATED ALWAYS AS (n * 2) STORED, u uuid DEFAULT gen_random_uuid(),
        CONSTRAINT "the Key" PRIMARY KEY (id) INCLUDE (n) WITH (fillfactor = 70),
        CONSTRAINT uq UNIQUE (u, {AT}),
        CONSTRAINT "to keys" FOREIGN KEY (key) REFERENCES keys (id) ON DELETE SET NULL DEFERRABLE
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)""",
    f"ALTER TABLE {TABLE} DROP COLUMN gone",
    f"ALTER TABLE {TABLE} ADD up bigint CONSTRAINT upwards REFERENCES {TABLE} ON DELETE SET NULL",
    f"COMMENT ON CONSTRAINT upwards ON {TABLE} IS 'to the first'",
    f"ALTER TABLE {TABLE} ALTER body SET STORAGE EXTERNAL, ALTER n SET STATISTICS 400",
    f"ALTER TABLE {TABLE} ALTER key SET (n_distinct = 50, n_distinct_inherited = -0.5)",
    f"CREATE INDEX partly ON {TABLE} (n DESC NULLS LAST) WITH (fillfactor = 60) WHERE n > 3",
    f"CREATE INDEX lowered ON {TABLE} (lower(body) text_pattern_ops, (n + 1))",
    "ALTER INDEX lowered ALTER COLUMN 2 SET STATISTICS 77",
    f"CREATE UNIQUE INDEX one ON {TABLE} ({AT}, n, u)",
    f'ALTER TABLE {TABLE} CLUSTER ON "the Key"',
    f'CREATE STATISTICS "n and Key" (dependencies, mcv) ON n, key FROM {TABLE}',
    'ALTER STATISTICS "n and Key" SET STATISTICS 55',
    """COMMENT ON STATISTICS "n and Key" IS 'both'""",
    f"CREATE TRIGGER before_each BEFORE UPDATE OF n ON {TABLE} FOR EACH ROW WHEN (NEW.n > 1) EXECUTE FUNCTION bump()",
    f"CREATE TRIGGER after_all AFTER INSERT ON {TABLE} REFERENCING NEW TABLE AS new EXECUTE FUNCTION bump()",
    f"CREATE TRIGGER never AFTER DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION bump()",
    f"""CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON {TABLE} DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION bump()""",
    f"ALTER TABLE {TABLE} DISABLE TRIGGER never, ENABLE ALWAYS TRIGGER before_each",
    f"COMMENT ON TRIGGER never ON {TABLE} IS 'it''s off'",
    f"COMMENT ON TABLE {TABLE} IS '100% of it\\ all'",
    f"COMMENT ON COLUMN {TABLE}.n IS 'a number'",
    f"COMMENT ON CONSTRAINT \"the Key\" ON {TABLE} IS 'the key'",
    f"COMMENT ON CONSTRAINT \"to keys\" ON {TABLE} IS 'the reference'",
    f'COMMENT ON CONSTRAINT "vis""its Log_n_check" ON {TABLE} IS \'the check\'',
    "COMMENT ON INDEX partly IS 'the index'",
    f"GRANT SELECT ON {TABLE} TO reader WITH GRANT OPTION",
    f'GRANT INSERT (id, {AT}), UPDATE (n) ON {TABLE} TO "odd Writer"',
    f"GRANT TRIGGER ON {TABLE} TO PUBLIC",
    f"REVOKE TRUNCATE ON {TABLE} FROM postgres",
    f"ALTER TABLE {TABLE} REPLICA IDENTITY FULL",
    f"CREATE PUBLICATION parts FOR TABLE {TABLE} (id, n, {AT}) WHERE (n > 2) WITH (publish_via_partition_root)",
    f"CREATE PUBLICATION whole FOR TABLE {TABLE} WITH (publish_via_partition_root)",
    "CREATE PUBLICATION every FOR ALL TABLES WITH (publish_via_partition_root)",
    "CREATE TABLE details (log bigint PRIMARY KEY, other bigint)",
    f"ALTER TABLE details ADD CONSTRAINT of_log FOREIGN KEY (log) REFERENCES {TABLE} ON DELETE CASCADE",
    f'ALTER TABLE details ADD CONSTRAINT "of Other" FOREIGN KEY (other) REFERENCES {TABLE} (id) DEFERRABLE',
    "COMMENT ON CONSTRAINT of_log ON details IS 'cascades'",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT DELETE ON TABLES TO reader",
    f"""INSERT INTO {TABLE} ({AT}, n, key, body, up)
        SELECT now() - g * interval '1 hour', g % 9 + 1, g % 2 + 1, 'b' || g, 1 FROM generate_series(1, 200) g""",
    f"INSERT INTO details SELECT id FROM {TABLE}",
)
WEEKLY = Partitioned(by='at "x"', every="week", keep="90 days", ahead="4 weeks")
# What a snapshot doesn't read.
BESIDE = {
    "grants": """SELECT coalesce(a.attname, ''), g.* FROM pg_class c
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL,
        LATERAL (SELECT * FROM aclexplode(a.attacl) UNION SELECT * FROM aclexplode(relacl)) g
        WHERE c.oid = to_regclass(%s) ORDER BY 1, 2, 3, 4""",
    "columns": """SELECT attname, attstattarget, attoptions, attstorage, attcompression FROM pg_attribute
        WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum""",
    "identity": "SELECT relreplident, relowner FROM pg_class WHERE oid = to_regclass(%s)",
    "publications": """SELECT p.pubname, p.attnames, p.rowfilter FROM pg_publication_tables p, pg_class c
        WHERE c.oid = to_regclass(%s) AND c.relname = p.tablename ORDER BY 1""",
    "triggers": """SELECT tgname, tgenabled, obj_description(oid) FROM pg_trigger
        WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal ORDER BY 1""",
    "indexes": """SELECT i.relname, obj_description(i.oid), a.attnum, a.attstattarget, i.reloptions
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_attribute a ON a.attrelid = i.oid
        WHERE x.indrelid = to_regclass(%s) AND i.relname NOT IN ('the Key') ORDER BY 1, 3""",
    "statistics": "SELECT stxname, stxstattarget, obj_description(oid) FROM pg_statistic_ext "
    "WHERE stxrelid = to_regclass(%s)",
}


def beside(url: str, table: str = TABLE) -> dict[str, list[tuple[object, ...]]]:
    with_table = {name: text.replace("%s", f"$x${table}$x$") for name, text in BESIDE.items()}
    return {name: query(url, text) for name, text in with_table.items()}


@pytest.fixture(params=["postgresql", pytest.param("postgresql17", marks=pytest.mark.exhaustive)])
def everything(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[HandMade]:
    with database(request.param, servers, tmp_path) as url:
        yield HandMade(tmp_path, url, EVERYTHING, {NAME: WEEKLY})


def test_a_table_that_has_it_all_goes_there_and_back(everything: HandMade, servers: Servers) -> None:
    url, project = everything.url, everything.project
    major = int(str(query(url, "SELECT current_setting('server_version_num')::int / 10000")[0][0]))
    plain, facts, rows = dump(servers[major], url), beside(url), query(url, f"SELECT * FROM {TABLE} ORDER BY id")
    file = query(url, f"SELECT pg_relation_filenode('{TABLE}')")
    planned = plan_enable(project, NAME, everything.engine)
    assert (planned.code, planned.refusals) == ("ready", [])
    assert dump(servers[major], url) == plain
    done = enable(project, NAME, everything.engine)
    assert len(done.created) in (4, 5)
    assert everything.in_plain_form() == everything.expected
    assert beside(url) == facts
    assert query(url, f"SELECT * FROM {TABLE} ORDER BY id") == rows
    (leaf,) = query(url, f"SELECT DISTINCT tableoid::regclass::text FROM {TABLE}")[0]
    assert query(url, f"SELECT pg_relation_filenode('{leaf}')") == file
    assert enable(project, NAME, everything.engine).code == "nothing"
    execute(url, f"INSERT INTO {TABLE} ({AT}) VALUES (now())")
    assert query(url, f"SELECT count(*) FROM {TABLE} WHERE twice = 10 AND id = 201") == [(1,)]
    planned = plan_undo(project, NAME, everything.engine)
    assert (planned.code, planned.refusals) == ("ready", [])
    undo(project, NAME, everything.engine)
    assert dump(servers[major], url) == plain
    assert query(url, f"SELECT pg_relation_filenode('{TABLE}')") == file
    assert undo(project, NAME, everything.engine).code == "nothing"
