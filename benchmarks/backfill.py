"""Encryption of one column: the engine beside one bare UPDATE, and beside the usual ways.

python -m benchmarks.backfill [--rows 200000] [--large 1000000] [--rounds 5] [--before FOLDER]
                              [--only sqlite|postgresql] [--json]

The floor is `UPDATE … SET secret = secret || '…'`, one statement that lengthens the rows as encryption does. The
cipher alone is measured, too. `--large` are the rows of a second, larger table on PostgreSQL; 0 leaves it out.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app import db, secrets
from app.backfill.sweep import garbage_frozen
from benchmarks import columns, measure, tables, ways
from benchmarks.columns import CIPHER
from benchmarks.property import bare_enc
from benchmarks.ways import Target, Way
from tests.support.environment import ROOT

PEAK = Path("/proc/self/status")
encrypt_bare, _ = bare_enc(AESGCM(columns.NEW))


class Base(DeclarativeBase):
    """The models of the benchmark."""


class Holder(Base):
    """A row with a secret, and something else."""

    __tablename__ = "holders"
    id: Mapped[int] = mapped_column(primary_key=True)
    secret: Mapped[str | None] = mapped_column(sa.Text)
    other: Mapped[str] = mapped_column(sa.Text)


def floor(target: Target) -> None:
    """Runs one statement."""
    target.execute(f"UPDATE {target.table} SET secret = secret || '{'x' * 58}'")


def cipher_alone(target: Target) -> None:
    """Runs the cipher alone, with verification."""
    batch, page = CIPHER.batch(), ways.PAGE
    with garbage_frozen():
        for start in range(0, target.rows, page):
            batch.encrypt([tables.PLAIN.format(n) for n in range(start, min(start + page, target.rows))])


def objects(target: Target) -> None:
    """Changes objects in a loop, with one commit."""
    with Session(db.engine(target.url)) as session:
        for holder in session.scalars(sa.select(Holder)):
            holder.secret = encrypt_bare(holder.secret or "")
        session.commit()


def row_by_row(target: Target) -> None:
    """Updates each row through SQLAlchemy, with one commit."""
    statement = sa.text("UPDATE holders SET secret = :new WHERE id = :id")
    with db.engine(target.url).begin() as connection:
        for key, value in connection.execute(sa.text("SELECT id, secret FROM holders")).all():
            connection.execute(statement, {"id": key, "new": encrypt_bare(value)})


def check(target: Target) -> None:
    """Checks that each row is encrypted."""
    with db.migration_engine(target.url).connect() as connection:
        left = secrets.count_plaintext(connection, target.table, ["secret"], CIPHER)
    assert left == 0, left


def engines(place: tables.Place, before: Path | None) -> Iterator[Way]:
    """Lists the engine's ways, of this checkout and of the other one."""
    for name, folder in {"the engine": ROOT, "before": before}.items():
        if folder is not None:
            yield Way(f"{name}, one", ways.engine("encrypt", folder=folder))
            if place.dialect == "postgresql":
                yield Way(f"{name}, two workers, their start included", ways.engine("encrypt", 2, folder=folder))


def of_place(place: tables.Place, rows: int, large: int, rounds: int, before: Path | None) -> Iterator[dict[str, Any]]:
    """Measures on one database: the two tables, a large one, and the usual ways on a tenth of the rows."""
    sizes = [("holders", rows), ("accounts", rows), ("holders", large if place.dialect == "postgresql" else 0)]
    for table, number in sizes:
        if number:
            batches = Way("bare code, batches of 1,000, not verified", ways.in_batches(encrypt_bare))
            alone = Way("the cipher alone, verification included", cipher_alone, changes=False)
            url = place.filled(table, tables.plain(number))
            others = [batches, alone] if number == rows else []
            compared = [Way("one statement: the floor", floor, changes=False), *engines(place, before), *others]
            found = ways.take_turns(place, url, table, number, compared, rounds, check)
            yield {"title": f"{place.name}, {table}, {number:,} rows", "lines": found}
    few = rows // 10
    url = place.filled("holders", tables.plain(few))
    compared = [
        Way("one statement: the floor", floor, changes=False),
        Way("the engine, one", ways.engine("encrypt")),
        Way("bare code, objects in a loop, one commit", objects),
        Way("bare code, an UPDATE for each row, one commit", row_by_row),
    ]
    found = ways.take_turns(place, url, "holders", few, compared, rounds, check)
    yield {"title": f"{place.name}, holders, {few:,} rows", "lines": found}


