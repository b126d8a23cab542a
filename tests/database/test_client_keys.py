"""Client keys: found by a keyed hash or as they are, beside a gateway without hashes; hashed as often as wanted."""

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import db
from app.backfill import ByRow, backfill
from app.encryption import Keyring, RawKey
from app.migrations import commands
from app.models import ApiKey
from app.models.keys import CLIENT_KEY_HASHES
from app.project import PROJECT
from tests.support.database_access import autocommit, rows, run
from tests.support.database_access import engine as plain_engine
from tests.support.databases import ONE_A_DAY
from tests.support.gateway_database import Gateway
from tests.support.waiting import wait_until

pytestmark = pytest.mark.in_turn

SECRET, OTHER, THIRD = (f"sk-client-{name}-do-not-show-me" for name in ("one", "ünïcode", "three"))
OLD, NEW, FOREIGN = (RawKey.generate() for _ in range(3))
NAME = "API_KEY_HASH_KEY"


def ring(writing: str | None, *previous: str) -> Keyring:
    return Keyring.parse(NAME, RawKey.from_base64, writing, previous)


@pytest.fixture
def engine(head_url: str) -> Iterator[sa.Engine]:
    engine = db.engine(head_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def statements(engine: sa.Engine) -> list[tuple[str, Any]]:
    """The statements that were executed one after the other, with their parameters."""
    seen: list[tuple[str, Any]] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *event: seen.append((event[2], event[3])))
    return seen


def as_the_gateway(url: str, name: str, value: str) -> None:
    """Adds a client with a statement that knows of no hash."""
    run(url, "INSERT INTO api_keys (key_name, key_value) VALUES (:name, :value)", name=name, value=value)


def found(session: Session, key: str) -> str | None:
    client = ApiKey.find(session, key)
    return client.key_name if client is not None else None


def test_a_client_is_found_by_its_hash_or_by_its_key(
    head_url: str, session: Session, statements: list[tuple[str, Any]]
) -> None:
    def queries(key: str, name: str | None) -> int:
        session.commit()
        statements.clear()
        assert found(session, key) == name
        return len([statement for statement, _ in statements if statement.startswith("SELECT")])

    with CLIENT_KEY_HASHES.override(ring(OLD)):
        session.add(ApiKey(key_name="hashed", key_value=SECRET))
        assert queries(SECRET, "hashed") == 1
        assert SECRET not in repr(statements)
    as_the_gateway(head_url, "gateway's", OTHER)
    for keys, expected in (
        (ring(OLD), (1, 2, 2)),
        (ring(NEW, FOREIGN, OLD), (1, 2, 2)),
        (ring(None, OLD), (1, 2, 2)),
        (ring(FOREIGN), (2, 2, 2)),
        (ring(None), (1, 1, 1)),
    ):
        with CLIENT_KEY_HASHES.override(keys):
            assert (queries(SECRET, "hashed"), queries(OTHER, "gateway's"), queries(THIRD, None)) == expected


def test_a_hash_of_a_former_key_finds_nobody(head_url: str, session: Session) -> None:
    change = "UPDATE api_keys SET key_value = :new WHERE key_name = :name"
    with CLIENT_KEY_HASHES.override(ring(OLD)):
        first = ApiKey(key_name="first", key_value=SECRET)
        session.add(first)
        session.commit()
        assert first.key_value == SECRET  # loaded, and old by the next line
        run(head_url, change, name="first", new=OTHER)
        if head_url.startswith("sqlite"):  # which shows a transaction the rows of its beginning
            session.commit()
            assert first.key_value == OTHER
        assert (found(session, SECRET), found(session, OTHER)) == (None, "first")
        # Another client gets the former key, and so the same hash.
        session.add(ApiKey(key_name="second", key_value=SECRET))
        session.commit()
        assert (found(session, SECRET), found(session, OTHER)) == ("second", "first")
        hashes = rows(head_url, "SELECT key_hash FROM api_keys")
        assert len(hashes) == 2
        assert len({*hashes}) == 1


def test_the_hash_follows_the_key_through_the_model(head_url: str, session: Session) -> None:
    def stored() -> object:
        session.commit()
        return rows(head_url, "SELECT key_value, key_hash FROM api_keys")[0]

    client = ApiKey(key_name="client", key_value=SECRET)  # no key is set in tests
    session.add(client)
    assert stored() == (SECRET, None)
    with CLIENT_KEY_HASHES.override(ring(NEW, OLD)):
        client.key_value = OTHER
        assert stored() == (OTHER, CLIENT_KEY_HASHES.hash(OTHER))
        setattr(client, "key_value", sa.literal("a") + sa.literal("b"))  # noqa: B010 - no str, to mypy
        assert stored() == ("ab", None)
        client.key_value = THIRD
        assert client.key_hash is not None
    client.key_value = SECRET
    assert stored() == (SECRET, None)
    assert "do-not-show-me" not in repr(client)


def test_what_no_client_can_have_is_not_looked_up(session: Session, statements: list[tuple[str, Any]]) -> None:
    with CLIENT_KEY_HASHES.override(ring(NEW)):
        for key in ("", "do-not-show-me\0", "do-not-show-me\ud800"):
            assert ApiKey.find(session, key) is None
    assert statements == []


def hashes_under(url: str, key: str) -> bool:
    """Returns whether every hash is that of its row's value, under a key."""
    with CLIENT_KEY_HASHES.override(ring(key)):
        stored = rows(url, "SELECT key_value, key_hash FROM api_keys")
        return all(CLIENT_KEY_HASHES.hash(value) == key_hash for value, key_hash in stored)


