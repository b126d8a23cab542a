"""The words that revisions import: their names and signatures are frozen, and they work on both databases."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app import revision_api
from app.migrations.errors import MigrationError
from app.revision_api import Backfill, EncryptColumns
from tests.support.alembic_in_process import History, downgrade_script, revision_of
from tests.support.database_access import autocommit, execute, query, run_script

# Landed revisions depend on every line of this: add lines, such as an argument with a default, and change none.
FROZEN: Mapping[str, tuple[str, str]] = {
    "Backfill": (
        (
            "(table: str, columns: Sequence[str], change: Callable[[Any], Any], *, todo: str, "
            "undo: Callable[[Any], Any] | None = None, with_nulls: bool = False, "
            "key: str | Sequence[str] | None = None"
            ", newest_first: bool = False) -> None"
        ),
        "Changes values of one table",
    ),
    "Backfill.upgrade": ("(self) -> None", "Changes every value"),
    "Backfill.downgrade": ("(self) -> None", "Applies `undo`"),
    "Backfill.verify": ("(self, connection: Connection) -> int", "Counts the rows still to do"),
    "EncryptColumns": (
        "(table: str, columns: Sequence[str], *, format: Literal['enc', 'token'], keyring: str) -> None",
        "Encrypts the plaintext in columns of one table",
    ),
    "EncryptColumns.upgrade": ("(self) -> None", "Encrypts every plaintext"),
    "EncryptColumns.downgrade": ("(self) -> None", "Leaves the values encrypted"),
    "EncryptColumns.verify": (
        "(self, connection: Connection) -> int",
        "Counts the rows that still hold plaintext",
    ),
    "Rejected": ("(*args, **kwargs)", "Raised by a change that can't handle a value"),
}


def word(name: str) -> Any:
    found: Any = revision_api
    for part in name.split("."):
        found = getattr(found, part)
    return found


def words() -> list[str]:
    """Every name that a revision can use: classes, and their public methods."""
    methods = [
        f"{name}.{method}"
        for name in revision_api.__all__
        for method, value in vars(word(name)).items()
        if inspect.isfunction(value) and not method.startswith("_")
    ]
    return sorted([*revision_api.__all__, *methods])


def test_no_word_is_missing_and_none_is_added_by_mistake() -> None:
    assert words() == sorted(FROZEN)


@pytest.mark.parametrize("name", FROZEN)
def test_a_word_means_what_it_meant(name: str) -> None:
    signature, opening = FROZEN[name]
    try:
        text = str(inspect.signature(word(name)))
    except ValueError:  # an exception has its base's
        text = "(*args, **kwargs)"
    assert re.sub(r"\b(?:collections\.abc|typing|sqlalchemy\.engine\.base)\.", "", text) == signature
    assert str(inspect.getdoc(word(name))).startswith(opening)


def test_one_string_is_no_list_of_columns() -> None:
    with pytest.raises(TypeError, match=r"^columns must be a sequence of names, not 'email': write \('email',\)$"):
        Backfill("users", "email", str.lower, todo="true")
    with pytest.raises(TypeError, match=r"^columns must be a sequence of names"):
        EncryptColumns("users", "token", format="enc", keyring="ENCRYPTION_KEY")


# --- a data revision that isn't about secrets ---------------------------------------------------------------------

TABLE = "op.create_table('people', sa.Column('id', sa.Integer, primary_key=True), sa.Column('email', sa.Text))"
LOWER = """
def lower(value):
    if "@" not in value:
        raise Rejected("isn't an address")
    return value.lower()

def capitals(value):
    return value.capitalize()