def ours(url: str) -> None:
    """Runs the engine in this process."""
    with db.migration_engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        secrets.encrypt(connection, "holders", ["secret"], CIPHER)


def memory(place: tables.Place, rows: int) -> float | None:
    """Measures the MB that the engine adds to the peak of a process that has encrypted a row already; Linux only."""
    if not PEAK.exists():
        return None
    small, large = (place.filled("holders", tables.plain(number)) for number in (1, rows))
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, place.copy(small) as one, place.copy(large) as many:
        pool.submit(ours, one).result()
        before = pool.submit(peak_mb).result()
        pool.submit(ours, many).result()
        return round(pool.submit(peak_mb).result() - before, 1)


def peak_mb() -> float:
    """Returns the most memory that this process has held since the last call."""
    [peak] = [line.split()[1] for line in PEAK.read_text().splitlines() if line.startswith("VmHWM")]
    (PEAK.parent / "clear_refs").write_text("5")
    return int(peak) / 1024


def waits(place: tables.Place, rows: int) -> dict[str, float]:
    """Measures the longest wait of two other sessions during the engine: one updates a row, one reads it."""
    longest, ending = {"update": 0.0, "read": 0.0}, threading.Event()

    def other(what: str, url: str, statement: str) -> None:
        with db.migration_engine(url).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not ending.is_set():
                started = time.perf_counter()
                connection.exec_driver_sql(statement).close()
                longest[what] = max(longest[what], time.perf_counter() - started)
                time.sleep(0.001)

    todo = {
        "update": "UPDATE holders SET other = 'y' WHERE id = 77",
        "read": "SELECT secret FROM holders WHERE id = 77",
    }
    with place.copy(place.filled("holders", tables.plain(rows))) as url:
        others = [threading.Thread(target=other, args=(what, url, statement)) for what, statement in todo.items()]
        for thread in others:
            thread.start()
        try:
            ways.engine("encrypt")(Target(url, "holders", rows))
        finally:
            ending.set()
            for thread in others:
                thread.join()
    return {what: round(seconds * 1000, 1) for what, seconds in longest.items()}


def main() -> None:
    """Measures and prints."""
    options = ways.options("Times encrypting a column.", large=(1_000_000, "0 leaves it out"))
    with tempfile.TemporaryDirectory() as folder, measure.DurableServer() as server:
        places: list[tables.Place] = [tables.InFiles(Path(folder), measure.sqlite()), tables.OnServer(server)]
        groups: list[dict[str, Any]] = []
        others: dict[str, Any] = {}
        for place in places:
            if options.only in (None, place.dialect):
                groups += of_place(place, options.rows, options.large, options.rounds, options.before)
                others[place.name] = {"memory_mb": memory(place, options.rows), "waits": waits(place, options.rows)}
    where = measure.where([place.name for place in places], rounds=options.rounds, cores=os.cpu_count())
    measured = {"where": where, "groups": groups, "others": others}
    measure.finish(measured, text, as_json=options.json)


def text(measured: dict[str, Any]) -> str:
    """Returns the tables."""
    made = [measure.heading(measured)]
    for group in measured["groups"]:
        made += ["", *ways.lines(group["title"], group["lines"])]
    for place, found in measured["others"].items():
        made += ["", f"{place}: memory that the engine adds: {found['memory_mb']} MB; longest wait of another session:"]
        made[-1] += ", ".join(f" {milliseconds} ms to {what}" for what, milliseconds in found["waits"].items())
    return "\n".join(made)


if __name__ == "__main__":
    main()
