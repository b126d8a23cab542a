"""The order of revisions, and what the ledger proves of a database's place in it."""

import time
from datetime import UTC, datetime

import pytest

from app.migrations.checksums import checksum, recorded_parents
from app.migrations.line import Line, Revision, standing_checksums
from app.migrations.run import Entry, Outcome
from app.migrations.session import Direction


def source(revision: str, parents: object) -> bytes:
    return f'revision = "{revision}"\ndown_revision = {parents!r}\n\n\ndef upgrade(): ...\n'.encode()


def revision(name: str, *parents: str) -> Revision:
    down = None if not parents else parents[0] if len(parents) == 1 else parents
    return Revision(name, parents, source(name, down))


def entry(name: str, direction: str = "upgrade", outcome: str = "applied", checksum: str | None = None) -> Entry:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Entry(1, name, Direction(direction), Outcome(outcome), moment, checksum=checksum)


@pytest.mark.parametrize("parents", [None, "b", "20260101000001", ("b", "c"), ("c", "b"), ("c", "a", "b")])
@pytest.mark.parametrize("now", [None, "a", ("a", "b"), ("a", "b", "c")])
def test_the_recorded_parent_is_found(parents: object, now: object) -> None:
    known = ("a", "b", "c", "20260101000001")
    expected = () if parents is None else (parents,) if isinstance(parents, str) else parents
    assert recorded_parents(source("r", now), checksum(source("r", parents)), known) == expected
    annotated = source("r", now).replace(b"down_revision =", b"down_revision: str | None =")
    before = source("r", parents).replace(b"down_revision =", b"down_revision: str | None =")
    assert recorded_parents(annotated, checksum(before), known) == expected


@pytest.mark.parametrize("later", [0, 30])
def test_three_recorded_parents_are_found_shortly_before_their_merge(later: int) -> None:
    known = tuple(f"{number:02}" for number in range(60))
    merge = known[-1 - later]
    parents = tuple(reversed(known[-4 - later : -1 - later]))
    assert recorded_parents(source(merge, parents[0]), checksum(source(merge, parents)), known) == parents


@pytest.mark.parametrize("code", [b"def upgrade(): pass", b"x = 1", b"repeatable = True\ndef upgrade(): ..."])
def test_another_edit_has_no_recorded_parent(code: bytes) -> None:
    edited = source("r", "a").replace(b"def upgrade(): ...", code)
    assert recorded_parents(edited, checksum(source("r", "b")), ("a", "b")) is None


def test_a_stamp_is_the_operators_word() -> None:
    assert standing_checksums([entry("a"), entry("b"), entry("a", "stamp")]) == {"a": None}
    assert standing_checksums([entry("a"), entry("b"), entry("b", "downgrade")]) == {"a": None}
    assert standing_checksums([entry("a"), entry("b", "downgrade", "failed")]) == {"a": None}
    assert standing_checksums([entry("a"), entry("a", "stamp", "rolled_back")]) == {}
    assert standing_checksums([entry("a", "stamp", "adopted"), entry("b", outcome="failed")]) == {"a": None}


def test_a_due_revision_is_below_the_version_and_not_applied() -> None:
    line = Line([revision("a"), revision("b", "a"), revision("c", "b")])
    due = [entry("c", "stamp", "adopted"), entry("b", "stamp", "due")]
    place = line.place(["c"], due)
    assert (place.rows, place.missing, place.due) == (("c",), [], ("b",))
    assert place.applied == frozenset({"a", "c"})
    assert line.lacks(["c"], due) == ["b"]
    assert line.place(["c"], [*due, entry("b", outcome="failed")]).due == ("b",)
    assert line.place(["c"], [*due, entry("b")]).due == ()
    assert line.place(["c"], [*due, entry("c", "stamp")]).due == ()
    assert line.place(["a"], due).due == ()
    head = [entry("c", "stamp", "adopted"), entry("c", "stamp", "due")]
    assert (line.place(["c"], head).rows, line.place(["c"], head).due) == (("c",), ("c",))


def test_two_ends_a_merge_and_a_circle_are_no_line() -> None:
    base = revision("a")
    assert Line([base, revision("b", "a")]).is_single
    assert not Line([base, revision("b", "a"), revision("c", "a")]).is_single
    assert not Line([base, revision("b", "a"), revision("c", "a"), revision("d", "b", "c")]).is_single
    circle = Line([base, revision("b", "c"), revision("c", "b")])
    assert (circle.is_single, circle.order, circle.in_circle) == (False, ("a", "b", "c"), ("b", "c"))


def test_ids_that_dont_sort_are_in_the_order_of_the_line() -> None:
    line = Line([revision("z"), revision("m", "z"), revision("a", "m")])
    assert line.order == ("z", "m", "a")
    assert line.lacks(["z"], []) == ["m", "a"]
    assert line.lacks(["a"], []) == []


def test_a_long_history_is_ordered_at_once() -> None:
    names = [f"{number:05}" for number in range(3000)]
    revisions = [revision(name, *names[number - 1 : number]) for number, name in enumerate(names)]
    begun = time.perf_counter()
    line = Line(reversed(revisions))
    assert line.is_single
    assert line.lacks([names[-2]], []) == [names[-1]]
    assert time.perf_counter() - begun < 2


def test_a_revision_without_a_ledger_counts_as_applied() -> None:
    line = Line([revision("a"), revision("x", "a"), revision("y", "x")])
    assert line.lacks(["y"], []) == []
    assert line.lacks(["y"], [entry("y", checksum=checksum(source("y", "a")))]) == ["x"]
    assert line.lacks(["y"], [entry("y", checksum=checksum(source("y", "x")))]) == []
    assert line.lacks(["y"], [entry("x"), entry("y", checksum=checksum(source("y", "a")))]) == []
