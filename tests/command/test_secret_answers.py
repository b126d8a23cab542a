"""`schema secrets`: the words for keys that are missing or open only a part, and for rows that may not be read."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.encryption import RawKey
from tests.support.command_processes import failed
from tests.support.database_access import run
from tests.support.databases import ONE_A_DAY
from tests.support.gateway_database import NEW_ENC, Gateway
from tests.support.known_keys import one_by_one
from tests.support.waiting import wait_until

NO_KEYS = {"ENCRYPTION_KEY": "", "GITHUB_TOKEN_ENCRYPTION_KEY": ""}
ROWS = 400


@pytest.fixture
def gateway(head_url: str) -> Gateway:
    """A database at head, whose secrets are encrypted."""
    gateway = Gateway(head_url)
    gateway.fill(ROWS)
    assert gateway.schema("encrypt").returncode == 0
    return gateway


def seal_under_another_key(gateway: Gateway, condition: str) -> None:
    stored = one_by_one(NEW_ENC)("sk")
    run(gateway.url, f"UPDATE service_providers SET api_key = :stored WHERE {condition}", stored=stored)


# --- a sample is judged as a sample ---------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "unreadable",
    ["id >= 40", "id < 390", "id BETWEEN 10 AND 389", "id % 9 <> 0"],
    ids=["end", "start", "middle", "mixed"],
)
def test_keys_that_open_a_part_of_a_sample_are_not_said_to_belong_to_the_database(
    gateway: Gateway, unreadable: str
) -> None:
    seal_under_another_key(gateway, unreadable)
    done = gateway.schema("check-keys")
    assert (done.returncode, done.stderr) == (1, "")
    first, of_keys, *_ = done.stdout.splitlines()
    assert first == "The keys open only a part of a sample of this database; count all with: schema secrets status"
    assert of_keys.startswith("  service_providers.api_key: ")
    answer = gateway.json("check-keys")
    sample = answer["samples"][0]
    assert (answer["code"], sample["tried"]) == ("remain", 20)
    assert 0 < sample["opened"] < 20


@pytest.mark.exhaustive
def test_keys_that_open_a_whole_sample_are_said_to_have_opened_a_sample(gateway: Gateway) -> None:
    done = gateway.schema("check-keys")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "The keys belong to this database: they open all of a sample.",
            "  service_providers.api_key: 20 of 20",
            "  users.github_access_token: 20 of 20",
            "  users.github_refresh_token: 0 of 0",
            "  api_keys.key_hash: 0 of 0",
        ],
    )


def test_a_database_without_ciphertext_proves_no_key(head_url: str) -> None:
    done = Gateway(head_url).schema("check-keys")
    assert done.returncode == 0
    assert done.stdout.startswith(
        "No ciphertext was found in a sample of this database: the keys don't contradict it.\n"
    )


# --- no key ------------------------------------------------------------------------


@pytest.mark.exhaustive
def test_without_a_key_nothing_is_said_of_plaintext_where_all_is_encrypted(gateway: Gateway) -> None:
    what = "ENCRYPTION_KEY is not set, so what is stored in service_providers"
    assert failed(gateway.schema("check-keys", **NO_KEYS), 2).startswith(f"FAILED: {what}.api_key cannot be decrypted.")
    assert failed(gateway.schema("rotate", **NO_KEYS), 2).startswith(f"FAILED: {what} cannot be encrypted.")
    assert gateway.schema("encrypt", **NO_KEYS).returncode == 0  # there is nothing to do


@pytest.mark.exhaustive
def test_without_a_key_plaintext_is_what_cannot_be_encrypted(head_url: str) -> None:
    gateway = Gateway(head_url)
    gateway.fill(1)
    line = failed(gateway.schema("encrypt", **NO_KEYS), 2)
    assert line.startswith(
        "FAILED: ENCRYPTION_KEY is not set, so the plaintext in service_providers cannot be encrypted."
    )
    line = failed(gateway.schema("check-keys", **NO_KEYS), 2)
    assert line.startswith(
        "FAILED: ENCRYPTION_KEY is not set, so a new secret of service_providers cannot be encrypted."
    )


@pytest.mark.exhaustive
def test_a_key_that_only_reads_is_not_enough_to_write_with(gateway: Gateway) -> None:
    only_previous = {"ENCRYPTION_KEY": "", "ENCRYPTION_KEY_PREVIOUS": gateway.env["ENCRYPTION_KEY"]}
    line = failed(gateway.schema("check-keys", **only_previous), 2)
    assert line.startswith(
        "FAILED: ENCRYPTION_KEY is not set, so a new secret of service_providers cannot be encrypted."
    )
    assert gateway.schema("verify", **only_previous).returncode == 0


@pytest.mark.exhaustive
def test_an_inventory_without_a_key_says_so(gateway: Gateway) -> None:
    done = gateway.schema("status", "--table", "service_providers", **NO_KEYS)
    counts = dict(line.strip().rsplit(maxsplit=1) for line in done.stdout.splitlines()[1:])
    assert (done.returncode, counts) == (
        0,
        {"empty": "0", "plaintext": "0", "no key is set": str(ROWS), "malformed": "0", "unreadable": "0"},
    )
    answer = gateway.schema("verify", "--json", **NO_KEYS)
    assert answer.returncode == 2
    assert json.loads(answer.stdout)["code"] == "configuration"
    assert [column["no_key"] for column in json.loads(answer.stdout)["columns"]] == [ROWS, ROWS, 0]


@pytest.mark.exhaustive
def test_an_inventory_under_the_wrong_key_says_unreadable(gateway: Gateway) -> None:
    wrong = {"ENCRYPTION_KEY": RawKey.generate()}
    done = gateway.schema("verify", "--table", "service_providers", **wrong)
    assert done.returncode == 1
    assert "no key is set" not in done.stdout
    assert "unreadable: service_providers.api_key of 0" in done.stdout


# --- rights --------------------------------------------------------------------------


@contextmanager
def as_role(gateway: Gateway, *grants: str) -> Iterator[Gateway]:
    """Gives the gateway as a role that has these rights on the tables of secrets."""
    role = f"clerk_{gateway.url.rpartition('/')[2]}"
    run(gateway.url, f"CREATE ROLE {role} LOGIN")
    try:
        for grant in grants:
            run(gateway.url, f"GRANT {grant} TO {role}")
        yield Gateway(gateway.url.replace("postgres@", f"{role}@"))
    finally:
        run(gateway.url, f"DROP OWNED BY {role}")
        run(gateway.url, f"DROP ROLE {role}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)  # SQLite has no roles
@pytest.mark.parametrize("command", ["status", "verify", "check-keys", "encrypt", "rotate", "encrypt --dry-run"])
def test_a_denied_read_does_not_speak_of_what_was_written(gateway: Gateway, command: str) -> None:
    with as_role(gateway) as clerk:
        line = failed(clerk.schema(*command.split()), 1)
    assert "permission denied for table service_providers. Nothing was written" in line
    assert "kept" not in line


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("workers", [[], ["--workers", "2"]], ids=["alone", "two workers"])
def test_a_denied_write_names_the_table_to_which_nothing_was_written(head_url: str, workers: list[str]) -> None:
    gateway = Gateway(head_url)
    gateway.fill(30)
    grants = ["SELECT ON service_providers, users", "UPDATE ON service_providers", "CREATE ON SCHEMA public"]
    with as_role(gateway, *grants) as clerk:
        line = failed(clerk.schema("encrypt", *workers), 1)
    assert line.endswith("permission denied for table users. Nothing was written to users.")


# --- SIGTERM -------------------------------------------------------------------------


@pytest.mark.exhaustive
@pytest.mark.parametrize("head_url", ONE_A_DAY, indirect=True)
def test_json_of_a_run_that_was_told_to_stop_has_the_word_for_it(head_url: str) -> None:
    gateway = Gateway(head_url)
    gateway.fill(3000)
    running = gateway.start("encrypt", "--json", "--table", "service_providers", "--throttle-query", "SELECT 1 = 1")
    wait_until(lambda: "waiting" in running.stderr or running.ended)
    running.send(signal.SIGTERM)
    done = running.wait()
    assert (done.returncode, json.loads(done.stdout)["code"]) == (130, "interrupted"), done.stderr
