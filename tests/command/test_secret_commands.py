"""`schema secrets`: what is written, what is said, how it ends."""

import base64
import contextlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app import db
from app.encryption import ENC, FieldCipher, Keyring, RawKey
from tests.support.command_processes import Running, python
from tests.support.database_access import autocommit, rows, run
from tests.support.databases import ONE_A_DAY
from tests.support.gateway_database import NEW, NEW_ENC, NEW_KEY, NEW_TOKEN, SECRET, Gateway, children
from tests.support.known_keys import ENC_CIPHER, KEY, TOKEN_CIPHER
from tests.support.waiting import wait_until

HOLD = ["--throttle-query", "SELECT 1 = 1"]  # after the first page
BROKEN = "enc:do-not-show-me"


@pytest.fixture
def gateway(head_url: str) -> Gateway:
    """A database at head, without rows."""
    return Gateway(head_url)


def expected(number: int) -> list[str]:
    return [SECRET.format(n) for n in range(number)] * 2


@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
def test_secrets_are_encrypted_rotated_and_verified(gateway: Gateway) -> None:
    gateway.fill(20)
    run(gateway.url, "UPDATE service_providers SET api_key = '' WHERE id = 3")
    run(gateway.url, "UPDATE service_providers SET api_key = :value WHERE id = 4", value=str(ENC_CIPHER.encrypt("x")))
    dry = gateway.json("encrypt", "--dry-run")
    assert [table["columns"]["api_key"]["changed"] for table in dry["tables"] if "api_key" in table["columns"]] == [18]
    assert rows(gateway.url, "SELECT api_key FROM service_providers WHERE id = 5") == [(SECRET.format(5),)]
    assert gateway.json("encrypt")["code"] == "ok"
    assert gateway.json("encrypt")["tables"][0]["columns"]["api_key"]["changed"] == 0

    before = {column["column"]: column for column in gateway.json("status")["columns"]}
    assert (before["api_key"]["plaintext"], before["api_key"]["empty"], [*before["api_key"]["keys"].values()]) == (
        0,
        1,
        [19],
    )
    assert gateway.json("rotate", **NEW)["tables"][0]["columns"]["api_key"]["changed"] == 19
    after = {column["column"]: column for column in gateway.json("verify", **NEW)["columns"]}
    assert [*after["api_key"]["keys"].values()] == [19, 0]
    assert [*after["github_access_token"]["keys"].values()] == [20, 0]
    assert after["github_refresh_token"]["empty"] == 20
    assert not any(column["under_previous_keys"] for column in after.values())
    run(gateway.url, "DELETE FROM service_providers WHERE id IN (3, 4)")
    assert gateway.opened(NEW_ENC, NEW_TOKEN)[3:] == [SECRET.format(n) for n in [*range(5, 20), *range(20)]]


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
def test_a_process_of_its_own_does_the_same(gateway: Gateway) -> None:
    gateway.fill(3)
    done = python("-m", "app.cli", "secrets", "encrypt", "--json", env=gateway.env)
    assert (done.returncode, done.stderr) == (0, "")
    assert [table["rows"] for table in json.loads(done.stdout)["tables"]] == [3, 3]
    assert gateway.opened(ENC_CIPHER, TOKEN_CIPHER) == expected(3)


