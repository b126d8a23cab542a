"""Takes turns between things to be timed, and says how they compare.

Times drift with whatever else the machine does. So each round runs every case once, one after the other, and begins
with another one each time; a ratio compares two times of the same round, and what is reported is the median of the
rounds, with the middle half of them beside it. The ratio of processor times, the operating system's too, is less moved
by what others do; a database server's work isn't in it.
"""

import argparse
import datetime as dt
import gc
import json
import os
import platform
import resource
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tests.postgres import Server

FEWEST_ROUNDS = 9
_LOAD = round(os.getloadavg()[0], 1)


@dataclass
class Case:
    """Something to be timed.

    Attributes:
        group: cases of a group are compared with the first of it.
        name: what it is, for the table.
        run: what is timed.
        prepare: called before each run; not timed.
    """

    group: str
    name: str
    run: Callable[[], object]
    prepare: Callable[[], object] = lambda: None
    times: list["Times"] = field(default_factory=list)

    def once(self) -> "Times":
        """Runs it, and returns the time it took."""
        self.prepare()
        gc.collect()
        elapsed, processor = time.perf_counter(), processor_seconds()
        self.run()
        return Times(time.perf_counter() - elapsed, processor_seconds() - processor)


class Times(NamedTuple):
    """Seconds on the clock, and seconds of processors."""

    elapsed: float
    processor: float


@dataclass(frozen=True)
class Result:
    """What was found about a case; the ratios, and the quartiles of the first, are to the first case of its group."""

    group: str
    case: str
    median_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    processor_ratio: float


def arguments(description: str, *, before: bool = False) -> argparse.Namespace:
    """Reads the command line that all benchmarks share; with `before`, another checkout can be measured beside."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=15, help=f"at least {FEWEST_ROUNDS}; 15 unless told otherwise")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    if before:
        parser.add_argument(
            "--before", type=Path, metavar="FOLDER", help="a checkout of another commit, measured beside"
        )
    options = parser.parse_args()
    if options.rounds < FEWEST_ROUNDS:
        parser.error(f"fewer than {FEWEST_ROUNDS} rounds say nothing")
    return options


def finish(measured: dict[str, Any], text: Callable[[dict[str, Any]], str], *, as_json: bool) -> None:
    """Prints what was measured."""
    print(json.dumps(measured, indent=2) if as_json else text(measured))


def measure(cases: Sequence[Case], rounds: int) -> list[Result]:
    """Times the cases in turn; a first round, which fills caches, doesn't count."""
    for number in range(rounds + 1):
        first = number % len(cases)
        for case in (*cases[first:], *cases[:first]):
            times = case.once()
            if number:
                case.times.append(times)
    return [_result(case, next(c for c in cases if c.group == case.group)) for case in cases]


def where(databases: Sequence[str], **more: object) -> dict[str, Any]:
    """Returns when and on what it is measured, with the load of the machine before."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("alembic", "sqlalchemy", "psycopg", "cryptography")},
        "databases": ", ".join(databases),
        **more,
        "load average before": _LOAD,
    }


def heading(measured: dict[str, Any]) -> str:
    """Returns the line above a table."""
    values = measured["where"].items()
    return ", ".join(f"{name} {value}" if name not in ("machine", "date") else str(value) for name, value in values)


def summary(results: Sequence[Result], rounds: int, databases: Sequence[str]) -> dict[str, Any]:
    """Returns what was found, and on what."""
    return {"where": where(databases, rounds=rounds), "results": [vars(result) for result in results]}


def text(measured: dict[str, Any]) -> str:
    """Returns the table of a summary."""
    results = [Result(**result) for result in measured["results"]]
    width = max(len(result.case) for result in results) + 2
    lines = [heading(measured), "", f"{'':{width}}{'median ms':>10}{'ratio':>8}   middle half   processor"]
    for index, result in enumerate(results):
        if not index or results[index - 1].group != result.group:
            lines.append(result.group)
        spread = f"{result.ratio_low:.2f}-{result.ratio_high:.2f}"
        times = f"{result.median_ms:>10.1f}{result.ratio:>8.2f}   {spread:11}{result.processor_ratio:>12.2f}"
        lines.append(f"  {result.case:{width - 2}}{times}")
    return "\n".join(lines)


class DurableServer(Server):
    """A server on the disk, which waits for it as one with people's data does; nothing but the benchmark is at work.

    The tests' servers are in memory. Autovacuum would fall into the time of whoever comes next.
    """

    def __init__(self, major: int = 18) -> None:
        super().__init__(
            major, fsync="on", full_page_writes="on", synchronous_commit="on", autovacuum="off", max_wal_size="4GB"
        )

    def free_bytes(self) -> int:
        """Returns the free room of the disk that its files are on."""
        return shutil.disk_usage(self._base).free

    def _directory(self, *, in_memory: bool) -> Path:  # noqa: ARG002 - as the tests' servers ask for it
        return super()._directory(in_memory=False)

    def processor_seconds(self) -> float:
        """Returns the seconds that its processes have taken, those that have ended among them; Linux only."""
        postmaster = int((self._base / "data" / "postmaster.pid").read_text().split()[0])
        ticks = 0
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                fields = (place / "stat").read_text().rpartition(")")[2].split()
                if postmaster in (int(place.name), int(fields[1])):
                    ticks += sum(map(int, fields[11:15]))  # its own, and those of children that have ended
        return ticks / os.sysconf("SC_CLK_TCK")


def sqlite() -> str:
    """SQLite and its version."""
    return f"SQLite {sqlite3.sqlite_version}"


@contextmanager
def environment() -> Iterator[dict[str, str]]:
    """The variables for a process that is timed: nobody's settings, and bytecode cached in a folder of its own.

    A shell may tell Python to write no bytecode; then every start would compile whatever isn't an installed package,
    which no deployment does.
    """
    ours = ("ALEMBIC_", "DATABASE_URL", "ENCRYPTION_", "GITHUB_TOKEN_", "PG", "PYTHON", "SCHEMA_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with tempfile.TemporaryDirectory() as folder:
        yield inherited | {"GATEWAY_SCHEMA_ENV_FILE": "", "PYTHONPYCACHEPREFIX": folder}


def _result(case: Case, reference: Case) -> Result:
    rounds = list(zip(case.times, reference.times, strict=True))
    low, ratio, high = statistics.quantiles([a.elapsed / b.elapsed for a, b in rounds], n=4, method="inclusive")
    processor = statistics.median(a.processor / b.processor for a, b in rounds)
    return Result(
        case.group,
        case.name,
        round(statistics.median(times.elapsed for times in case.times) * 1000, 1),
        *(round(value, 3) for value in (ratio, low, high, processor)),
    )


def processor_seconds() -> float:
    """Returns the seconds that this process has taken, and those of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - not a file of ours
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
