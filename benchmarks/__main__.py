"""Runs the benchmarks one after the other, and writes down what they found.

python -m benchmarks all [--write] [--before FOLDER] [--small]
python -m benchmarks startup backfill ...

Takes half an hour to an hour. `--write` puts the tables into `benchmarks/RESULTS.md`, in the place of those that were
there, and two charts into `docs`; a machine that does something else as well isn't worth writing down. `--small` shows
that all of them run, with few rows.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import backfill, charts, measure, rotation, stalls
from benchmarks.partitions import parts, sample
from tests.support.environment import ROOT

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
CHARTS = ROOT / "docs"
BUSY = 0.5


class Benchmark(NamedTuple):
    """One of them: its command line, a shorter one, and how its tables are written."""

    arguments: list[str]
    small: list[str]
    text: Callable[[dict[str, Any]], str]
    takes_before: bool = False


_HEAD = """\
# Results

Written by `python -m benchmarks all --write`. What each number means stands in [README.md](README.md).
"""
_ROUNDS = ["--rounds", str(measure.FEWEST_ROUNDS)]
BENCHMARKS = {
    "backfill": Benchmark(
        ["backfill"], ["--rows", "2000", "--large", "3000", "--rounds", "1"], backfill.text, takes_before=True
    ),
    "stalls": Benchmark(["stalls"], ["--rows", "10000"], stalls.text),
    "rotation": Benchmark(
        ["rotation"], ["--rows", "2000", "--salts", "20", "--rounds", "1"], rotation.text, takes_before=True
    ),
    "property": Benchmark(["property"], _ROUNDS, measure.text),
    "upgrade": Benchmark(["upgrade", *_ROUNDS], [], measure.text, takes_before=True),
    "startup": Benchmark(["startup", *_ROUNDS], [], measure.text, takes_before=True),
    "compare": Benchmark(["compare", *_ROUNDS], [], measure.text),
    "stalls of partitions": Benchmark(["stalls", "--partitions", "12"], ["--rows", "10000"], stalls.text),
    "partitions": Benchmark(["partitions"], ["--rows", "20000", "--week", "1000", "--weeks", "3"], parts.text),
    "partitions sample": Benchmark(["partitions.sample"], ["--rows", "20000"], sample.text),
}


def main() -> None:
    """Measures, prints, and writes if told so."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Runs benchmarks.")
    parser.add_argument("names", nargs="+", choices=["all", *BENCHMARKS], metavar="name", help="all, or some of them")
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md, with charts")
    parser.add_argument("--small", action="store_true", help="with few rows, to see that they run")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout of another commit, measured beside")
    options = parser.parse_args()
    if options.write and options.small:
        parser.error("what is written is measured in full")
    if options.write and os.getloadavg()[0] > BUSY:
        print(f"The machine is busy (load average {os.getloadavg()[0]:.1f}): the times will say little.", flush=True)
    names = [*BENCHMARKS] if "all" in options.names else options.names
    found: dict[str, Any] = {}
    for name in names:
        found[name] = _run(BENCHMARKS[name], options.before, small=options.small)
        print(f"{name}\n\n{BENCHMARKS[name].text(found[name])}\n", flush=True)
        if options.write:  # after each: an hour is long
            _write(name, found[name], options.before)
    if options.write and {"stalls", "backfill"} <= found.keys():
        charts.write(CHARTS, found)


def _write(name: str, measured: dict[str, Any], before: Path | None) -> None:
    written = RESULTS.read_text(encoding="utf-8").split("\n## ")[1:] if RESULTS.exists() else []
    blocks = {block.partition("\n")[0]: block.rstrip("\n") for block in written}
    takes = before is not None and BENCHMARKS[name].takes_before
    of_before = f"; `before` is {_commit(before)}" if before is not None and takes else ""
    table = BENCHMARKS[name].text(measured)
    blocks[name] = f"{name}\n\nAt the commit {_commit(ROOT)}, or right after it{of_before}.\n\n```text\n{table}\n```"
    ordered = [f"\n## {blocks[key]}\n" for key in BENCHMARKS if key in blocks]
    RESULTS.write_text(_HEAD + "".join(ordered), encoding="utf-8")


def _commit(folder: Path) -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607 - wherever it is
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _run(benchmark: Benchmark, before: Path | None, *, small: bool) -> dict[str, Any]:
    name, *arguments = benchmark.arguments
    more = ["--before", str(before.resolve())] if before is not None and benchmark.takes_before else []
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, *(benchmark.small if small else []), *more]
    done = subprocess.run([*command, "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


if __name__ == "__main__":
    main()
