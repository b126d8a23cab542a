"""Workers that share a table: who gets which stretch, who takes over, when it is over."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from app import backfill, db
from app.backfill import LEASES_TABLE, KeyRange, Pace, Report
from app.backfill.leases import Job, Lease, Leases, dump_key, load_key
from app.backfill.sweep import Sweep
from tests.support.alembic_in_process import config
from tests.support.database_access import autocommit
from tests.support.databases import everyday

ROWS = 25
SIZE = 10


class Table:
    """A table `items` of 25 rows, and workers at it."""

    def __init__(self, connection: sa.Connection, key: str) -> None:
        self.connection = connection
        connection.exec_driver_sql(f"CREATE TABLE items (id {key} PRIMARY KEY, a text)")
        values = {"integer": "i", "uuid": "md5(i::text)::uuid", "text": "'k' || i", "timestamptz": "to_timestamp(i)"}
        connection.exec_driver_sql(
            f"INSERT INTO items SELECT {values[key]}, 'v' || i FROM generate_series(1, {ROWS}) i"
        )

    def worker(self, name: str, **options: Any) -> Leases:
        table = backfill.Table(self.connection, "items", ["a"])
        engine = db.migration_engine(self.connection.engine.url)
        return Leases(engine, table, "job", name, size=SIZE, **options)

    def do(self, lease: Lease) -> Report:
        def change(value: str) -> str | None:
            return None if value.startswith("done ") else f"done {value}"

        return Sweep(backfill.Table(self.connection, "items", ["a"]), change, Pace()).run(lease.key_range)

    def clock(self, jumps: str) -> None:
        """Has the server's clock jump, as far as the leases can tell: what is kept of it moves the other way."""
        self.connection.execute(
            sa.text(f"UPDATE {LEASES_TABLE} SET until = until - CAST(:jumps AS interval)"), {"jumps": jumps}
        )

    def done(self) -> int:
        return int(self.connection.exec_driver_sql("SELECT count(*) FROM items WHERE a ~ '^done v'").scalar_one())


@pytest.fixture(params=everyday(["integer", "uuid", "text", "timestamptz"], ["uuid"]))
def table(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Table]:
    with autocommit(postgres_url) as connection:
        yield Table(connection, request.param)


def claimed(worker: Leases) -> Lease:
    lease = worker.claim()
    assert isinstance(lease, Lease)
    return lease


def finish(table: Table, worker: Leases) -> Job:
    """Works until the job is over."""
    while not isinstance(lease := worker.claim(), Job):
        if lease is not None:
            worker.finish(lease, table.do(lease))
    return lease


def test_each_stretch_is_given_out_once_and_all_are_done(table: Table) -> None:
    one, two = table.worker("one"), table.worker("two")
    one.join()
    two.join()
    leases = [claimed(one), claimed(two), claimed(one)]
    assert two.claim() is None
    for worker, lease in zip([one, two, one], leases, strict=True):
        report = table.do(lease)
        assert report.changed == report.rows <= SIZE
        worker.finish(lease, report)
    job = finish(table, two)
    assert (job.report.rows, job.report.changed, table.done()) == (ROWS, ROWS, ROWS)
    assert job.passes.number == 2
    assert isinstance(one.claim(), Job)


def test_the_page_that_a_worker_found_right_is_handed_on(table: Table) -> None:
    one, two = table.worker("one"), table.worker("two")
    one.join()
    two.join()
    lease = claimed(one)
    assert lease.page_rows is None
    one.finish(lease, table.do(lease), 700)
    second, third = claimed(two), claimed(one)
    assert (second.page_rows, third.page_rows) == (700, 700)
    two.give_back(second, table.do(second), None)
    one.finish(third, table.do(third))
    assert claimed(two).number == second.number  # its own page is known to it
    assert one.job().page_rows == 700


def test_the_last_pass_is_saved_where_a_query_can_tell(table: Table) -> None:
    worker = table.worker("one", finished=lambda: table.done() == ROWS)
    worker.join()
    assert finish(table, worker).passes.number == 1


