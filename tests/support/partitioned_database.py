"""Partitions request_logs of a database by hand, as an operator would."""

from tests.support.database_access import execute, query

TABLE = "request_logs"
_FORMER = f"{TABLE}_until_2026"


def partition(url: str, *, key: str = "id, request_time", by: str = "RANGE (request_time)") -> None:
    """Makes a partition of the table as it is, and others beside it: a default, and one with partitions of its own."""
    indexes = query(url, f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename = '{TABLE}'")
    foreign_keys = query(
        url,
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        f"WHERE contype = 'f' AND conrelid = '{TABLE}'::regclass",
    )
    referring = query(
        url,
        "SELECT conrelid::regclass::text, conname FROM pg_constraint "
        f"WHERE contype = 'f' AND confrelid = '{TABLE}'::regclass",
    )
    comment = query(url, f"SELECT obj_description('{TABLE}'::regclass)")[0][0]
    own = [(str(name), str(text)) for name, text in indexes if name != f"{TABLE}_pkey"]
    execute(
        url,
        # These need a unique id, which the partitioned table can't have.
        *(f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name in referring),
        f"ALTER TABLE {TABLE} RENAME TO {_FORMER}",
        f"ALTER TABLE {_FORMER} DROP CONSTRAINT {TABLE}_pkey",
        *(f"ALTER INDEX {name} RENAME TO {name}_until_2026" for name, _ in own),
        f"CREATE TABLE {TABLE} (LIKE {_FORMER} INCLUDING DEFAULTS INCLUDING COMMENTS) PARTITION BY {by}",
        f"COMMENT ON TABLE {TABLE} IS '{comment}'",
        f"ALTER TABLE {TABLE} ADD CONSTRAINT {TABLE}_pkey PRIMARY KEY ({key})",
        *(f"ALTER TABLE {TABLE} ADD CONSTRAINT {name} {text}" for name, text in foreign_keys),
        # One by one, as for indexes that are built beside the writers: ON ONLY, and attached below.
        *(text.replace(f" ON public.{TABLE} ", f" ON ONLY public.{TABLE} ") for _, text in own),
        f"ALTER TABLE {TABLE} ATTACH PARTITION {_FORMER} FOR VALUES FROM (MINVALUE) TO ('2026-01-01')",
        *(f"ALTER INDEX {name} ATTACH PARTITION {name}_until_2026" for name, _ in own),
        f"CREATE TABLE {TABLE}_2026_01 PARTITION OF {TABLE} FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        f"CREATE TABLE {TABLE}_later PARTITION OF {TABLE} FOR VALUES FROM ('2026-02-01') TO ('2027-01-01') "
        "PARTITION BY HASH (id)",
        f"CREATE TABLE {TABLE}_later_0 PARTITION OF {TABLE}_later FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        f"CREATE TABLE {TABLE}_default PARTITION OF {TABLE} DEFAULT",
    )
    # What only a partition has is its own.
    execute(
        url,
        f"CREATE INDEX {TABLE}_2026_01_trace ON {TABLE}_2026_01 (trace_id)",
        f"ALTER TABLE {TABLE}_2026_01 ADD CONSTRAINT cheap CHECK (total_cost < 100)",
        f"CREATE STATISTICS {TABLE}_2026_01_times (dependencies) ON request_time, requested_model FROM {TABLE}_2026_01",
        f"CREATE SEQUENCE {TABLE}_2026_01_seq OWNED BY {TABLE}_2026_01.id",
    )
