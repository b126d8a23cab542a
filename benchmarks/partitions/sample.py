"""A measured week of `request_logs`, and a year of 1,000,000,000 rows computed from it.

python -m benchmarks.partitions.sample [--rows 1000000] [--year 1000000000] [--json]

Each row is inserted in progress and completed by an update, as the gateway writes it, while the table is vacuumed as
often as autovacuum would. So the bytes of a row hold what the dead versions leave behind.
"""

import argparse
import datetime as dt
import time
from typing import Any

from benchmarks import measure
from benchmarks.partitions import data, ours
from tests.support.database_access import query

CHUNK = 10_000
MEASURED_BODY = 4_000
DETAILS = """
INSERT INTO request_log_details (log_id, request_body, response_body)
SELECT n, jsonb_build_object('model', 'model 1', 'messages', words), words
FROM (SELECT n, left(string_agg(md5(n::text || m) || ' ', ''), %(body)s / 2) AS words
    FROM generate_series(1, %(rows)s) AS n, generate_series(1, %(body)s / 60) AS m GROUP BY n) AS made
"""
_SIZES = """
SELECT x.relname, pg_relation_size(x.oid) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = to_regclass(:table) ORDER BY 2 DESC
"""
_BY_ID = f"EXPLAIN (ANALYZE, SUMMARY, FORMAT JSON) SELECT * FROM {data.TABLE} WHERE id = 1"
PARTITIONS = (1, 5, 18, 57, 95)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--year", type=int, default=1_000_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with measure.DurableServer() as server:
        week = written(server, options.rows)
        plans = [planned(server, number) for number in PARTITIONS]
        where = measure.where([f"PostgreSQL {server.major}"], rows=options.rows)
    measure.finish({"where": where, "year": options.year, "week": week, "plans": plans}, text, as_json=options.json)


