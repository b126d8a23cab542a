"""What an application's readiness probe is told."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from app import database_url, db
from app.project import PROJECT
from tests.support.alembic_in_process import REVISIONS, upgrade
from tests.support.database_access import execute
from tests.support.databases import At
from tests.support.environment import ROOT

pytestmark = pytest.mark.in_turn


@pytest.mark.exhaustive
def test_missing_returns_the_revisions_that_a_database_lacks(at: At) -> None:
    for revision, lacks in (("base", REVISIONS), (REVISIONS[5], REVISIONS[6:]), (REVISIONS[-1], [])):
        engine = db.engine(at(revision))
        assert PROJECT.missing(engine) == lacks
        assert PROJECT.is_current(engine) is (not lacks)
        engine.dispose()


def test_a_database_that_is_ahead_of_the_code_is_current(head_url: str) -> None:
    execute(head_url, "UPDATE alembic_version SET version_num = '29990101000000'")
    assert PROJECT.is_current(db.migration_engine(head_url))


def test_a_connection_keeps_its_transaction(head_url: str) -> None:
    with db.migration_engine(head_url).connect() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '20241211000000'"))
        assert PROJECT.missing(connection) == REVISIONS[1:]
        connection.rollback()
        assert PROJECT.is_current(connection)


def test_a_file_that_isnt_there_is_not_made(sqlite_url: str) -> None:
    engine = db.engine(sqlite_url)
    assert PROJECT.missing(engine) == REVISIONS
    file = database_url.sqlite_file(engine.url)
    assert file is not None
    assert list(file.parent.iterdir()) == []


def test_a_version_table_without_a_row_lacks_everything(url: str) -> None:
    upgrade(url, REVISIONS[0])
    execute(url, "DELETE FROM alembic_version")
    assert PROJECT.missing(db.migration_engine(url)) == REVISIONS


def test_a_database_that_isnt_there_is_an_error_and_no_answer() -> None:
    with pytest.raises(sa.exc.OperationalError):
        PROJECT.is_current(db.engine("postgresql://someone@127.0.0.1:1/gateway"))


def test_a_package_without_its_revisions_says_so(sqlite_url: str) -> None:
    nowhere = replace(PROJECT, root=ROOT / "nowhere")
    with pytest.raises(FileNotFoundError, match="no revisions in"):
        nowhere.missing(db.engine(sqlite_url))
