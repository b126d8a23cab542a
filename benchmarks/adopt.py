"""Adoption of a large gateway database: each step's seconds, and the longest wait of the service beside it.

python -m benchmarks.adopt [--rows 10000000] [--on sqlite|postgresql] [--json]

A dump of the service is filled with `--rows` logs. `schema adopt`, dry and with `--apply`, then runs in this process,
while another thread sends the service's statements over and over.
"""

import argparse
import json
import logging
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from app.migrations import commands
from app.project import PROJECT
from tests.postgres import Server
from tests.support.database_access import engine, execute
from tests.support.legacy_databases import DUMPS, OldService, load

BATCH = 1_000_000
FILL = {
    "postgresql": """INSERT INTO request_logs (request_time, requested_model, trace_id, total_time_ms, retry_count,
        is_stream, provider_name, input_tokens, output_tokens, response_status)
        SELECT now() - n * interval '0.7 seconds', 'model ' || mod(n, 50), md5(n::text), mod(n, 1000), 0, false,
        'provider', n, n, 200 FROM generate_series({}, {}) AS n""",
    "sqlite": """INSERT INTO request_logs (request_time, requested_model, trace_id, total_time_ms, retry_count,
        is_stream, provider_name, input_tokens, output_tokens, response_status)
        WITH RECURSIVE c (n) AS (SELECT {} UNION ALL SELECT n + 1 FROM c WHERE n < {})
        SELECT datetime('now', '-' || (n * 7 / 10) || ' seconds'), 'model ' || (n % 50), hex(n * 7919), n % 1000, 0, 0,
        'provider', n, n, 200 FROM c""",
}


class Beside(threading.Thread):
    """The service's statements, each round timed."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.service = OldService(url)
        self.longest, self.rounds = 0.0, 0
        self.failure = ""
        self.stops = threading.Event()

    def run(self) -> None:
        """Sends them until it is told to stop, or one fails."""
        while not self.stops.is_set():
            started = time.monotonic()
            try:
                self.service.log()
            except Exception as error:  # noqa: BLE001 - it is what is measured
                self.failure = type(error).__name__
                return
            self.longest = max(self.longest, time.monotonic() - started)
            self.rounds += 1
            time.sleep(0.002)


def measured(url: str) -> dict[str, Any]:
    """Adopts a database, and returns the seconds."""
    started = time.monotonic()
    planned = commands.plan_adoption(PROJECT, engine(url))
    dry = time.monotonic() - started
    beside = Beside(url)
    beside.start()
    done = commands.adopt(PROJECT, engine(url))
    beside.stops.set()
    beside.join(60)
    return {
        "dry run": round(dry, 2),
        "estimate": round(sum(cost.seconds for cost in planned.look.costs), 1),
        "adopt": round(done.seconds, 2),
        "longest wait of the service": round(beside.longest, 3),
        "rounds": beside.rounds,
        "failure": beside.failure,
        "tables": [f"{proof.table}: {proof.state}" for proof in done.proofs],
    }


def main() -> None:
    """Fills, adopts and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--on", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(format="%(relativeCreated)9.0f ms  %(message)s")
    logging.getLogger("app.migrations").setLevel("WARNING" if options.json else "INFO")
    dump = next(name for name, (kind, _) in DUMPS.items() if kind == options.on)
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        url = server.create_database() if options.on == "postgresql" else f"sqlite:///{Path(folder) / 'gateway.db'}"
        load(url, dump)
        for first in range(1, options.rows + 1, BATCH):
            execute(url, FILL[options.on].format(first, min(first + BATCH - 1, options.rows)))
        if options.on == "postgresql":
            execute(url, "ANALYZE request_logs")
        result = measured(url)
    print(json.dumps({"rows": options.rows, **result}, indent=2))


if __name__ == "__main__":
    main()