@pytest.mark.exhaustive
def test_one_column_can_be_chosen(gateway: Gateway) -> None:
    gateway.fill(2)
    assert gateway.schema("encrypt", "--table", "users", "--column", "github_access_token").returncode == 0
    columns = {c["column"]: c["plaintext"] for c in gateway.json("status")["columns"]}
    assert columns == {"api_key": 2, "github_access_token": 0, "github_refresh_token": 0}
    done = gateway.schema("encrypt", "--column", "nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert "service_providers.api_key" in done.stderr


@pytest.mark.exhaustive
def test_malformed_values_remain_and_are_named_by_key(gateway: Gateway) -> None:
    gateway.fill(3)
    run(gateway.url, "UPDATE service_providers SET api_key = :value WHERE id = 1", value=BROKEN)
    done = gateway.schema("encrypt", "--table", "service_providers")
    assert done.returncode == 1
    assert "service_providers.api_key of 1: looks encrypted but isn't a whole ciphertext" in done.stdout
    verified = gateway.json("verify", "--table", "service_providers")
    assert verified["code"] == "remain"
    assert verified["columns"][0]["bad"] == [{"key": "1", "state": "malformed"}]
    assert gateway.schema("status").returncode == 0


@pytest.mark.exhaustive
def test_a_key_that_was_taken_away_half_way_leaves_rows_and_says_so(gateway: Gateway) -> None:
    gateway.fill(30)
    assert gateway.schema("encrypt").returncode == 0
    run(gateway.url, "UPDATE service_providers SET api_key = :v WHERE id = 0", v=str(NEW_ENC.encrypt("new")))
    done = gateway.schema("rotate", "--table", "service_providers", **NEW | {"ENCRYPTION_KEY_PREVIOUS": ""})
    assert done.returncode == 1
    assert "no configured key opens it" in done.stdout
    assert "… and 9 more" in done.stdout
    assert gateway.schema("rotate", "--table", "service_providers", **NEW).returncode == 0
    assert gateway.schema("verify", "--table", "service_providers", **NEW).returncode == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", ["rotate", "check-keys"])
def test_wrong_and_missing_keys_are_one_line(gateway: Gateway, command: str) -> None:
    gateway.fill(2)
    gateway.schema("encrypt")
    before = rows(gateway.url, "SELECT api_key FROM service_providers")
    for key, words in (
        (RawKey.generate(), "None of the keys in ENCRYPTION_KEY opens the values stored in service_providers.api_key"),
        ("", "ENCRYPTION_KEY is not set"),
        ("nonsense", "Invalid ENCRYPTION_KEY"),
    ):
        done = gateway.schema(command, ENCRYPTION_KEY=key)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(f"FAILED: {words}")
    assert rows(gateway.url, "SELECT api_key FROM service_providers") == before
    assert gateway.schema("check-keys").returncode == 0


@pytest.mark.exhaustive
def test_workers_share_the_work(gateway: Gateway) -> None:
    gateway.fill(50)
    done = gateway.schema("encrypt", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert ("SQLite has one writer at a time" in done.stderr) is gateway.url.startswith("sqlite")
    assert gateway.opened(ENC_CIPHER, TOKEN_CIPHER) == expected(50)
    assert gateway.json("verify", "--workers", "2")["columns"][0]["rows"] == 50


# Both ask the same of it; the one is asked every day.
endings = pytest.mark.parametrize("ending", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.exhaustive)])


@pytest.mark.exhaustive
@endings
def test_a_run_that_is_told_to_stop_finishes_its_page_and_says_how_to_go_on(
    gateway: Gateway, ending: signal.Signals
) -> None:
    finishes_its_page(gateway, ending)


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)  # SQLite has one writer
@endings
def test_workers_that_are_told_to_stop_finish_their_page(gateway: Gateway, ending: signal.Signals) -> None:
    finishes_its_page(gateway, ending, "--workers", "2")


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]], ids=["alone", "two workers"])
def test_a_verification_that_is_told_to_stop_says_so(gateway: Gateway, workers: list[str]) -> None:
    """Each token has a salt of its own: all of them would take a minute."""
    gateway.fill(3000)
    salted(gateway, 3000)
    running = gateway.start("verify", "--table", "users", *workers)
    wait_for(running, lambda: is_connected(running.pid, gateway))
    running.send(signal.SIGTERM)
    done = running.wait()
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout.endswith("\nStopped before the end.\n")


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_workers_that_hear_of_it_twice_give_back_what_is_left(gateway: Gateway) -> None:
    """A terminal tells the workers too, and so does who started them, a moment later."""
    gateway.fill(3000)
    running = gateway.start("encrypt", "--table", "service_providers", *HOLD, "--workers", "2")
    wait_for(running, lambda: encrypted(gateway.url) > 0)
    for pid in [*children(running.pid), running.pid]:
        os.kill(pid, signal.SIGINT)
    done = running.wait()
    assert (done.returncode, "The same command goes on from there." in done.stdout) == (130, True), done.stderr
    assert f"{encrypted(gateway.url):,} encrypted" in done.stdout
    assert rows(gateway.url, "SELECT count(*) FROM schema_leases WHERE number > 0 AND until > clock_timestamp()") == [
        (0,)
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "command", [["verify"], pytest.param(["encrypt", *HOLD], marks=pytest.mark.exhaustive)], ids=["verify", "encrypt"]
)
def test_workers_end_with_who_started_them(gateway: Gateway, command: list[str]) -> None:
    gateway.fill(3000)
    if command == ["verify"]:
        salted(gateway, 3000)
    running = gateway.start(*command, "--workers", "2")
    wait_for(running, lambda: len(children(running.pid)) > 1)
    workers = children(running.pid)
    running.send(signal.SIGKILL)
    assert running.wait().returncode == -signal.SIGKILL
    wait_until(lambda: not any(is_running(pid) for pid in workers))


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text(encoding="ascii")