EMAILS = Backfill("people", ("email",), lower, todo="email <> lower(email) AND email NOT LIKE 'x%'", undo=capitals)
verify = EMAILS.verify
"""
NULLS = """
EMAILS = Backfill(
    "people", ("email",), lambda value: "nobody@example.org" if not value else None, todo="email IS NULL OR email = ''",
    with_nulls=True,
)
verify = EMAILS.verify
"""


class People(History):
    """A history with a table of people, and a data revision after it."""

    def __init__(self, folder: Path, declaration: str) -> None:
        super().__init__(folder)
        self.first = self.add(TABLE, "op.drop_table('people')")
        self.second = self.add("EMAILS.upgrade()", "EMAILS.downgrade()")
        file = folder / "versions" / f"{self.second}.py"
        text = file.read_text(encoding="utf-8")
        imported = "from app.revision_api import Backfill, Rejected\n"
        file.write_text(text.replace("\nrevision =", f"{imported}\nrevision =", 1) + declaration, encoding="utf-8")

    def fill(self, url: str, *emails: str | None) -> None:
        self.upgrade(url, self.first)
        with autocommit(url) as connection:
            records = [{"id": number, "email": email} for number, email in enumerate(emails, 1)]
            connection.execute(sa.text("INSERT INTO people VALUES (:id, :email)"), records)

    def emails(self, url: str) -> list[object]:
        return [email for (email,) in query(url, "SELECT email FROM people ORDER BY id")]


def test_a_backfill_changes_every_value_and_goes_back_where_it_can(url: str, tmp_path: Path) -> None:
    people = People(tmp_path, LOWER)
    people.fill(url, "A@x.org", None, "", "b@x.org", "C@X.ORG")
    people.upgrade(url)
    assert people.emails(url) == ["a@x.org", None, "", "b@x.org", "c@x.org"]
    assert revision_of(url) == people.second
    people.downgrade(url, people.first)
    assert people.emails(url) == ["A@x.org", None, "", "B@x.org", "C@x.org"]


def test_nulls_are_filled_when_asked_for(url: str, tmp_path: Path) -> None:
    people = People(tmp_path, NULLS)
    people.fill(url, "a@x.org", None, "")
    people.upgrade(url)
    filled = ["a@x.org", "nobody@example.org", "nobody@example.org"]
    assert people.emails(url) == filled
    people.downgrade(url, people.first)  # no undo: the values stay
    assert people.emails(url) == filled


def test_rejected_values_are_named_by_key_and_the_rest_is_done(url: str, tmp_path: Path) -> None:
    people = People(tmp_path, LOWER)
    people.fill(url, "A@x.org", "nonsense, not to be shown", "B@x.org")
    with pytest.raises(MigrationError) as caught:
        people.upgrade(url)
    assert str(caught.value).endswith(
        "people: 1 of the values were left alone (isn't an address): email of 2. All others are done. Correct these "
        "rows, and run the same command again."
    )
    assert people.emails(url) == ["a@x.org", "nonsense, not to be shown", "b@x.org"]
    assert revision_of(url) == people.first


def test_rows_still_to_do_at_the_end_are_an_error(url: str, tmp_path: Path) -> None:
    people = People(tmp_path, LOWER.replace("NOT LIKE 'x%'", "<> '' OR email = 'b@x.org'"))
    people.fill(url, "A@x.org", "b@x.org")
    with pytest.raises(MigrationError, match=r"people: 1 rows are still to do \(email <> .*\): a program still writes"):
        people.upgrade(url)
    assert people.emails(url) == ["a@x.org", "b@x.org"]


def test_a_script_fails_while_rows_are_still_to_do(url: str, tmp_path: Path) -> None:
    people = People(tmp_path, LOWER)
    people.fill(url, "A@x.org")
    script = people.upgrade_script(url, f"{people.first}:{people.second}")
    assert "%'" in script
    with pytest.raises(Exception, match=r"has rows still to do, which SQL cannot change|integer overflow"):
        run_script(url, script)
    assert revision_of(url) == people.first
    execute(url, "UPDATE people SET email = lower(email)")
    run_script(url, script)
    assert revision_of(url) == people.second


def test_a_script_cannot_undo(url: str, tmp_path: Path) -> None:
    people = People(tmp_path, LOWER)
    with pytest.raises(MigrationError, match="SQL can't undo the changes of people: downgrade without --sql"):
        downgrade_script(url, f"{people.second}:{people.first}", people.ini)
