"""Look-ups in the same rows as a plain table, in 14 weekly and in 90 daily partitions: time, and time to plan."""

import datetime as dt
import json
import random
import statistics
from functools import partial
from typing import Any

from benchmarks import measure
from benchmarks.partitions import beside, data
from tests.postgres import Server

REPEATS = 20
WEEKS, DAYS = 14, 90
_COLUMNS = "SELECT id, request_time, requested_model, trace_id, response_status FROM request_logs"
LOOKUPS = {
    "by id": f"{_COLUMNS} WHERE id = %(id)s",
    "by id, prepared": f"{_COLUMNS} WHERE id = %(id)s",
    "by (id, request_time)": f"{_COLUMNS} WHERE id = %(id)s AND request_time = %(time)s",
    "update by id": "UPDATE request_logs SET output_tokens = output_tokens WHERE id = %(id)s",
    "newest 50": beside.NEWEST,
    "grouped by trace": beside.GROUPED.replace("%s", "%(traces)s"),
    "a day's rows, counted": "SELECT count(*) FROM request_logs WHERE request_time >= %(day)s::timestamp "
    "AND request_time < %(day)s::timestamp + interval '1 day'",
}
_SOME = "SELECT id, request_time, trace_id FROM request_logs TABLESAMPLE BERNOULLI (1) REPEATABLE (7) LIMIT 500"
_TRACES = "SELECT array_agg(trace_id) FROM (SELECT trace_id FROM request_logs ORDER BY request_time DESC LIMIT 50) n"


class Form:
    """A database in one of the forms, and the connection that asks it.

    Attributes:
        name: of the form.
        planning: the median milliseconds to plan each look-up.
    """

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.connection = data.connect(url)
        self._some = self.connection.execute(_SOME).fetchall()
        row = self.connection.execute(_TRACES).fetchone()
        self._traces = row[0] if row else []
        self._chance = random.Random(7)  # noqa: S311 - which rows are looked up
        self.planning = {name: self._plans(text) for name, text in LOOKUPS.items()}

    def run(self, name: str) -> None:
        """Looks up some rows, one after the other."""
        prepare = name.endswith("prepared") or None
        for _ in range(REPEATS):
            cursor = self.connection.execute(LOOKUPS[name].encode(), self._values(), prepare=bool(prepare))
            if cursor.description:
                cursor.fetchall()

    def _values(self) -> dict[str, Any]:
        key, time, _ = self._chance.choice(self._some)
        return {"id": key, "time": time, "traces": self._traces, "day": time.date()}

    def _plans(self, text: str) -> float:
        found = []
        for _ in range(REPEATS):
            asked = f"EXPLAIN (SUMMARY, FORMAT JSON) {text}".encode()
            row = self.connection.execute(asked, self._values(), prepare=False).fetchone()
            plan = row[0] if row else []
            found.append(float((json.loads(plan) if isinstance(plan, str) else plan)[0]["Planning Time"]))
        return round(statistics.median(found), 3)


def forms(server: Server, rows: int) -> list[Form]:
    """Fills a database of each form with the same times."""
    end = dt.datetime.now(dt.UTC).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    end += dt.timedelta(days=7 - end.weekday())
    start = end - dt.timedelta(weeks=WEEKS)
    weeks = [start + dt.timedelta(weeks=number) for number in range(WEEKS + 1)]
    days = [end - dt.timedelta(days=DAYS - number) for number in range(DAYS + 1)]
    made = []
    for name, bounds in (("plain", []), (f"{WEEKS} weekly partitions", weeks), (f"{DAYS} daily partitions", days)):
        url = data.empty(server)
        low = bounds[0] if bounds else start
        if bounds:
            data.divide(url, bounds)
        data.fill(url, low, end, rows)
        data.settle(url)
        made.append(Form(name, url))
    return made


def measured(server: Server, rows: int, rounds: int) -> dict[str, Any]:
    """Measures the look-ups in turn."""
    made = forms(server, rows)
    cases = [measure.Case(name, form.name, partial(form.run, name)) for name in LOOKUPS for form in made]
    results = measure.measure(cases, rounds)
    for form in made:
        form.connection.close()
    planning = {form.name: form.planning for form in made}
    return {
        "rows": rows,
        "results": [
            {
                "lookup": found.group,
                "form": found.case,
                "ms": round(found.median_ms / REPEATS, 3),
                "ratio": round(found.ratio, 2),
                "planning": planning[found.case][found.group],
            }
            for found in results
        ],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """Returns the lines of the table."""
    made = [f"look-ups in {found['rows']:,} rows", f"{'':34}{'ms':>9}{'ratio':>8}{'to plan, ms':>13}"]
    group = ""
    for line in found["results"]:
        made += [line["lookup"]] if line["lookup"] != group else []
        group = line["lookup"]
        made.append(f"  {line['form']:32}{line['ms']:>9.3f}{line['ratio']:>8.2f}{line['planning']:>13.3f}")
    return made