OURS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'schema %'"


def is_connected(pid: int, gateway: Gateway) -> bool:
    """Whether a command has reached its database, so is at work: sooner, a signal ends it another way."""
    if gateway.url.startswith("postgresql"):
        return bool(rows(gateway.url, OURS)[0][0])
    opened = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            opened.append(str(descriptor.readlink()))
    return sa.make_url(gateway.url).database in opened


def salted(gateway: Gateway, number: int) -> None:
    """Gives so many tokens a salt of their own; none can be opened, which is found out no sooner."""
    parts = [[base64.b64encode(os.urandom(size)).decode() for size in (32, 16, 16, 9)] for _ in range(number)]
    values = [{"number": user, "stored": ":".join(each)} for user, each in enumerate(parts)]
    with autocommit(gateway.url) as connection:
        connection.execute(
            sa.text("UPDATE users SET github_access_token = :stored WHERE github_user_id = :number"), values
        )


def finishes_its_page(gateway: Gateway, ending: signal.Signals, *workers: str) -> None:
    gateway.fill(3000)
    running = gateway.start("encrypt", "--table", "service_providers", *HOLD, *workers)
    wait_for(running, lambda: encrypted(gateway.url) > 0)
    running.send(ending)
    done = running.wait()
    assert done.returncode == 130, done.stderr
    assert "The same command goes on from there." in done.stdout
    assert 0 < encrypted(gateway.url) < 3000
    assert gateway.schema("encrypt").returncode == 0
    assert gateway.opened(ENC_CIPHER, TOKEN_CIPHER) == expected(3000)


def wait_for(running: Running, done: Callable[[], bool]) -> None:
    """Waits until something has come about, for as long as the command runs."""
    while not done() and not running.ended:
        time.sleep(0.05)


def encrypted(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM service_providers WHERE api_key LIKE 'enc:%'")[0][0])


@pytest.mark.exhaustive
def test_a_throttle_query_holds_the_work(gateway: Gateway) -> None:
    gateway.fill(3000)
    run(gateway.url, "CREATE TABLE brake (pulled integer)")
    run(gateway.url, "INSERT INTO brake VALUES (1)")
    query = "SELECT count(*) FROM brake WHERE pulled = 1"
    running = gateway.start("encrypt", "--table", "service_providers", "--throttle-query", query)
    wait_for(running, lambda: "\n" in running.stderr)
    assert "waiting, the throttle query says so" in running.stderr.splitlines()[0]
    assert encrypted(gateway.url) < 3000
    run(gateway.url, "DELETE FROM brake")
    assert (running.wait().returncode, encrypted(gateway.url)) == (0, 3000)


@pytest.mark.exhaustive
def test_a_database_that_is_not_there_is_one_line(sqlite_url: str) -> None:
    gateway = Gateway(sqlite_url)
    for command in ("encrypt", "rotate", "status", "verify", "check-keys"):
        done = gateway.schema(command)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), command
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


