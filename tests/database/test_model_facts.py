"""The models built in a scratch: what is read there is what the server makes of them, and nothing stays."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from app import db
from app.migrations import snapshots
from app.models import Base
from tests.support.database_access import connected, execute
from tests.support.database_access import engine as engine_of

Column = sa.Column


def table(metadata: sa.MetaData, *items: Any, name: str = "t", **options: Any) -> sa.Table:
    return sa.Table(name, metadata, Column("id", sa.Integer, primary_key=True), *items, **options)


def named() -> sa.MetaData:
    return sa.MetaData(naming_convention=Base.metadata.naming_convention)


def compared(connection: sa.Connection, metadata: sa.MetaData) -> list[str]:
    found = snapshots.take(connection)
    return [str(difference) for difference in snapshots.compare_with_models(connection, metadata, found).differences]


def test_the_models_are_what_the_revisions_make(head_url: str) -> None:
    with connected(head_url) as connection:
        before = snapshots.take(connection)
        comparison = snapshots.compare_with_models(connection, Base.metadata, before)
        assert comparison.models == comparison.found
        assert (comparison.differences, comparison.notes) == ([], [])
        assert snapshots.take(connection) == before


@pytest.fixture(params=["TEMP", "CREATE"])
def role(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[str]:
    """A role that may make a scratch of one sort only."""
    url = sa.make_url(postgres_url)
    execute(
        postgres_url,
        f"REVOKE ALL ON DATABASE {url.database} FROM PUBLIC",
        f"CREATE ROLE {url.database}_r LOGIN",
        f"GRANT CONNECT, {request.param} ON DATABASE {url.database} TO {url.database}_r",
    )
    yield url.set(username=f"{url.database}_r").render_as_string()
    execute(postgres_url, f"DROP OWNED BY {url.database}_r", f"DROP ROLE {url.database}_r")


def test_either_right_is_enough(role: str) -> None:
    with db.connect(engine_of(role)) as connection:
        found = snapshots.compare_with_models(connection, Base.metadata, {})
        assert {d.name for d in found.differences if d.name.startswith("table ")} == {
            f"table {name}" for name in Base.metadata.tables
        }
        left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'schema_scratch%%'"
        assert connection.exec_driver_sql(left).scalar() == 0


def test_without_a_right_to_make_a_scratch_it_is_said(postgres_url: str) -> None:
    with connected(postgres_url) as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        with pytest.raises(snapshots.NoScratchModels, match="read-only"):
            snapshots.compare_with_models(connection, Base.metadata, {})


def changed(metadata: sa.MetaData, *, later: bool) -> None:
    """Declares one of many things, before and after a change that Alembic doesn't see."""
    texts = ("'a', 'b'", "'a', 'b', 'c'")
    t = table(
        metadata,
        Column("a", sa.Integer, server_default=sa.text("2") if later else "1"),
        Column("s", sa.String(9), server_default="it's %: b" if later else "it's %: a"),
        Column("g", sa.Integer, sa.Computed("a + 2" if later else "a + 1", persisted=True)),
        sa.CheckConstraint(f"s IN ({texts[later]})", name="s"),
    )
    where = sa.text(f"s = '{'b' if later else 'a'}'")
    sa.Index("x", t.c.a, postgresql_where=where, sqlite_where=where)
    sa.Index("y", (sa.func.upper if later else sa.func.lower)(t.c.s))


CHANGED = [
    "column t.a: default is '1', should be '2'",
    "column t.g: ",
    "column t.s: default is ",
    "constraint t.t_s_check: definition is ",
    "index t.x: definition is ",
    "index t.y: definition is ",
]


def test_what_alembic_does_not_see_is_a_difference(url: str) -> None:
    before, after = named(), named()
    changed(before, later=False)
    changed(after, later=True)
    before.create_all(db.migration_engine(url))
    with connected(url) as connection:
        assert compared(connection, before) == []
        found = compared(connection, after)
    assert len(found) == len(CHANGED)
    assert [line for line, beginning in zip(found, CHANGED, strict=True) if not line.startswith(beginning)] == []


def test_a_constraint_that_nobody_validated_is_a_difference(postgres_url: str) -> None:
    bare, checked, unchecked = named(), named(), named()
    table(bare)
    table(checked, sa.CheckConstraint("id > 0", name="positive"))
    table(unchecked, sa.CheckConstraint("id > 0", name="positive", postgresql_not_valid=True))
    bare.create_all(db.migration_engine(postgres_url))
    execute(postgres_url, "ALTER TABLE t ADD CONSTRAINT t_positive_check CHECK (id > 0) NOT VALID")
    with connected(postgres_url) as connection:
        assert compared(connection, checked) == ["constraint t.t_positive_check: valid is false, should be true"]
        assert compared(connection, unchecked) == []
    execute(postgres_url, "ALTER TABLE t VALIDATE CONSTRAINT t_positive_check")
    with connected(postgres_url) as connection:
        assert compared(connection, checked) == compared(connection, unchecked) == []


