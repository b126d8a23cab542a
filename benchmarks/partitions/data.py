"""Databases with a filled `request_logs`: a plain table, or one in partitions that are kept here."""

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from app.migrations.ahead import Mark, State
from tests.postgres import Server
from tests.support.alembic_in_process import upgrade
from tests.support.database_access import execute, query
from tests.support.partitioned_database import partition

TABLE = "request_logs"
BATCH = 500_000
CLIENTS = 50
PROVIDER = "INSERT INTO service_providers (id, name, base_url, protocol) VALUES (1, 'p', 'u', 'openai')"
KEYS = "INSERT INTO api_keys (key_name, key_value) SELECT 'client ' || n, 'key ' || n FROM generate_series(1, %s) AS n"
# As the gateway writes a request without its bodies, which are in request_log_details.
FILL = """
INSERT INTO request_logs (request_time, api_key_id, api_key_name, requested_model, target_model, provider_id,
    provider_name, matched_provider_count, first_byte_delay_ms, total_time_ms, input_tokens, output_tokens, total_cost,
    input_cost, output_cost, price_source, response_status, trace_id, is_stream, user_id, request_path, request_method,
    request_protocol, supplier_protocol)
SELECT %(low)s::timestamp + n * %(step)s::interval, n %% 50 + 1, 'client ' || n %% 50, 'model ' || n %% 30,
    'target ' || n %% 30, n %% 20, 'provider ' || n %% 20, 3, n %% 900, n %% 9000, n %% 5000, n %% 800,
    n %% 500 / 10000.0, n %% 300 / 10000.0, n %% 200 / 10000.0, 'catalog', 200, gen_random_uuid()::text, n %% 2 = 0,
    'user ' || n %% 1000, '/v1/chat/completions', 'POST', 'openai', 'anthropic'
FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS n
"""
_INDEXES = """
SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %s::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)
"""


def connect(url: str) -> psycopg.Connection:
    """Connects by the bare driver; each statement is committed by itself."""
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def empty(server: Server) -> str:
    """Makes a database at head, with the clients and a provider that logs refer to."""
    url = server.create_database()
    upgrade(url)
    with connect(url) as connection:
        connection.execute(PROVIDER)
        connection.execute(KEYS, [CLIENTS])
    return url


def fill(url: str, low: dt.datetime, high: dt.datetime, rows: int, *, bulk: bool = True) -> None:
    """Adds rows, evenly from `low` to before `high`.

    Args:
        url: the database.
        low: the first moment.
        high: the first moment after the rows.
        rows: their number.
        bulk: drops the indexes first and builds them at the end; needs the table for itself.
    """
    step = (high - low) / max(rows, 1)
    with connect(url) as connection:
        indexes = connection.execute(_INDEXES, [TABLE]).fetchall() if bulk else []
        for name, _ in indexes:
            connection.execute(SQL("DROP INDEX {}").format(Identifier(name)))
        connection.execute("SET maintenance_work_mem = '1GB'")
        for first in range(0, rows, BATCH):
            last = min(first + BATCH, rows)
            connection.execute(FILL, {"low": low, "step": step, "first": first, "last": last})
        for _, definition in indexes:
            connection.execute(definition.replace(" ON ONLY ", " ON ", 1))  # on all partitions


def analyze(url: str) -> None:
    """Does what autovacuum would after rows have come, so that plans are those of every day."""
    with connect(url) as connection:
        connection.execute(f"VACUUM (ANALYZE) {TABLE}".encode())


def settle(url: str) -> None:
    """Vacuums, gathers statistics and writes everything to the disk: a table in its everyday state."""
    with connect(url) as connection:
        connection.execute(f"VACUUM (FREEZE, ANALYZE) {TABLE}".encode())
        connection.execute("CHECKPOINT")


def divide(url: str, bounds: Sequence[dt.datetime]) -> None:
    """Partitions an empty `request_logs`, a partition between each two bounds, and marks them as kept here."""
    partition(url)
    execute(
        url,
        f"ALTER SEQUENCE {TABLE}_id_seq OWNED BY {TABLE}.id",
        *(f"DROP TABLE {TABLE}_{name}" for name in ("until_2026", "2026_01", "later", "default")),
    )
    with connect(url) as connection:
        for low, high in pairwise(bounds):
            name = Identifier(f"{TABLE}_p{low:%Y%m%d}")
            made = SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})")
            connection.execute(made.format(name, Identifier(TABLE), Literal(f"{low}"), Literal(f"{high}")))
            mark = str(Mark(TABLE, low, high, State.KEPT))
            connection.execute(SQL("COMMENT ON TABLE {} IS {}").format(name, Literal(mark)))


def one(url: str, question: str) -> int:
    """Returns the number that answers a question."""
    return int(str(query(url, question)[0][0] or 0))


def total_bytes(url: str) -> int:
    """Returns the bytes of the table, or of all its partitions, with indexes."""
    question = f"SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('{TABLE}')"
    return one(url, question) or one(url, f"SELECT pg_total_relation_size('{TABLE}')")


def files(url: str) -> dict[str, int]:
    """Returns the number of the file of each table of logs, by the table's name."""
    question = f"SELECT relname, relfilenode FROM pg_class WHERE starts_with(relname, '{TABLE}') AND relkind = 'r'"
    return {str(name): int(str(file)) for name, file in query(url, question)}


def wal(url: str) -> int:
    """Returns the bytes of WAL that the server has written so far."""
    return one(url, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
