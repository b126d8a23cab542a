"""How long an upgrade makes others wait: each kind of edit of a busy table, plain and in `op.concurrently`.

python -m benchmarks.stalls [--rows 1000000] [--partitions 12] [--only EDIT] [--json]

`request_logs` is filled, copied for each run, and written and read by two other sessions every 2 ms while `alembic
upgrade head` runs as a process. Reported is the longest that either had to wait for one statement, in milliseconds.
Plain is what Alembic's autogenerate writes. With `--partitions` the table is partitioned by time in as many ranges with
as many rows each. PostgreSQL writes durably here.
"""

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import measure
from tests.postgres import Server
from tests.support.alembic_in_process import upgrade
from tests.support.database_access import execute
from tests.support.partitioned_database import partition
from tests.support.project_copy import ProjectCopy

FILL = """
INSERT INTO request_logs (request_time, requested_model, trace_id, total_time_ms, request_body)
SELECT now() - n * interval '1 second', 'model ' || mod(n, 50), 'trace ' || n, mod(n, 1000), jsonb_build_object('n', n)
FROM generate_series(1, %s) AS n
"""
PROVIDER = "INSERT INTO service_providers (id, name, base_url, protocol) VALUES (0, 'p', 'u', 'openai')"
INSERT = "INSERT INTO request_logs (request_time, trace_id, total_time_ms) VALUES (now(), gen_random_uuid(), 1)"
WRITES = [
    INSERT,
    "UPDATE request_logs SET output_tokens = 1 WHERE id = 77",
]
READ = "SELECT trace_id FROM request_logs WHERE id = 77"
EDITS = {
    "index": 'op.create_index("stall_idx", "request_logs", ["trace_id", "requested_model"])',
    "unique constraint": 'op.create_unique_constraint("stall_key", "request_logs", ["trace_id"])',
    "foreign key": 'op.create_foreign_key("stall_fkey", "request_logs", "service_providers", ["retry_count"], ["id"])',
    "check": 'op.create_check_constraint("stall_check", "request_logs", "total_time_ms >= 0")',
    "not null": 'op.alter_column("request_logs", "total_time_ms", existing_type=sa.Integer, nullable=False)',
    "index dropped": 'op.drop_index("idx_request_logs_time_model", "request_logs")',
}
# What differs where the table is partitioned.
EDITS_OF_PARENT = {
    "unique constraint": 'op.create_unique_constraint("stall_key", "request_logs", ["trace_id", "request_time"])',
}
PARTITION = (
    "CREATE TABLE request_logs_{} PARTITION OF request_logs "
    "FOR VALUES FROM (now() - interval '{} seconds') TO (now() - interval '{} seconds')"
)
A_DAY = 86_400
_NUMBER = '"request_logs", "response_status", type_=sa.BigInteger(), existing_type=sa.Integer()'
_TEXT = '"request_logs", "requested_model", type_=sa.String(90), existing_type=sa.String(100)'
_DEFAULT = 'server_default=sa.text("gen_random_uuid()")'
_SETS = f'op.alter_column("request_logs", "token", existing_type=sa.Uuid(), {_DEFAULT})'


def _steps(change: str) -> list[str]:
    """The revisions of another type."""
    fill = f"with op.concurrently():\n    op.fill_type_change({change})"
    return [f"op.start_type_change({change})", fill, f"op.finish_type_change({change})"]


# Edits of several revisions.
IN_STEPS = {
    "integer to bigint": _steps(_NUMBER),
    "a shorter text": _steps(_TEXT),
    "default for each row": [
        f'op.add_column("request_logs", sa.Column("token", sa.Uuid))\n{_SETS}',
        'with op.concurrently():\n    op.fill_column("request_logs", "token", "gen_random_uuid()")',
    ],
}
# What Alembic writes where that isn't the same in a transaction.
PLAIN = {"default for each row": [f'op.add_column("request_logs", sa.Column("token", sa.Uuid, {_DEFAULT}))']}
PAUSE = 0.002


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Measures how long an upgrade makes others wait.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=0)
    parser.add_argument("--only", choices=[*EDITS, *IN_STEPS])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, measure.DurableServer() as server:
        template = filled(server, options.rows, options.partitions)
        edits = EDITS | EDITS_OF_PARENT if options.partitions else EDITS
        bodies = {edit: [f"with op.concurrently():\n    {code}"] for edit, code in edits.items()}
        bodies |= {} if options.partitions else IN_STEPS  # refused on a partitioned table
        results: dict[str, Any] = {"nothing, for two seconds": [undisturbed(server, template)] * 2}
        results |= {
            edit: [
                stall(server, template, PLAIN.get(edit, revisions), Path(name), plain=True),
                stall(server, template, revisions, Path(name), plain=False),
            ]
            for edit, revisions in bodies.items()
            if options.only in (None, edit)
        }
        where = measure.where([f"PostgreSQL {server.major}"], rows=options.rows, partitions=options.partitions)
    measure.finish({"where": where, "results": results}, text, as_json=options.json)


