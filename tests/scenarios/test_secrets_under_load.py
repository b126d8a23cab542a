"""The long way round: a writer at work all the while, workers killed at random, plaintext sought."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import sqlalchemy as sa

from app import db
from app.encryption import ENC, FieldCipher, Keyring, RawKey
from tests.postgres import Server
from tests.support.database_access import autocommit, rows, run
from tests.support.databases import Servers
from tests.support.gateway_database import NEW, NEW_ENC, SECRET, Gateway, children
from tests.support.known_keys import ENC_CIPHER, KEY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.exhaustive

SECONDS = 60
ROWS = 20_000
MANY = 100_000
EITHER = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, KEY, [NEW["ENCRYPTION_KEY"]]))


class Writer(threading.Thread):
    """An application that reads and replaces random secrets as fast as it can, under a key of its own.

    Attributes:
        written: what each row must hold in the end.
        longest: seconds of its longest update.
    """

    def __init__(self, url: str, number: int, write: Callable[[str], str]) -> None:
        super().__init__()
        self._engine = db.engine(url)
        self._number, self._write = number, write
        self._ending = threading.Event()
        self.written: dict[int, str] = {}
        self.updates = 0
        self.longest = 0.0
        self.failed: list[BaseException] = []

    def run(self) -> None:
        chance = random.Random(1)
        try:
            while not self._ending.is_set():
                self._update(chance.randrange(self._number))
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failed.append(error)

    def _update(self, row: int) -> None:
        secret = f"theirs {self.updates} of {row}"
        started = time.monotonic()
        with self._engine.begin() as connection:
            found = connection.execute(
                sa.text("UPDATE service_providers SET api_key = :value WHERE id = :id RETURNING api_key"),
                {"value": self._write(secret), "id": row},
            ).scalar_one()
        self.longest = max(self.longest, time.monotonic() - started)
        EITHER.decrypt(found)
        self.written[row] = secret
        self.updates += 1

    def stop(self) -> None:
        self._ending.set()
        self.join()
        self._engine.dispose()
        assert not self.failed


@contextmanager
def writing(url: str, number: int, write: Callable[[str], str]) -> Iterator[Writer]:
    writer = Writer(url, number, write)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


@pytest.fixture
def gateway(head_url: str) -> Gateway:
    return Gateway(head_url)


def workers(gateway: Gateway) -> list[str]:
    return ["--workers", "2"] if "postgresql" in gateway.url else []


def check(gateway: Gateway, cipher: FieldCipher, number: int, written: dict[int, str]) -> None:
    """Each row holds what was written last, under this key."""
    for row, stored in rows(gateway.url, "SELECT id, api_key FROM service_providers"):
        assert cipher.open(stored).plaintext == written.get(row, SECRET.format(row)), row
    assert number == int(rows(gateway.url, "SELECT count(*) FROM service_providers")[0][0])


def test_a_writer_loses_nothing_while_all_is_encrypted(gateway: Gateway) -> None:
    """The writer stores ciphertext; plaintext is put back between runs, so that there is something to do."""
    gateway.fill(ROWS)
    written: dict[int, str] = {}
    ends, runs = time.monotonic() + SECONDS, 0
    while time.monotonic() < ends:
        with writing(gateway.url, ROWS, lambda secret: str(ENC_CIPHER.encrypt(secret))) as writer:
            done = gateway.schema("encrypt", "--table", "service_providers", "--pause", "0.5", *workers(gateway))
            assert done.returncode == 0, done.stderr
        written |= writer.written
        check(gateway, ENC_CIPHER, ROWS, written)
        runs += 1
        plain = {row: written.get(row, SECRET.format(row)) for row in range(ROWS)}
        with autocommit(gateway.url) as connection:
            connection.exec_driver_sql("BEGIN")
            statement = sa.text("UPDATE service_providers SET api_key = :value WHERE id = :id")
            connection.execute(statement, [{"value": value, "id": row} for row, value in plain.items()])
            connection.exec_driver_sql("COMMIT")
    assert runs


def test_a_writer_loses_nothing_while_all_is_rotated(gateway: Gateway) -> None:
    """To and fro between two keys, for a minute, with the writer always under the new one."""
    gateway.fill(ROWS)
    assert gateway.schema("encrypt", "--table", "service_providers").returncode == 0
    there = NEW, NEW_ENC
    back = {"ENCRYPTION_KEY": KEY, "ENCRYPTION_KEY_PREVIOUS": NEW["ENCRYPTION_KEY"]}, ENC_CIPHER
    written: dict[int, str] = {}
    ends, turns = time.monotonic() + SECONDS, [there, back]
    while time.monotonic() < ends:
        env, cipher = turns[0]
        turns.reverse()
        with writing(gateway.url, ROWS, lambda secret, cipher=cipher: str(cipher.encrypt(secret))) as writer:  # type: ignore[misc]
            done = gateway.schema("rotate", "--table", "service_providers", *workers(gateway), **env)
            assert done.returncode == 0, done.stderr
        written |= writer.written
        assert writer.updates
        check(gateway, cipher, ROWS, written)


def test_workers_that_are_killed_at_random_lose_nothing(postgres_url: str, alembic: Any) -> None:
    assert alembic("upgrade", "head", url=postgres_url).returncode == 0
    gateway = Gateway(postgres_url)
    gateway.fill(MANY)
    assert gateway.schema("encrypt", "--table", "service_providers", "--workers", "2").returncode == 0
    chance = random.Random(7)
    for _ in range(10):
        paused = "rotate", "--table", "service_providers", "--workers", "2", "--pause", "1"
        with gateway.start(*paused, **NEW) as running:
            time.sleep(chance.uniform(1.5, 5))
            victims = children(running.pid)
            if chance.random() < 0.5:
                victims.append(running.pid)
            for pid in victims:
                kill(pid)
            running.wait()
            for pid in victims:
                kill(pid)
    time.sleep(31)  # what the dead have leased is free by now
    done = gateway.schema("rotate", "--table", "service_providers", "--workers", "2", **NEW)
    assert done.returncode == 0, done.stderr
    check(gateway, NEW_ENC, MANY, {})


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_plaintext_is_in_no_file_of_a_server_after_vacuum_full(servers: Servers, alembic: Any) -> None:
    del servers
    with Server() as server:
        url = server.create_database()
        assert alembic("upgrade", "head", url=url).returncode == 0
        gateway = Gateway(url)
        gateway.fill(2000)
        assert gateway.schema("encrypt").returncode == 0
        for statement in ("VACUUM FULL service_providers", "VACUUM FULL users", "ANALYZE", "CHECKPOINT"):
            run(url, statement)
        folder = server._base / "data" / "base"
        assert not [path for path in folder.rglob("*") if path.is_file() and b"sk-do-not-show-me" in path.read_bytes()]


def test_no_plaintext_is_sent_back_to_a_server_that_logs_every_statement(alembic: Any) -> None:
    logged: dict[str, Any] = {"log_statement": "all", "log_parameter_max_length": "-1"}
    with Server(**logged) as server:
        url = server.create_database()
        assert alembic("upgrade", "head", url=url).returncode == 0
        gateway, log = Gateway(url), server._base / "log"
        gateway.fill(500)
        filled = len(log.read_bytes())
        assert b"do-not-show-me" in log.read_bytes()
        for table, more in (("service_providers", ()), ("users", ("--workers", "2"))):
            assert gateway.schema("encrypt", "--table", table, *more).returncode == 0
        assert gateway.schema("rotate", **NEW).returncode == 0
        sent = log.read_bytes()[filled:]
        assert b"UPDATE" in sent
        assert b"do-not-show-me" not in sent


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "two"])
def test_a_crash_of_the_server_loses_no_secret(alembic: Any, workers: tuple[str, ...]) -> None:
    durable: dict[str, Any] = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "wal_writer_delay": "10s",
    }
    plaintext = "SELECT count(*) FROM service_providers WHERE api_key NOT LIKE 'enc:%'"
    with Server(**durable) as server:
        url = server.create_database()
        assert alembic("upgrade", "head", url=url).returncode == 0
        gateway = Gateway(url)
        gateway.fill(ROWS)
        with gateway.start("encrypt", "--table", "service_providers", "--pause", "1", *workers) as running:
            wait_until(lambda: rows(url, plaintext)[0][0] < ROWS - 1000 or running.ended)
            crash_and_start(server)
            assert running.wait().returncode == 1
        left = int(rows(url, plaintext)[0][0])
        assert 0 < left <= ROWS
        assert gateway.schema("encrypt", "--table", "service_providers", *workers).returncode == 0
        crash_and_start(server)  # "done" was said, so all of it is on the disk
        check(gateway, ENC_CIPHER, ROWS, {})


def crash_and_start(server: Server) -> None:
    server._run("pg_ctl", "stop", "--mode=immediate")
    server._run("pg_ctl", "start", "--wait", "--options", f"-p {server.port}")
