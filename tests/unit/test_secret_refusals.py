"""Refusals of the encrypting revisions that need no database."""

from collections.abc import Mapping

import pytest
from sqlalchemy.dialects import mysql, sqlite

from app import revision_api, secrets
from app.backfill import BackfillError, Report
from app.backfill.report import Tally
from tests.support.known_keys import ENC_CIPHER


def test_the_guard_says_in_a_script_for_sqlite_what_to_run() -> None:
    first = str(secrets.guard(sqlite.dialect(), "holders", ["a"], ENC_CIPHER)).partition("\n")[0]
    assert first.startswith("-- Fails (integer overflow) while holders holds secrets in plaintext; then run: alembic ")


def test_another_database_is_refused() -> None:
    with pytest.raises(ValueError, match="mysql"):
        secrets.guard(mysql.dialect(), "holders", ["a"], ENC_CIPHER)


@pytest.mark.parametrize(
    ("options", "as_sql", "wants"),
    [
        ({}, False, False),
        ({}, True, False),
        ({"decrypt_secrets": "no"}, True, False),
        ({"decrypt_secrets": "yes"}, False, True),
    ],
)
def test_a_downgrade_decrypts_when_it_is_told_to(options: Mapping[str, str], as_sql: bool, wants: bool) -> None:
    assert revision_api._wants_decryption(options, as_sql=as_sql) is wants


@pytest.mark.parametrize(
    ("answer", "as_sql", "message"),
    [
        ("maybe", False, r"^-x decrypt_secrets takes yes or no\.$"),
        ("YES", False, r"^-x decrypt_secrets takes yes or no\.$"),
        ("yes", True, r"^SQL can't decrypt: downgrade without --sql, or leave out -x decrypt_secrets=yes\.$"),
    ],
)
def test_a_downgrade_that_is_told_nonsense_is_refused(answer: str, as_sql: bool, message: str) -> None:
    with pytest.raises(BackfillError, match=message):
        revision_api._wants_decryption({"decrypt_secrets": answer}, as_sql=as_sql)


def test_a_clean_end_is_no_error() -> None:
    revision_api._refuse_unreadable(Report("holders", 3, {"a": Tally(changed=3)}))
    revision_api._refuse_plaintext("holders", 0)


def test_plaintext_that_came_in_meanwhile_is_an_error() -> None:
    with pytest.raises(BackfillError, match=r"^holders: 2 rows with plaintext came in meanwhile: a program still"):
        revision_api._refuse_plaintext("holders", 2)