def written(server: measure.DurableServer, rows: int) -> dict[str, Any]:
    """Writes a week as the gateway does, drops it by `maintain`, and returns the sizes and seconds."""
    monday = dt.datetime.now(dt.UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    monday -= dt.timedelta(days=monday.weekday())
    url = data.empty(server)
    data.divide(url, [monday, monday + dt.timedelta(weeks=1)])
    leaf = f"{data.TABLE}_p{monday:%Y%m%d}"
    found: dict[str, Any] = {"rows": rows, "vacuums": []}
    with data.connect(url) as connection:
        dead = 0
        for first in range(0, rows, CHUNK):
            low = monday + dt.timedelta(weeks=first / rows)
            data.fill(url, low, low + dt.timedelta(weeks=CHUNK / rows), CHUNK, bulk=False)
            connection.execute(
                f"UPDATE {leaf} SET is_completed = NOT is_completed, output_tokens = 1 WHERE id > %s".encode(), [first]
            )
            dead += CHUNK
            if dead > 50 + 0.2 * (first + CHUNK):
                found["vacuums"].append(_seconds(connection, f"VACUUM {leaf}"))
                dead = 0
        found["last vacuum"] = _seconds(connection, f"VACUUM (FREEZE, ANALYZE) {leaf}")
        found["count"] = _seconds(connection, f"SELECT count(*) FROM {leaf}")
        details = min(rows, 20_000)
        connection.execute(DETAILS, {"rows": details, "body": MEASURED_BODY})
        connection.execute("CHECKPOINT")
    found["heap"] = data.one(url, f"SELECT pg_table_size('{leaf}')") / rows
    found["indexes"] = {str(n): int(str(b)) / rows for n, b in query(url, _SIZES.replace(":table", f"'{leaf}'"))}
    found["details"] = data.one(url, _DETAILS_SIZE) / details
    ahead = time.monotonic()
    ours.maintain(url, monday + dt.timedelta(days=1))
    found["maintain, four partitions made"] = time.monotonic() - ahead
    data.fill(url, monday + dt.timedelta(weeks=4), monday + dt.timedelta(weeks=4, days=1), 1000, bulk=False)
    retired = time.monotonic()
    ours.maintain(url, monday + dt.timedelta(weeks=1) + ours.KEEP + dt.timedelta(hours=1))
    found["maintain, a partition dropped"] = time.monotonic() - retired
    return found


_DETAILS_SIZE = """
SELECT sum(pg_total_relation_size(relid))::bigint FROM (
    SELECT relid FROM pg_partition_tree('request_log_details') UNION SELECT 'request_log_details'::regclass) AS t
"""


def planned(server: measure.DurableServer, partitions: int) -> dict[str, Any]:
    """Returns the time to plan and to run a look-up by `id` over a number of partitions, without rows."""
    start = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - naive and UTC, as the column is
    url = data.empty(server)
    data.divide(url, [start + dt.timedelta(days=number) for number in range(partitions + 1)])
    with data.connect(url) as connection:
        answers = [_plan(connection) for _ in range(15)][5:]
    plan, run = (sorted(values)[len(values) // 2] for values in zip(*answers, strict=True))
    server.drop_database(url)
    return {"partitions": partitions, "to plan": plan, "to run": run}


def _plan(connection: Any) -> tuple[float, float]:
    answer = connection.execute(_BY_ID, prepare=False).fetchone()[0][0]
    return answer["Planning Time"], answer["Execution Time"]


def _seconds(connection: Any, statement: str) -> float:
    began = time.monotonic()
    connection.execute(statement)
    return time.monotonic() - began


def text(measured: dict[str, Any]) -> str:
    """Returns the sample, and the year from it."""
    week, indexes = measured["week"], measured["week"]["indexes"]
    row = week["heap"] + sum(indexes.values())
    million = 1_000_000 / week["rows"]
    a_week = measured["year"] / 365 * 7
    gigabytes, share = a_week * row / 1e9, a_week / week["rows"]
    lines = [
        measure.heading(measured),
        "",
        f"{'a row, bytes':44}{row:>9.0f}",
        f"{'  in the heap':44}{week['heap']:>9.0f}",
        *(f"  {name[:40]:42}{size:>9.0f}" for name, size in indexes.items()),
        f"{f'details, {MEASURED_BODY} characters in bodies':44}{week['details']:>9.0f}",
        "",
        f"{'for a million rows, seconds':44}",
        f"{'  a vacuum while the week is written, median':44}{_middle(week['vacuums']) * million:>9.1f}",
        f"{'  the last vacuum, with freeze':44}{week['last vacuum'] * million:>9.1f}",
        f"{'  counting a partition':44}{week['count'] * million:>9.2f}",
        f"{'  maintain: four partitions made':44}{week['maintain, four partitions made']:>9.2f}",
        f"{'  maintain: a partition dropped':44}{week['maintain, a partition dropped']:>9.2f}",
        "",
        f"{'look-up by id':32}{'to plan, ms':>12}{'to run, ms':>12}",
        *(
            f"  {p['partitions']:>4} partitions{'':15}{p['to plan']:>12.2f}{p['to run']:>12.2f}"
            for p in measured["plans"]
        ),
        "",
        f"a year of {measured['year']:,} rows",
        f"{'  rows a second':44}{measured['year'] / 365 / 86400:>9.1f}",
        f"{'  rows a week, in a partition':44}{a_week:>9,.0f}",
        f"{'  a partition, GB':44}{gigabytes:>9.1f}",
        f"{'  live at 90 days: 14 partitions, GB':44}{14 * gigabytes:>9.0f}",
        f"{'  a year, if nothing were dropped, GB':44}{measured['year'] * row / 1e9:>9.0f}",
        f"{'  the last vacuum of a partition, minutes':44}{week['last vacuum'] * share / 60:>9.1f}",
        f"{'  counting a partition before it is dropped, s':44}{week['count'] * share:>9.1f}",
        f"{'  seven days of details, GB':44}{a_week * week['details'] / 1e9:>9.0f}",
    ]
    return "\n".join(lines)


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


if __name__ == "__main__":
    main()
