"""Takes turns between ways to change a table of secrets, and says how they compare with the floor.

The floor is one statement. A way's share of it is the floor's time divided by its own, in the same round. Beside it
stand the seconds that processors spend, here and in the server, and the share that they allow: all processors busy, no
way takes less time than its processor seconds divided by their number.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from app import db
from benchmarks.measure import processor_seconds
from benchmarks.tables import Place
from tests.support.environment import ROOT

PAGE = 1000
Run = Callable[["Target"], "Cost | None"]


@dataclass(frozen=True)
class Cost:
    """What a run has taken: seconds on the clock, of processors here, and the longest transaction if known."""

    seconds: float
    client: float
    longest_ms: float = 0.0


@dataclass(frozen=True)
class Target:
    """A copy of a table, for one run."""

    url: str
    table: str
    rows: int

    def execute(self, statement: str) -> None:
        """Executes one statement, in a transaction of its own."""
        with db.migration_engine(self.url).begin() as connection:
            connection.exec_driver_sql(statement)


@dataclass
class Way:
    """A way to do it, and what it has taken in each round.

    Attributes:
        name: what it is, for the table.
        run: does it; gives the cost if it is another process that did it.
        changes: whether the table has to be looked at afterwards.
    """

    name: str
    run: Run
    changes: bool = True
    costs: list[Cost] = field(default_factory=list)
    servers: list[float] = field(default_factory=list)

    def once(self, place: Place, target: Target) -> None:
        """Runs it, and keeps what it has taken."""
        server, client, started = place.processor_seconds(), processor_seconds(), time.perf_counter()
        cost = self.run(target)
        seconds = time.perf_counter() - started
        time.sleep(0.1)  # until the server has taken note of sessions that have ended
        self.costs.append(cost or Cost(seconds, processor_seconds() - client))
        self.servers.append(place.processor_seconds() - server)


def take_turns(
    place: Place, url: str, table: str, rows: int, ways: Sequence[Way], rounds: int, check: Callable[[Target], None]
) -> list[dict[str, Any]]:
    """Runs each way once in each round, on a fresh copy; returns a line for each, the first of which is the floor."""
    for number in range(rounds):
        first = number % len(ways)
        for way in (*ways[first:], *ways[:first]):
            with place.copy(url) as copied:
                target = Target(copied, table, rows)
                way.once(place, target)
                if way.changes:
                    check(target)
    return [_line(way, ways[0]) for way in ways]


def _line(way: Way, floor: Way) -> dict[str, Any]:
    pairs = [*zip(floor.costs, way.costs, way.servers, strict=True)]
    processors = (os.cpu_count() or 1) if any(way.servers) else 1
    median = statistics.median
    return {
        "way": way.name,
        "seconds": round(median(cost.seconds for cost in way.costs), 3),
        "of_floor": round(median(first.seconds / cost.seconds for first, cost, _ in pairs), 3),
        "client": round(median(cost.client for cost in way.costs), 2),
        "server": round(median(way.servers), 2),
        "allowed": round(median(processors * f.seconds / (cost.client + server) for f, cost, server in pairs), 2),
        "longest_ms": round(max(cost.longest_ms for cost in way.costs)),
        "of_each_round": [round(first.seconds / cost.seconds, 2) for first, cost, _ in pairs],
    }


def lines(title: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the lines of a table."""
    made = [f"{title:58}{'median s':>9}{'of floor':>9}{'client s':>9}{'server s':>9}{'allowed':>8}"]
    for line in found:
        numbers = f"{line['seconds']:>9.2f}{line['of_floor']:>9.2f}{line['client']:>9.2f}{line['server']:>9.2f}"
        longest = f"  longest transaction {line['longest_ms']} ms" if line["longest_ms"] else ""
        made.append(f"  {line['way']:56}{numbers}{line['allowed']:>8.2f}{longest}")
    return made


def options(description: str, **more: tuple[int, str]) -> argparse.Namespace:
    """Reads the command line of a benchmark of secrets; `more` are numbers of its own, each with its help."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rows", type=int, default=200_000)
    for name, (default, text_) in more.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=text_)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout of another commit, measured beside")
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def engine(action: str, workers: int = 1, *, folder: Path = ROOT, range_rows: int | None = None) -> Run:
    """Returns a run of the engine, of this checkout or of another one."""
    more = [] if range_rows is None else ["--range-rows", str(range_rows)]

    def run(target: Target) -> Cost:
        command = [sys.executable, "-m", "benchmarks.engine", action, target.url, target.table, *more]
        done = subprocess.run(
            [*command, "--workers", str(workers)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return Cost(**json.loads(done.stdout.splitlines()[-1]))

    return run


def in_batches(change: Callable[[str], str]) -> Run:
    """Returns what a program would write without us: batches of 1,000, an UPDATE for each row, a commit each.

    Each row is written only if its value is still the old one; nothing is verified.
    """

    def run(target: Target) -> None:
        table = target.table
        statement = sa.text(f"UPDATE {table} SET secret = :new WHERE id = :id AND secret = :old")
        page = sa.text(f"SELECT id, secret FROM {table} WHERE id > :last ORDER BY id LIMIT {PAGE}")
        last = 0
        with db.engine(target.url).connect() as connection:
            while rows := connection.execute(page, {"last": last}).all():
                new = [{"id": key, "old": value, "new": change(value)} for key, value in rows]
                connection.execute(statement, new)
                connection.commit()
                last = rows[-1][0]

    return run


def each_value(open_: Callable[[str], str]) -> Run:
    """Returns what a program would write to open all values: one query, and a loop."""

    def run(target: Target) -> None:
        if target.url.startswith("postgresql"):
            with psycopg.connect(target.url.replace("+psycopg", "")) as connection:
                cursor = connection.cursor("all")
                cursor.itersize = PAGE
                for (value,) in cursor.execute(f"SELECT secret FROM {target.table}".encode()):
                    open_(value)
            return
        with db.engine(target.url).connect() as connection:
            result = connection.execution_options(yield_per=PAGE).exec_driver_sql(f"SELECT secret FROM {target.table}")
            for value in result.scalars():
                open_(value)

    return run
