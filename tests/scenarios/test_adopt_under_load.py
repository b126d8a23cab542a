"""Adoption beside the running service, beside other runs, and killed at any moment."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.alembic_in_process import HEAD, forget, revision_of
from tests.support.command_processes import Running, start_schema
from tests.support.database_access import execute, query
from tests.support.databases import KINDS, Servers, database, everyday
from tests.support.environment import ROOT, variables
from tests.support.field_edits import EDITS
from tests.support.known_keys import ENVIRONMENT
from tests.support.ledger_rows import holder
from tests.support.legacy_databases import DUMPS, OldService, count_on, load
from tests.support.sample_rows import ENCRYPTED, Values, common, fill, values_in
from tests.support.schema_in_process import schema
from tests.support.waiting import wait_until

# One for each kind of step.
CHOSEN = {
    "an index under another name",
    "a unique index for a constraint",
    "a unique constraint dropped",
    "an index dropped",
    "a foreign key that lets parents go, dropped",
    "columns dropped",
    "an invalid index",
    "a column without its default",
}
PROVIDER = "INSERT INTO service_providers (name, base_url, protocol, api_key) VALUES ('p', 'https://x', 'openai', 'sk')"


class Loop(threading.Thread):
    """The statements of the old service, over and over, until it is told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.service = OldService(url)
        self.rounds = 0
        self.failure: Exception | None = None
        self._stops = threading.Event()

    def run(self) -> None:
        try:
            while not self._stops.is_set():
                self.service.round()
                self.rounds += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, the service would have met it
            self.failure = error

    def stop(self) -> None:
        self._stops.set()
        self.join(60)
        assert self.failure is None
        assert self.service.lost() == 0


@contextmanager
def old_service(url: str) -> Iterator[Loop]:
    loop = Loop(url)
    loop.start()
    wait_until(lambda: loop.rounds > 0 or loop.failure is not None)
    yield loop
    before = loop.rounds
    wait_until(lambda: loop.rounds > before + 1 or loop.failure is not None)
    loop.stop()


def adopting(url: str, *args: str, **env: str) -> Running:
    return start_schema("adopt", "--apply", *args, DATABASE_URL=url, **ENVIRONMENT, **env)


def is_head(url: str) -> None:
    assert revision_of(url) == HEAD
    checked = schema("check", DATABASE_URL=url, **ENVIRONMENT)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("dump", everyday(DUMPS, ["gateway of January 31"]))
def test_the_old_service_notices_nothing(dump: str, servers: Servers, tmp_path: Path) -> None:
    with database(DUMPS[dump][0], servers, tmp_path) as url:
        load(url, dump)
        with old_service(url):
            done = adopting(url).wait()
            assert done.returncode == 0, done.stderr
            with Running("alembic", ("upgrade", "head"), variables(url) | ENVIRONMENT, ROOT) as upgrade:
                assert "nothing to do" in upgrade.wait().stderr
        is_head(url)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_two_adoptions_and_an_upgrade_at_once(kind: str, servers: Servers, tmp_path: Path) -> None:
    dump = next(name for name, (of, _) in DUMPS.items() if of == kind)
    with database(kind, servers, tmp_path) as url:
        load(url, dump)
        runs = [adopting(url), adopting(url)]
        upgrade = Running("alembic", ("upgrade", "head"), variables(url) | ENVIRONMENT, ROOT)
        done = [run.wait() for run in runs]
        assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
        assert sorted("nothing to adopt" in one.stdout for one in done) == [False, True]
        assert upgrade.wait().returncode in (0, 5)
        assert query(url, "SELECT count(*) FROM schema_ledger WHERE outcome = 'adopted'") == [(1,)]
        is_head(url)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_an_adoption_killed_at_any_moment_is_finished_by_the_next(
    kind: str,
    heads: Callable[[str], str],
    servers: Servers,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    with database(kind, servers, tmp_path, template=heads(kind)) as template:
        rows = edited(template, kind)
        counter = tmp_path / "moments"
        with database(kind, servers, tmp_path, template=template) as url:
            done = adopting(url, MOMENTS=str(counter)).wait()
            assert done.returncode == 0, done.stderr
        moments = int(counter.read_text(encoding="ascii"))
        for moment in range(1, moments + 1):
            with database(kind, servers, tmp_path, template=template) as url:
                service = OldService(url)
                killed = adopting(url, KILL_AT=str(moment)).wait()
                assert killed.returncode in (-signal.SIGKILL, 0)
                wait_until(partial(is_free, url))
                service.round()
                again = adopting(url).wait()
                assert again.returncode == 0, (moment, again.stderr)
                is_head(url)
                kept(rows, values_in(url))
                assert service.lost() == 0
    record_property("moments", f"{kind}: killed at each of {moments} moments")


def edited(url: str, kind: str) -> Values:
    """Makes a database without history that needs every kind of step, and a data revision."""
    forget(url)
    fill(url, 1, 2)
    count_on(url)
    # The keys of the samples are others than the tests have, and the service deletes old logs.
    execute(url, "UPDATE service_providers SET api_key = NULL", PROVIDER)
    execute(url, "UPDATE request_logs SET request_time = CURRENT_TIMESTAMP")
    execute(url, *(statement for edit in EDITS if edit.name in CHOSEN for statement in edit.on(kind)))
    return values_in(url)


def kept(before: Values, after: Values) -> None:
    """Requires that each row is there as it was, among others that came in."""
    for table, columns in common(before, after).items():
        names = [column for column in columns if column not in ENCRYPTED and column != "updated_at"]
        old, new = (set(zip(*(found[table][name] for name in names), strict=True)) for found in (before, after))
        assert old <= new, table


def is_free(url: str) -> bool:
    return holder(url) is None
