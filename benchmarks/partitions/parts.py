"""Partitions of `request_logs` beside a live service: conversion, upkeep, retention and look-ups, with peers.

python -m benchmarks.partitions [--rows 5000000] [--only PART] [--json]

Every part fills databases of its own, on server 18. Upkeep runs on Debian's server 15 as well, with pg_partman as its
peer if the package `postgresql-15-partman` is installed. The servers are on the disk and wait for it.
"""

import argparse
import sys
from typing import Any

from benchmarks import measure
from benchmarks.partitions import convert, default, lookups, partman, retention, upkeep

PARTS = ("convert", "upkeep", "upkeep with a peer", "retention", "default", "lookups")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--week", type=int, default=50_000, help="rows of a simulated week")
    parser.add_argument("--weeks", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=measure.FEWEST_ROUNDS)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for part in PARTS if options.only is None else (options.only,):
        print(part, file=sys.stderr, flush=True)
        with measure.DurableServer(partman.MAJOR if part == "upkeep with a peer" else 18) as server:
            match part:
                case "convert":
                    found[part] = convert.measured(server, options.rows)
                case "upkeep" | "upkeep with a peer":
                    found[part] = upkeep.measured(server, options.week, options.weeks)
                case "retention":
                    found[part] = retention.measured(server, options.rows)
                case "default":
                    found[part] = default.measured(server, options.rows)
                case _:
                    found[part] = lookups.measured(server, options.rows, options.rounds)
    where = measure.where([f"PostgreSQL 18 and {partman.MAJOR}"], rows=options.rows)
    measure.finish({"where": where, **found}, text, as_json=options.json)


def text(measured: dict[str, Any]) -> str:
    """Returns the tables, one below the other."""
    parts = {
        "convert": convert.lines,
        "upkeep": upkeep.lines,
        "upkeep with a peer": upkeep.lines,
        "retention": retention.lines,
        "default": default.lines,
        "lookups": lookups.lines,
    }
    made = [measure.heading(measured)]
    for part, lines in parts.items():
        made += ["", *lines(measured[part])] if part in measured else []
    return "\n".join(made)