def of_postgresql(metadata: sa.MetaData, *, later: bool) -> None:
    mood = sa.Enum(*["new", "it's"], *(["x%"] if later else []), name="mood")
    check = sa.text("VALUE IN ('a', 'b', 'c')" if later else "VALUE IN ('a', 'b')")
    domain = postgresql.DOMAIN("known", sa.String(9), check=check, constraint_name="listed")
    numbers = sa.Sequence("numbers", start=10, increment=2 if later else 1, metadata=metadata)
    t = table(
        metadata,
        Column("m", mood),
        sa.CheckConstraint("m > 'new'", name="m", comment="why" if later else "because"),
        Column("d", domain),
        Column("i", sa.Integer, sa.Identity(start=100 if later else 1)),
        Column("n", sa.Integer, numbers, server_default=numbers.next_value()),
        Column("r", postgresql.TSTZRANGE),
        postgresql_with={"fillfactor": 80 if later else 70},
    )
    t.append_constraint(postgresql.ExcludeConstraint((t.c.r, "-|-" if later else "&&"), name="ex", using="gist"))
    table(metadata, Column("a", sa.Integer), name="u", prefixes=["UNLOGGED"] if later else [])
    options: dict[str, Any] = {"postgresql_partition_by": "LIST (id)" if later else "RANGE (id)"}
    sa.Table("p", metadata, Column("id", sa.Integer, primary_key=True), **options)


OF_POSTGRESQL = {
    "constraint t.ex definition",
    "constraint t.t_m_check comment",
    "domain known checks",
    "enum mood labels",
    "sequence numbers increment",
    "sequence t_i_seq start",
    "table p partitioned_by",
    "table t options",
    "table u unlogged",
}


def test_what_only_postgresql_knows_is_read_whole(postgres_url: str) -> None:
    before, after = named(), named()
    of_postgresql(before, later=False)
    of_postgresql(after, later=True)
    before.create_all(db.migration_engine(postgres_url))
    with connected(postgres_url) as connection:
        assert compared(connection, before) == []
        comparison = snapshots.compare_with_models(connection, after, snapshots.take(connection))
    assert {f"{d.name} {d.attribute}" for d in comparison.differences} == OF_POSTGRESQL


def test_a_text_that_a_dump_has_spelt_otherwise_is_the_same(postgres_url: str) -> None:
    metadata = named()
    t = table(metadata, Column("s", sa.String(9)), sa.CheckConstraint("s IN ('a', 'b')", name="s"))
    sa.Index("x", t.c.id, postgresql_where=t.c.s.in_(["a", "b"]))
    with connected(postgres_url) as connection:
        connection.exec_driver_sql("CREATE TABLE t (id serial, s varchar(9), CONSTRAINT t_pkey PRIMARY KEY (id))")
        array = "(ARRAY['a'::character varying, 'b'::character varying])::text[]"
        connection.exec_driver_sql(f"ALTER TABLE t ADD CONSTRAINT t_s_check CHECK (((s)::text = ANY ({array})))")
        connection.exec_driver_sql(f"CREATE INDEX x ON t (id) WHERE (s)::text = ANY ({array})")
        assert compared(connection, metadata) == []


def test_what_a_former_type_left_is_a_note(postgres_url: str) -> None:
    metadata = named()
    table(metadata, Column("s", sa.Text, server_default="a"))
    with connected(postgres_url) as connection:
        connection.exec_driver_sql("CREATE TABLE t (id serial PRIMARY KEY, s varchar(9) DEFAULT 'a')")
        connection.exec_driver_sql("ALTER TABLE t ALTER s TYPE text")
        comparison = snapshots.compare_with_models(connection, metadata, snapshots.take(connection))
    assert comparison.differences == []
    assert [note.partition(":")[0] for note in comparison.notes] == ["column t.s"]


_LOCKS = """
    SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = %(pid)s AND c.relnamespace = 'public'::regnamespace AND l.mode <> 'AccessShareLock'
"""


def test_no_live_table_is_locked(role: str, postgres_url: str) -> None:
    metadata = named()
    table(metadata, name="theirs")
    table(metadata, Column("o", sa.ForeignKey("theirs.id")), Column("c", sa.Integer, index=True))
    execute(postgres_url, "CREATE TABLE theirs (id serial PRIMARY KEY)")
    table(metadata, Column("o", sa.ForeignKey("theirs.id")), name="second")
    metadata.create_all(db.migration_engine(postgres_url))
    name = sa.make_url(role).username
    execute(postgres_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    found: list[Any] = []
    with db.connect(engine_of(role)) as connection, connected(postgres_url) as writer:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        writer.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
        writes = ["INSERT INTO theirs DEFAULT VALUES", "INSERT INTO t (c) VALUES (1)", "UPDATE t SET c = c + 1"]
        for write in writes:
            writer.exec_driver_sql(write)

        def look(*about: Any) -> None:
            for write in writes:
                writer.exec_driver_sql(write)
            found.extend(writer.exec_driver_sql(_LOCKS, {"pid": pid}))
            statements.append(about[2])

        statements: list[str] = []
        sa.event.listen(connection, "after_cursor_execute", look)
        snapshot = snapshots.take_with(connection, metadata)
        comparison = snapshots.compare_with_models(
            connection,
            metadata,
            snapshot,
            is_unmanaged=lambda name: name == "theirs",
            keep=lambda facts: {name: own for name, own in facts.items() if "theirs" not in name},
        )
    assert found == []
    assert any("REFERENCES" in statement for statement in statements)
    assert any("LIKE" in statement for statement in statements)
    assert comparison.differences == []