@pytest.mark.exhaustive
def test_a_database_without_the_table_is_one_line(url: str) -> None:
    run(url, "CREATE TABLE other (a integer)")
    done = Gateway(url).schema("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "FAILED: There is no table service_providers in this database. Run: alembic upgrade head, or choose another "
        "with --table.\n"
    )


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["sqlite"], indirect=True)  # PostgreSQL has only text that is UTF-8
def test_a_secret_that_is_not_utf8_stops_no_one_and_is_not_shown(gateway: Gateway) -> None:
    gateway.fill(3)
    run(gateway.url, "UPDATE service_providers SET api_key = CAST(api_key || x'ff' AS text) WHERE id = 1")
    done = gateway.schema("encrypt")
    assert (done.returncode, encrypted(gateway.url)) == (1, 2)
    assert "service_providers.api_key of 1: isn't UTF-8" in done.stdout
    assert "malformed: service_providers.api_key of 1" in gateway.schema("verify").stdout


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)  # SQLite has no connection to cut
def test_a_connection_that_is_cut_is_one_line_and_the_next_run_goes_on(gateway: Gateway) -> None:
    gateway.fill(3000)
    running = gateway.start("encrypt", "--table", "service_providers", *HOLD)
    wait_for(running, lambda: encrypted(gateway.url) > 0)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'schema secrets%' AND datname = current_database()"
    )
    rows(gateway.url, cut)
    done = running.wait()
    waiting, failed, end = done.stderr.split("\n")
    assert (done.returncode, done.stdout, end) == (1, "", "")
    assert "waiting" in waiting
    assert failed.startswith("FAILED: ")
    assert "run the same command again" in failed
    assert gateway.schema("encrypt").returncode == 0
    assert gateway.opened(ENC_CIPHER, TOKEN_CIPHER) == expected(3000)


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)  # SQLite locks no rows
def test_rows_that_others_have_locked_are_waited_for(gateway: Gateway) -> None:
    gateway.fill(100)
    with autocommit(gateway.url) as other:
        other.exec_driver_sql("BEGIN")
        other.exec_driver_sql("SELECT 1 FROM service_providers WHERE id = 50 FOR UPDATE")
        running = gateway.start("encrypt", "--table", "service_providers")
        wait_for(running, lambda: encrypted(gateway.url) >= 49)
        other.exec_driver_sql("ROLLBACK")
        done = running.wait()
    assert (done.returncode, encrypted(gateway.url)) == (0, 100)


FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id > 600 THEN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
    END IF;
    RETURN NEW;
