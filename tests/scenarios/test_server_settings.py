"""Databases whose sessions have other defaults: every command works on them as on any other."""

import pytest

from tests.support.command_processes import UNPREPARED, Done
from tests.support.database_access import insert, rows, run
from tests.support.environment import ROOT, variables
from tests.support.known_keys import KEY, PASSPHRASE

pytestmark = pytest.mark.exhaustive

SETTINGS = [
    ("DateStyle", "SQL, DMY"),
    ("DateStyle", "Postgres, MDY"),
    ("DateStyle", "German"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "America/St_Johns"),
    ("bytea_output", "escape"),
    ("standard_conforming_strings", "off"),
    ("client_encoding", "LATIN1"),
    ("quote_all_identifiers", "on"),
    ("extra_float_digits", "-15"),
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("idle_in_transaction_session_timeout", "200"),
    ("lock_timeout", "1"),
    ("statement_timeout", "3000"),
    ("row_security", "off"),
    ("check_function_bodies", "off"),
    ("transform_null_equals", "on"),
    ("backslash_quote", "off"),
    ("search_path", "public, pg_catalog"),
    ("lc_messages", "C"),
    ("enable_seqscan", "off"),
    ("plan_cache_mode", "force_generic_plan"),
]
HOW_MANY = 8
# Several at once, each under a name of its own: a walk through the commands takes most of a minute.
TOGETHER = [SETTINGS[number::HOW_MANY] for number in range(HOW_MANY)]


@pytest.mark.parametrize("settings", TOGETHER, ids=lambda settings: ", ".join(map(" ".join, settings)))
def test_every_command_works_under_any_setting(postgres_url: str, settings: list[tuple[str, str]]) -> None:
    database = postgres_url.rpartition("/")[2]
    for name, value in settings:
        quoted = value if name == "search_path" else f"'{value}'"
        run(postgres_url, f"ALTER DATABASE {database} SET {name} = {quoted}")
    env = variables(postgres_url) | {"ENCRYPTION_KEY": KEY, "GITHUB_TOKEN_ENCRYPTION_KEY": PASSPHRASE}

    def succeeds(*args: str) -> Done:
        done = UNPREPARED.run(*args, env=env, folder=ROOT)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done

    succeeds("alembic", "upgrade", "20260131000000")
    row = {"name": "a \\ b", "base_url": "https://x", "protocol": "openai", "api_key": "secret"}
    insert(postgres_url, "service_providers", *({"id": n, **row, "name": f"{n} \\ '"} for n in range(3)))
    succeeds("alembic", "upgrade", "head")
    assert all(value.startswith("enc:") for (value,) in rows(postgres_url, "SELECT api_key FROM service_providers"))
    succeeds("app.cli", "status", "--history")
    succeeds("app.cli", "check")
    succeeds("alembic", "check")
    succeeds("app.cli", "secrets", "verify", "--workers", "2")
    succeeds("alembic", "downgrade", "-1")
    succeeds("app.cli", "deploy")
