"""Encryption of one column of a table: the engine beside the usual ways, and beside one bare UPDATE.

python -m benchmarks.backfill [--rows 200000] [--rounds 5] [--large] [--salts 1000] [--json]

The floor is `UPDATE … SET secret = secret || '…'`, one statement that lengthens the rows as encryption does. The cipher
alone is measured, too. Each case starts with a fresh table, and takes its turn in each round. `--large` measures only
the engine and the floor, on five million rows.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app import db, secrets
from app.backfill import Pace
from app.backfill.sweep import garbage_frozen
from app.encryption import ENC, TOKEN, FieldCipher, Keyring, PassphraseKey, RawKey
from app.secrets.jobs import Progress, Task
from benchmarks import measure
from tests.postgres import Server

# Workers are processes of their own, and must know the key.
CIPHER = FieldCipher(ENC, Keyring("K", RawKey(bytes(range(32)))))
TOKENS = FieldCipher(TOKEN, Keyring("K", PassphraseKey("a passphrase of more than 32 characters")))
PEAK = Path("/proc/self/status")
PLAIN = "sk-" + "{:047d}"
DURABLE: dict[str, Any] = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


class Base(DeclarativeBase):
    """The models of the benchmark."""


class Holder(Base):
    """A row with a secret, and something else."""

    __tablename__ = "holders"
    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    secret: Mapped[str | None] = mapped_column(sa.Text)
    other: Mapped[str] = mapped_column(sa.Text)


@dataclass
class Way:
    """A way to encrypt the table, and its seconds in each round."""

    name: str
    run: Callable[["Table"], None]
    seconds: list[float] = field(default_factory=list)
    longest_ms: float = 0.0


class Table:
    """The table; each case starts with a fresh one."""

    def __init__(self, url: str, rows: int) -> None:
        self.url, self.rows = url, rows
        self.longest = 0.0

    @contextmanager
    def autocommit(self) -> Iterator[sa.Connection]:
        """Gives a connection that commits every statement by itself."""
        with db.migration_engine(self.url).connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def fresh(self) -> None:
        """Creates the table with rows of plaintext."""
        with self.autocommit() as connection:
            Base.metadata.drop_all(connection)
            Base.metadata.create_all(connection)
            recursive = f"SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {self.rows}"
            numbers = (
                f"SELECT i FROM generate_series(1, {self.rows}) AS s(i)"
                if connection.dialect.name == "postgresql"
                else f"WITH RECURSIVE s(i) AS ({recursive}) SELECT i FROM s"
            )
            pad = "lpad(i::text, 47, '0')" if connection.dialect.name == "postgresql" else "printf('%047d', i)"
            fill = f"INSERT INTO holders SELECT i, 'sk-' || {pad}, '{'x' * 60}' FROM ({numbers}) AS n"
            connection.execute(sa.text(fill.replace("::", r"\:\:")))
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("VACUUM ANALYZE holders")
                connection.exec_driver_sql("CHECKPOINT")

    def check(self) -> None:
        """Checks that each row is encrypted."""
        with self.autocommit() as connection:
            left = secrets.count_plaintext(connection, "holders", ["secret"], CIPHER)
            assert left == 0, left


def floor(table: Table) -> None:
    """Runs one statement."""
    with table.autocommit() as connection:
        connection.exec_driver_sql(f"UPDATE holders SET secret = secret || '{'x' * 58}'")


def cipher_alone(table: Table) -> None:
    """Runs the cipher alone, with verification."""
    batch, page = CIPHER.batch(), 1000
    with garbage_frozen():
        for start in range(0, table.rows, page):
            texts = [PLAIN.format(number) for number in range(start, min(start + page, table.rows))]
            batch.encrypt(texts)


def ours(table: Table) -> None:
    """Runs the engine in one process."""
    pace = Pace()
    with table.autocommit() as connection:
        report = secrets.encrypt(connection, "holders", ["secret"], CIPHER, pace=pace)
    assert report.changed == table.rows
    table.longest = pace.longest


def find() -> list[Any]:
    """Lists the encrypted column, for workers."""
    return [SimpleNamespace(table=Holder.__table__, column=Holder.__table__.c.secret, cipher=CIPHER)]


def two_workers(table: Table) -> None:
    """Runs the engine in two processes; their start counts."""
    task = Task(find, sa.make_url(table.url), "holders", ("secret",))
    report = task.change_with_workers(2, Progress(), lambda: False)
    assert report.changed == table.rows


def orm_loop(table: Table) -> None:
    """(a) Changes objects in a loop, with one commit."""
    with Session(db.engine(table.url)) as session:
        for holder in session.scalars(sa.select(Holder)):
            holder.secret = str(CIPHER.encrypt(holder.secret or ""))
        session.commit()


def row_by_row(table: Table) -> None:
    """(b) Updates each row through SQLAlchemy, with one commit."""
    statement = sa.text("UPDATE holders SET secret = :new WHERE id = :id")
    with db.engine(table.url).begin() as connection:
        for key, value in connection.execute(sa.text("SELECT id, secret FROM holders")).all():
            connection.execute(statement, {"id": key, "new": str(CIPHER.encrypt(value))})


def executemany(table: Table) -> None:
    """(c) Runs executemany in batches of 1,000, a commit each."""
    statement = sa.text("UPDATE holders SET secret = :new WHERE id = :id AND secret = :old")
    page = sa.text("SELECT id, secret FROM holders WHERE id > :last ORDER BY id LIMIT 1000")
    last = 0
    with db.engine(table.url).connect() as connection:
        while rows := connection.execute(page, {"last": last}).all():
            new = [{"id": key, "old": value, "new": str(CIPHER.encrypt(value))} for key, value in rows]
            connection.execute(statement, new)
            connection.commit()
            last = rows[-1][0]


def alone(ways: list[Way]) -> list[Way]:
    """Returns the ways that are measured on a large table."""
    return [way for way in ways if way.run in (floor, ours, two_workers)]


def measured(url: str, rows: int, rounds: int, *, large: bool) -> list[Way]:
    """Runs every way in turn, once in each round."""
    table = Table(url, rows)
    ways = [Way((way.__doc__ or "").strip("."), way) for way in (floor, cipher_alone, ours)]
    ways += [Way((two_workers.__doc__ or "").strip("."), two_workers)] if url.startswith("postgresql") else []
    ways += [Way((way.__doc__ or "").strip("."), way) for way in (orm_loop, row_by_row, executemany)]
    for number in range(rounds):
        for way in alone(ways) if large else ways[number % len(ways) :] + ways[: number % len(ways)]:
            table.fresh()
            started = time.perf_counter()
            way.run(table)
            way.seconds.append(time.perf_counter() - started)
            if way.run not in (floor, cipher_alone):
                table.check()
            if way.run is ours:
                way.longest_ms = max(way.longest_ms, table.longest * 1000)
    return [way for way in ways if way.seconds]


def memory(url: str, rows: int) -> float | None:
    """Measures the MB that the engine adds to the peak of a process that has encrypted a row already; Linux only."""
    if not PEAK.exists():
        return None
    table = Table(url, 1)
    table.fresh()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(ours, table).result()
        before = pool.submit(_peak_mb).result()
        table.rows = rows
        table.fresh()
        pool.submit(ours, table).result()
        return round(pool.submit(_peak_mb).result() - before, 1)


def _peak_mb() -> float:
    """Returns the most memory that this process has held since the last call."""
    [peak] = [line.split()[1] for line in PEAK.read_text().splitlines() if line.startswith("VmHWM")]
    (PEAK.parent / "clear_refs").write_text("5")
    return int(peak) / 1024


def stall(url: str, rows: int) -> dict[str, float]:
    """Measures the longest wait of other sessions, one that updates a row and one that reads it, during the engine."""
    table = Table(url, rows)
    table.fresh()
    longest, ending = {"update": 0.0, "read": 0.0}, threading.Event()

    def other(what: str, statement: str) -> None:
        with table.autocommit() as connection:
            while not ending.is_set():
                started = time.perf_counter()
                connection.exec_driver_sql(statement).close()
                longest[what] = max(longest[what], time.perf_counter() - started)
                time.sleep(0.001)

    todo = {
        "update": "UPDATE holders SET other = 'y' WHERE id = 77",
        "read": "SELECT secret FROM holders WHERE id = 77",
    }
    others = [threading.Thread(target=other, args=item) for item in todo.items()]
    for thread in others:
        thread.start()
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(ours, table).result()
    finally:
        ending.set()
        for thread in others:
            thread.join()
    return {what: round(seconds * 1000, 1) for what, seconds in longest.items()}


def salts(url: str, rows: int) -> float:
    """Measures the speed-up of two processes that read tokens with a salt each."""
    table = Table(url, 0)
    table.fresh()
    with table.autocommit() as connection:
        values = [{"id": n, "secret": str(TOKENS.encrypt(PLAIN.format(n))), "other": ""} for n in range(rows)]
        connection.execute(sa.insert(Holder), values)
    times = []
    for processes in (1, 2):
        task = Task(find_tokens, sa.make_url(url), "holders", ("secret",), range_rows=max(rows // 20, 1))
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # one whose derived keys aren't cached
            times.append(pool.submit(_count, task, processes, rows).result())
    return times[0] / times[1]


def find_tokens() -> list[Any]:
    """Lists the column, as one of tokens."""
    return [SimpleNamespace(table=Holder.__table__, column=Holder.__table__.c.secret, cipher=TOKENS)]


def _count(task: Task, processes: int, rows: int) -> float:
    """Returns the seconds that opening all values takes."""
    started = time.perf_counter()
    columns = task.take_inventory(processes, Progress(), lambda: False)
    assert sum(columns[0].keys.values()) == rows
    return time.perf_counter() - started


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Times encrypting a column.")
    parser.add_argument("--rows", type=int, help="200,000 unless told otherwise")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="ours and the floor alone, on 5,000,000 rows")
    parser.add_argument(
        "--salts", type=int, default=1000, help="tokens with a salt each that are read by one and by two"
    )
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = options.rows or (5_000_000 if options.large else 200_000)
    with tempfile.TemporaryDirectory() as folder, Server(**DURABLE) as server:
        urls = {"sqlite": f"sqlite:///{folder}/b.db", "postgresql": server.create_database()}
        for name, url in urls.items():
            if options.only in (None, name):
                ways = measured(url, rows, options.rounds, large=options.large)
                extras: dict[str, Any] = {"memory_mb": memory(url, rows)}
                if not options.large:
                    extras["longest_wait_of_others_ms"] = stall(url, rows)
                    extras["two_readers_of_salts"] = round(salts(url, options.salts), 2) if name != "sqlite" else None
                report(name, ways, rows, extras, as_json=options.json)


def report(name: str, ways: list[Way], rows: int, extras: dict[str, Any], *, as_json: bool) -> None:
    """Prints medians, and ratios of the same round."""
    by_name = {way.run: way for way in ways}
    floors = by_name[floor].seconds
    lines = []
    for way in ways:
        of_floor = statistics.median(f / s for f, s in zip(floors, way.seconds, strict=True))
        ours_faster = statistics.median(s / o for s, o in zip(way.seconds, by_name[ours].seconds, strict=True))
        values = asdict(way) | {"run": way.name, "median": statistics.median(way.seconds)}
        lines.append(values | {"of_floor": round(of_floor, 3), "slower_than_ours": round(ours_faster, 2)})
    if as_json:
        print(json.dumps({"database": name, "rows": rows, "ways": lines} | extras, indent=2, default=str))
        return
    print(f"\n{name}, {rows:,} rows, {len(floors)} rounds, {measure.sqlite() if name == 'sqlite' else ''}")
    print(f"{'':58}{'median s':>9}{'of floor':>10}{'times ours':>12}")
    for line in lines:
        print(f"{line['name']:58}{line['median']:>9.2f}{line['of_floor']:>10.2f}{line['slower_than_ours']:>12.2f}")
    print(f"longest transaction of ours: {by_name[ours].longest_ms:.0f} ms")
    for what, value in extras.items():
        print(f"{what}: {value}")


if __name__ == "__main__":
    main()
