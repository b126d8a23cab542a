"""Partitions tables of a database by hand, as an operator would."""

from tests.support.database_access import execute, query

TABLE = "request_logs"
DETAILS = "request_log_details"
AUDIT = "service_audit_logs"
COLUMNS = {TABLE: ("id", "request_time"), DETAILS: ("log_id", "request_time"), AUDIT: ("id", "created_at")}


def foreign_keys(url: str, table: str) -> list[tuple[object, ...]]:
    """Names and definitions of the foreign keys of a table."""
    named = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    return query(url, f"{named} WHERE contype = 'f' AND conrelid = '{table}'::regclass")


def references(url: str, table: str) -> list[tuple[object, ...]]:
    """The foreign keys that refer to a table: each with the table that has it."""
    named = "SELECT conrelid::regclass::text, conname FROM pg_constraint"
    return query(url, f"{named} WHERE contype = 'f' AND confrelid = '{table}'::regclass")


def partition(url: str, table: str = TABLE, *, key: str = "", by: str = "") -> None:
    """Makes a partition of the table as it is, and others beside it: a default, and one with partitions of its own."""
    former, (number, time) = f"{table}_until_2026", COLUMNS[table]
    key, by = key or f"{number}, {time}", by or f"RANGE ({time})"
    indexes = query(url, f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename = '{table}'")
    keys, referring = foreign_keys(url, table), references(url, table)
    comment = query(url, f"SELECT obj_description('{table}'::regclass)")[0][0]
    own = [(str(name), str(text)) for name, text in indexes if name != f"{table}_pkey"]
    execute(
        url,
        # These need a unique id, which the partitioned table can't have.
        *(f"ALTER TABLE {child} DROP CONSTRAINT {name}" for child, name in referring),
        f"ALTER TABLE {table} RENAME TO {former}",
        f"ALTER TABLE {former} DROP CONSTRAINT {table}_pkey",
        *(f"ALTER INDEX {name} RENAME TO {name}_until_2026" for name, _ in own),
        f"CREATE TABLE {table} (LIKE {former} INCLUDING DEFAULTS INCLUDING COMMENTS) PARTITION BY {by}",
        f"COMMENT ON TABLE {table} IS '{comment}'",
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({key})",
        *(f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}" for name, text in keys),
        # One by one, as for indexes that are built beside the writers: ON ONLY, and attached below.
        *(text.replace(f" ON public.{table} ", f" ON ONLY public.{table} ") for _, text in own),
        f"ALTER TABLE {table} ATTACH PARTITION {former} FOR VALUES FROM (MINVALUE) TO ('2026-01-01')",
        *(f"ALTER INDEX {name} ATTACH PARTITION {name}_until_2026" for name, _ in own),
        f"CREATE TABLE {table}_2026_01 PARTITION OF {table} FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        f"CREATE TABLE {table}_later PARTITION OF {table} FOR VALUES FROM ('2026-02-01') TO ('2027-01-01') "
        f"PARTITION BY HASH ({number})",
        f"CREATE TABLE {table}_later_0 PARTITION OF {table}_later FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT",
    )
    # What only a partition has is its own.
    first = f"{table}_2026_01"
    execute(
        url,
        f"CREATE INDEX {first}_own ON {first} (({number} IS NULL))",
        f"ALTER TABLE {first} ADD CONSTRAINT cheap CHECK ({number} IS NOT NULL)",
        f"CREATE STATISTICS {first}_times (dependencies) ON {number}, {time} FROM {first}",
        f"CREATE SEQUENCE {first}_seq OWNED BY {first}.{number}",
    )