def test_hashes_are_written_as_often_as_wanted(head_url: str) -> None:
    gateway = Gateway(head_url)

    def counts(*args: str, **env: str) -> tuple[int, ...]:
        [table] = gateway.json("hash", *args, **env)["tables"]
        assert [*table["columns"]] == ["key_hash"]
        return tuple(table["columns"]["key_hash"][name] for name in ("changed", "unchanged", "rejected"))

    old, both, foreign = {NAME: OLD}, {NAME: NEW, f"{NAME}_PREVIOUS": OLD}, {NAME: FOREIGN}
    assert counts(**old) == (0, 0, 0)
    for number in range(3):
        as_the_gateway(head_url, f"client {number}", f"{SECRET} {number}")
    # Rows to hash are no difference, and need no key.
    assert commands.check(PROJECT, plain_engine(head_url)).exit_code == 0
    assert gateway.schema("check-keys").returncode == 0
    assert counts("--dry-run", **old) == (3, 0, 0)
    assert rows(head_url, "SELECT DISTINCT key_hash FROM api_keys") == [(None,)]
    assert counts(**old) == (3, 0, 0)
    assert counts(**old) == (0, 3, 0)
    assert hashes_under(head_url, OLD)

    run(head_url, "UPDATE api_keys SET key_value = :value WHERE key_name = 'client 1'", value=OTHER)
    assert counts(**both) == (1, 2, 0)  # hashes under the previous key stay
    assert counts("--replace", **both) == (2, 1, 0)
    assert hashes_under(head_url, NEW)

    for command in ("hash", "check-keys"):
        for key, words in (
            (FOREIGN, f"None of the keys in {NAME} made the hashes in api_keys.key_hash (sampled 3)."),
            ("", f"{NAME} is not set, so what api_keys.key_value holds cannot be hashed."),
            ("do-not-show-me", f"Invalid {NAME}"),
        ):
            done = gateway.schema(command, **{NAME: key})
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.startswith(f"FAILED: {words}")
    run(head_url, "UPDATE api_keys SET key_hash = NULL WHERE key_name = 'client 0'")
    assert counts("--replace", **foreign) == (3, 0, 0)
    run(head_url, "UPDATE api_keys SET key_hash = NULL WHERE key_name = 'client 0'")
    run(head_url, "UPDATE api_keys SET key_hash = 'h1:of:somebody' WHERE key_name = 'client 2'")
    done = gateway.schema("hash", **foreign)
    assert (done.returncode, "api_keys.key_hash of 3: was made with a key that isn't set" in done.stdout) == (1, True)
    assert gateway.json("check-keys", **foreign)["samples"][-1] == {
        "table": "api_keys",
        "column": "key_hash",
        "tried": 3,
        "opened": 2,
    }
    assert counts("--replace", **foreign) == (1, 2, 0)
    assert hashes_under(head_url, FOREIGN)


def test_a_row_that_changes_meanwhile_is_hashed_as_it_is_then(head_url: str) -> None:
    for number in range(3):
        as_the_gateway(head_url, f"client {number}", f"{SECRET} {number}")

    def meanwhile(change: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], Any]:
        left = [OTHER]

        def changing(page: Sequence[Any]) -> Any:
            new = change(page)
            if left and page[0]:
                run(head_url, "UPDATE api_keys SET key_value = :v WHERE key_name = 'client 1'", v=left.pop())
                run(head_url, "UPDATE api_keys SET last_used_at = '2026-01-01' WHERE key_name = 'client 2'")
            return new

        return changing

    def hashed(page: Sequence[Any]) -> Any:
        wanted = [CLIENT_KEY_HASHES.hash(value) for value in page[0]]
        return [[None] * len(wanted), [new if new != old else None for new, old in zip(wanted, page[1], strict=True)]]

    with CLIENT_KEY_HASHES.override(ring(NEW)), autocommit(head_url) as connection:
        change = ByRow(meanwhile(hashed))
        report = backfill(connection, "api_keys", ["key_value", "key_hash"], change)
    assert (report.conflicts, report.columns["key_value"].changed, report.columns["key_hash"].changed) == (1, 0, 3)
    assert rows(head_url, "SELECT key_value FROM api_keys WHERE key_name = 'client 1'") == [(OTHER,)]
    assert hashes_under(head_url, NEW)


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
def test_a_killed_command_is_run_again(head_url: str) -> None:
    gateway, number = Gateway(head_url), 60_000
    with autocommit(head_url) as connection:
        connection.exec_driver_sql("BEGIN")
        clients = [{"n": f"client {n}", "v": f"{SECRET} {n}"} for n in range(number)]
        connection.execute(sa.text("INSERT INTO api_keys (key_name, key_value) VALUES (:n, :v)"), clients)
        connection.exec_driver_sql("COMMIT")
    count = "SELECT count(*) FROM api_keys WHERE key_hash IS NOT NULL"
    running = gateway.start("hash", **{NAME: NEW})
    wait_until(lambda: rows(head_url, count)[0][0])
    running.send(signal.SIGKILL)
    running.wait()
    [(done,)] = rows(head_url, count)
    assert 0 < done < number
    [table] = gateway.json("hash", **{NAME: NEW})["tables"]
    assert table["columns"]["key_hash"]["changed"] == number - done
    assert hashes_under(head_url, NEW)


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
def test_without_the_column_the_upgrade_is_named(head_url: str) -> None:
    run(head_url, "DROP INDEX api_keys_key_hash_idx")
    run(head_url, "ALTER TABLE api_keys DROP COLUMN key_hash")
    gateway = Gateway(head_url)
    done = gateway.schema("hash", **{NAME: NEW})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "FAILED: api_keys has no column key_hash in this database. Run: alembic upgrade head\n"
    assert gateway.schema("check-keys").returncode == 0