END $$
"""


@pytest.mark.exhaustive
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.fill(2000)
    with contextlib.ExitStack() as room:
        if gateway.url.startswith("sqlite"):  # which says the same when a file may not grow further
            limits = room.enter_context(monkeypatch.context())
            [(pages,)] = rows(gateway.url, "PRAGMA page_count")
            limits.setattr(db, "_create", limited(pages + 20))
        else:
            run(gateway.url, FULL)
            run(gateway.url, trigger("full_disk"))
            room.callback(run, gateway.url, "DROP TRIGGER full_disk ON service_providers")
        done = gateway.schema("encrypt", "--table", "service_providers")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "full" in done.stderr.lower()
    assert "run the same command again" in done.stderr
    assert 0 < encrypted(gateway.url) < 2000
    assert gateway.schema("encrypt").returncode == 0
    assert encrypted(gateway.url) == 2000


def limited(pages: int) -> Callable[..., sa.Engine]:
    """Makes engines for a file that may not have more pages."""
    make = db._create

    def create(*args: Any) -> sa.Engine:
        engine = make(*args)
        sa.event.listen(engine, "connect", lambda driver, _: driver.execute(f"PRAGMA max_page_count = {pages}"))
        return engine

    return create


def trigger(name: str) -> str:
    return f"CREATE TRIGGER {name} BEFORE UPDATE ON service_providers FOR EACH ROW EXECUTE FUNCTION {name}()"


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)  # SQLite has no such limit
def test_a_statement_timeout_of_the_role_makes_pages_smaller(gateway: Gateway) -> None:
    gateway.fill(600)
    # Each row takes 1 ms to write, and a statement may take 200.
    sleep = (
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END'"
    )
    run(gateway.url, sleep)
    run(gateway.url, trigger("slow"))
    run(gateway.url, f"ALTER DATABASE {gateway.url.rpartition('/')[2]} SET statement_timeout = '200ms'")
    done = gateway.schema("encrypt", "--table", "service_providers")
    assert done.returncode == 0, done.stderr
    assert encrypted(gateway.url) == 600


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["sqlite"], indirect=True)  # the server's files: see the exhaustive tests
def test_plaintext_is_in_no_file_of_a_database_after_vacuum(head_url: str) -> None:
    gateway = Gateway(head_url)
    gateway.fill(500)
    file = Path(head_url.removeprefix("sqlite:///"))
    assert b"sk-do-not-show-me-499" in file.read_bytes()
    assert gateway.schema("encrypt").returncode == 0
    run(head_url, "VACUUM")
    assert all(b"do-not-show-me" not in path.read_bytes() for path in file.parent.iterdir() if path.is_file())


@pytest.mark.exhaustive
def test_a_key_is_replaced_while_an_application_works(gateway: Gateway) -> None:
    """The steps of docs/rotation.md, each of which an application of the step before lives to see."""
    gateway.fill(300)
    assert gateway.schema("encrypt").returncode == 0
    old, new = {"ENCRYPTION_KEY": KEY}, {"ENCRYPTION_KEY": NEW_KEY}
    readable, writing = old | {"ENCRYPTION_KEY_PREVIOUS": NEW_KEY}, new | {"ENCRYPTION_KEY_PREVIOUS": KEY}
    written: dict[int, str] = {}
    with contextlib.ExitStack() as rollout:
        first = rollout.enter_context(application(gateway.url, old, written))
        second = rollout.enter_context(application(gateway.url, readable, written))
        first.stop()
        third = rollout.enter_context(application(gateway.url, writing, written))
        second.stop()
        rotated = gateway.json("rotate", "--table", "service_providers", **writing)
        assert rotated["code"] == "ok"
        verified = gateway.json("verify", "--table", "service_providers", **writing)
        assert verified["columns"][0]["under_previous_keys"] == 0
        fourth = rollout.enter_context(application(gateway.url, new, written))
        third.stop()
        fourth.stop()
    assert [app.failed for app in (first, second, third, fourth)] == [None] * 4
    assert all(app.rounds for app in (first, second, third, fourth))
    stored = dict(rows(gateway.url, "SELECT id, api_key FROM service_providers"))
    assert {key: NEW_ENC.open(value).plaintext for key, value in stored.items()} == {
        number: written.get(number, SECRET.format(number)) for number in range(300)
    }


class Application(threading.Thread):
    """Reads random secrets, and replaces them, as the models do, with keys of its own."""

    def __init__(self, url: str, keys: dict[str, str], written: dict[int, str]) -> None:
        super().__init__()
        previous = [keys["ENCRYPTION_KEY_PREVIOUS"]] if "ENCRYPTION_KEY_PREVIOUS" in keys else []
        ring = Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, keys["ENCRYPTION_KEY"], previous)
        self._cipher = FieldCipher(ENC, ring)
        self._engine = db.engine(url)
        self._written = written
        self._ending = threading.Event()
        self.rounds = 0
        self.failed: BaseException | None = None

    def run(self) -> None:
        chance = random.Random(len(self._written))
        try:
            while not self._ending.is_set():
                self._round(chance.randrange(300))
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failed = error

    def _round(self, number: int) -> None:
        secret = f"{self.name} {self.rounds}"
        with USING, self._engine.begin() as connection:
            key = {"id": number}
            found = connection.execute(sa.text("SELECT api_key FROM service_providers WHERE id = :id"), key)
            assert self._cipher.decrypt(found.scalar_one()) == self._written.get(number, SECRET.format(number))
            statement = sa.text("UPDATE service_providers SET api_key = :value WHERE id = :id")
            connection.execute(statement, key | {"value": str(self._cipher.encrypt(secret))})
            self._written[number] = secret
        self.rounds += 1
        time.sleep(0.005)

    def stop(self) -> None:
        self._ending.set()
        self.join()
        self._engine.dispose()


# Two of the applications know each other's writes only in turn.
USING = threading.Lock()


@contextlib.contextmanager
def application(url: str, keys: dict[str, str], written: dict[int, str]) -> Iterator[Application]:
    running = Application(url, keys, written)
    running.start()
    while not running.rounds and running.is_alive():
        time.sleep(0.01)
    try:
        yield running
    finally:
        running.stop()