def test_the_stretch_of_a_dead_worker_is_taken_over(table: Table) -> None:
    dead, alive = table.worker("dead"), table.worker("alive")
    dead.join()
    lost = claimed(dead)
    alive.join()
    mine = claimed(alive)
    assert mine.key_range != lost.key_range
    table.clock("31 seconds")
    alive.renew(mine)
    assert claimed(alive) == lost
    dead.finish(lost, Report("items", 1000))  # it comes back, and what it says doesn't count
    alive.finish(lost, table.do(lost))
    alive.finish(mine, table.do(mine))
    assert finish(table, alive).report.rows == ROWS
    assert table.done() == ROWS


def test_a_worker_that_renews_its_lease_keeps_its_stretch(table: Table) -> None:
    slow, other = table.worker("slow"), table.worker("other")
    slow.join()
    lease = claimed(slow)
    for _ in range(3):
        table.clock("20 seconds")
        slow.renew(lease)
    assert claimed(other).key_range != lease.key_range


@pytest.mark.in_turn
@pytest.mark.parametrize("jump", ["1 hour", "-1 hour"])
def test_a_clock_that_jumps_does_no_harm(table: Table, jump: str) -> None:
    one, two = table.worker("one"), table.worker("two")
    one.join()
    lease = claimed(one)
    table.clock(jump)
    other = claimed(two)  # forward: the same stretch, which both of them work at
    assert (other == lease) is (jump == "1 hour")
    reports = [table.do(lease), table.do(other)]
    one.finish(lease, reports[0])
    two.finish(other, reports[1])
    assert finish(table, two).report.rows == table.done() == ROWS
    assert sum(report.changed for report in reports) == len({lease.number, other.number}) * SIZE


def test_a_stretch_that_is_given_back_is_taken_at_once(table: Table) -> None:
    one, two = table.worker("one"), table.worker("two")
    one.join()
    lease = claimed(one)
    one.give_back(lease, Report.blank("items", ["a"]), None)
    assert claimed(two) == lease


def test_the_rows_of_a_restarted_job_are_counted_once(table: Table) -> None:
    one, two = table.worker("one"), table.worker("two")
    one.join()
    lease = claimed(one)
    asked = iter([False, False, True])
    rows = backfill.Table(table.connection, "items", ["a"])
    sweep = Sweep(rows, str.upper, Pace(rows=4, target=0, stopped=lambda: next(asked)))
    report = sweep.run(lease.key_range)
    assert (report.stopped, report.rows, report.changed) == (True, 8, 8)
    one.give_back(lease, report, sweep.reached)
    job = two.job()
    assert (job.report.rows, job.report.changed, job.report.stopped) == (8, 8, False)
    rest = claimed(two)
    assert (rest.number, rest.key_range) == (
        lease.number,
        KeyRange(load_key(dump_key(sweep.reached)), lease.key_range.high),
    )
    assert len(rows.read(rest.key_range, 100)) == SIZE - 8


def test_a_job_of_which_nobody_is_alive_begins_anew(table: Table) -> None:
    dead = table.worker("dead")
    dead.join()
    lease = claimed(dead)
    dead.finish(lease, table.do(lease))
    claimed(dead)
    table.clock("31 seconds")
    heir = table.worker("heir")
    heir.join()
    assert claimed(heir).key_range == lease.key_range


def test_a_job_that_is_over_can_be_done_again(table: Table) -> None:
    worker = table.worker("one")
    worker.join()
    finish(table, worker)
    again = table.worker("two")
    again.join()
    job = finish(table, again)
    assert (job.report.changed, job.report.rows, job.passes.number) == (0, ROWS, 1)


def test_an_empty_table_is_done_at_once(table: Table) -> None:
    table.connection.exec_driver_sql("DELETE FROM items")
    worker = table.worker("one")
    worker.join()
    assert finish(table, worker).report.rows == 0


def test_rows_that_come_in_meanwhile_are_met(postgres_url: str) -> None:
    with autocommit(postgres_url) as connection:
        table = Table(connection, "integer")
        worker = table.worker("one")
        worker.join()
        first = claimed(worker)
        connection.exec_driver_sql("INSERT INTO items VALUES (-1, 'v'), (1000, 'v')")
        worker.finish(first, table.do(first))
        assert finish(table, worker).report.changed == ROWS + 2
        assert table.done() == ROWS + 2


@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)
def test_the_table_is_ours_alone(head_url: str) -> None:
    with autocommit(head_url) as connection:
        Table(connection, "integer").worker("one").join()
        connection.exec_driver_sql("DROP TABLE items")
        assert sa.inspect(connection).has_table(LEASES_TABLE)
    command.check(config(head_url))