def text(measured: dict[str, Any]) -> str:
    """Returns the table, in milliseconds; the last column is what the upgrade in our form took, in seconds."""
    lines = [measure.heading(measured), ""]
    lines.append(f"{'':26}{'plain: writer':>14}{'reader':>8}{'ours: writer':>14}{'reader':>8}{'seconds':>9}")
    for edit, ((writer, reader, _), (our_writer, our_reader, seconds)) in measured["results"].items():
        lines.append(f"{edit:26}{writer:>14.0f}{reader:>8.0f}{our_writer:>14.0f}{our_reader:>8.0f}{seconds:>9.1f}")
    return "\n".join(lines)


def undisturbed(server: Server, template: str) -> tuple[float, float, float]:
    """Returns the longest waits while nothing else happens: what no form can fall below."""
    url = server.create_database(template)
    try:
        with others(url) as longest:
            time.sleep(2)
        return longest["write"] * 1000, longest["read"] * 1000, 2.0
    finally:
        server.drop_database(url)


def filled(server: Server, rows: int, partitions: int) -> str:
    """A database at head with rows in `request_logs`, to be copied."""
    url = server.create_database()
    upgrade(url)
    if partitions:
        divide(url, rows, partitions)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(PROVIDER)
        connection.execute(FILL, [rows])
        connection.execute("VACUUM ANALYZE request_logs")
        connection.execute("CHECKPOINT")
    return url


def divide(url: str, rows: int, partitions: int) -> None:
    """Partitions an empty `request_logs`; the writer inserts into the last partition."""
    partition(url)
    seconds = rows // partitions + 1
    bounds = [(n, n * seconds, (n - 1) * seconds if n > 1 else -A_DAY) for n in range(partitions, 0, -1)]
    execute(
        url,
        "ALTER SEQUENCE request_logs_id_seq OWNED BY request_logs.id",
        *(f"DROP TABLE request_logs_{name}" for name in ("until_2026", "2026_01", "later", "default")),
        *(PARTITION.format(*bound) for bound in bounds),
    )


def stall(server: Server, template: str, bodies: list[str], folder: Path, *, plain: bool) -> tuple[float, float, float]:
    """The longest waits of a writer and a reader in milliseconds, and how long the upgrade took in seconds."""
    place = Path(tempfile.mkdtemp(dir=folder))
    project = ProjectCopy(place)
    for body in bodies:
        project.add(body)
    url = server.create_database(template)
    try:
        with others(url) as longest:
            started = time.perf_counter()
            done = project.process("-x", f"plain={'yes' if plain else 'no'}", "upgrade", "head", url=url)
            seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{bodies}: {done.stderr}")
        return longest["write"] * 1000, longest["read"] * 1000, seconds
    finally:
        server.drop_database(url)


@contextmanager
def others(url: str) -> Iterator[dict[str, float]]:
    """Lets two sessions write and read, and gives the longest wait of each in seconds."""
    longest, ending = {"write": 0.0, "read": 0.0}, threading.Event()

    def other(what: str, statements: list[str]) -> None:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in itertools.cycle(statements):
                if ending.is_set():
                    return
                started = time.perf_counter()
                connection.execute(statement.encode())
                longest[what] = max(longest[what], time.perf_counter() - started)
                time.sleep(PAUSE)

    threads = [threading.Thread(target=other, args=args) for args in (("write", WRITES), ("read", [READ]))]
    for thread in threads:
        thread.start()
    try:
        yield longest
    finally:
        ending.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
