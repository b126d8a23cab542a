"""An application's own tests: each has its own database, in a real pytest process."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.environment import ROOT, variables

pytestmark = pytest.mark.exhaustive

NATURAL = """
import pytest
from app.project import PROJECT

@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_each_case_has_the_database_that_it_names(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/{name}.db")
    with PROJECT.engine().begin() as connection:
        connection.exec_driver_sql("CREATE TABLE own (n integer)")
    assert (tmp_path / f"{name}.db").exists()

def test_without_one_it_is_the_process_s_again():
    assert PROJECT.database_url().database == "/nowhere/process.db"
"""
RECIPE = """
import os
import pytest
import sqlalchemy as sa
from app.models import ServiceProvider
from app.project import PROJECT

seen = set()

@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_each_case_has_a_database_at_head_and_keys_of_its_own(name, schema_database):
    assert PROJECT.is_current(PROJECT.engine())
    assert str(PROJECT.database_url()) == schema_database
    with PROJECT.sessions().begin() as session:
        session.add(ServiceProvider(name=name, base_url="https://x.example", protocol="openai", api_key="sk-" + name))
    with PROJECT.sessions()() as session:
        (provider,) = session.scalars(sa.select(ServiceProvider))
        assert (provider.name, provider.api_key) == (name, "sk-" + name)
        stored = session.connection().exec_driver_sql("SELECT api_key FROM service_providers").scalar()
        assert stored.startswith("enc:")
    seen.update([schema_database, os.environ["ENCRYPTION_KEY"]])

def test_they_were_all_different():
    assert len(seen) == 6

def test_another_setting_is_seen_at_once(schema_settings):
    schema_settings.setenv("SCHEMA_LOCK_TIMEOUT", "7")
    assert PROJECT.limits().lock == 7
"""


@pytest.mark.parametrize(("conftest", "text"), [("", NATURAL), ('pytest_plugins = ["app.testing"]\n', RECIPE)])
def test_cases_dont_share_a_database(conftest: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
    (tmp_path / "test_service.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=variables("sqlite:////nowhere/process.db") | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, " passed" in done.stdout) == (0, True), done.stdout + done.stderr
