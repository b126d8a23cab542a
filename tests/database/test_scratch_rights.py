"""Comparisons by roles and sessions that may make no scratch, or only a temporary one."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.alembic_in_process import HEAD, command_line
from tests.support.command_processes import Done
from tests.support.database_access import execute
from tests.support.databases import Servers, database
from tests.support.editable_project import EditableProject
from tests.support.environment import variables
from tests.support.model_features import AS_IT_IS
from tests.support.model_project import ModelProject
from tests.support.schema_in_process import schema

READ_ONLY = "-cdefault_transaction_read_only=on"
SECOND_BEST = (
    f" It was compared exactly with the snapshot of {HEAD}, and with the models only as far as Alembic's inspector "
    "sees: no default, and no text of a check or index expression. "
)


class Looker:
    """The commands of a role or session on the database `url`, with the models and history of an editable project."""

    def __init__(self, url: str, project: EditableProject) -> None:
        self.url, self._project = url, project

    def alembic(self, *args: str) -> Done:
        env = variables(self.url) | {"ALEMBIC_CONFIG": str(self._project.ini)}
        return command_line(*args, env=env, folder=self._project.folder)

    def check(self, *args: str) -> Done:
        return schema("check", *args, DATABASE_URL=self.url, ALEMBIC_CONFIG=str(self._project.ini))

    def revision(self) -> tuple[Done, str]:
        """Writes a revision; returns what was said, and the code of the file, empty if there is none."""
        done = self.alembic("revision", "--autogenerate", "-m", "test")
        made = [*self._project.versions.glob("*_test.py")]
        text = "".join(file.read_text(encoding="utf-8") for file in made)
        for file in made:
            file.unlink()
        return done, text


@pytest.fixture
def live(heads: Callable[[str], str], servers: Servers, tmp_path: Path) -> Iterator[str]:
    """A PostgreSQL database at head, where nobody has a right by being anybody."""
    with database("postgresql", servers, tmp_path, template=heads("postgresql")) as url:
        execute(url, f"REVOKE ALL ON DATABASE {sa.make_url(url).database} FROM PUBLIC")
        yield url


@contextmanager
def _role(live: str, rights: str) -> Iterator[str]:
    url = sa.make_url(live)
    name = f"{url.database}_looker"
    execute(
        live,
        f"CREATE ROLE {name} LOGIN",
        f"GRANT {rights} ON DATABASE {url.database} TO {name}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
    )
    yield url.set(username=name).render_as_string()
    execute(live, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


@pytest.fixture
def temporary(live: str, editable: EditableProject) -> Iterator[Looker]:
    """A role that may make temporary tables only."""
    with _role(live, "CONNECT, TEMP") as url:
        yield Looker(url, editable)


@pytest.fixture(params=["session", pytest.param("role", marks=pytest.mark.exhaustive)])
def limited(request: pytest.FixtureRequest, live: str, editable: EditableProject) -> Iterator[tuple[Looker, str]]:
    """A role or a session that may make no scratch, and the line that says so."""
    if request.param == "session":
        url = sa.make_url(live).update_query_dict({"options": READ_ONLY}).render_as_string()
        said = "The models can't be built in this database: the session is read-only."
        yield Looker(url, editable), f"{said}{SECOND_BEST}Run it in a session that may write, on the primary."
        return
    with _role(live, "CONNECT") as url:
        role, name = sa.make_url(url).username, sa.make_url(url).database
        said = f"The models can't be built in this database: the role {role} has neither CREATE nor TEMP on it."
        remedy = f"Let the role make temporary tables: GRANT TEMP ON DATABASE {name} TO {role}"
        yield Looker(url, editable), f"{said}{SECOND_BEST}{remedy}"


@pytest.mark.exhaustive
def test_a_role_with_temp_compares_everything(temporary: Looker, editable: EditableProject) -> None:
    done = temporary.alembic("check")
    assert (done.returncode, done.stderr) == (0, "")
    done = temporary.check()
    assert (done.returncode, done.stderr) == (0, "")
    assert "makes, and equals the models.\n" in done.stdout
    assert json.loads(temporary.check("--json").stdout)["models_compared"] == "whole"
    assert "Nothing has changed" in temporary.revision()[0].stdout
    editable.edit_models('tables["users"].c.is_whitelisted.server_default = sa.DefaultClause(sa.text("true"))')
    assert temporary.alembic("check").returncode == 8
    assert "server_default=sa.text('true')" in temporary.revision()[1].replace('"', "'")


def test_the_second_best_is_said_in_one_line(limited: tuple[Looker, str]) -> None:
    looker, line = limited
    done = looker.alembic("check")
    assert (done.returncode, done.stderr.splitlines()) == (0, [line])
    done = looker.check()
    assert (done.returncode, done.stderr) == (0, "")
    assert "makes, and differs from the models in nothing that was compared.\n" in done.stdout
    assert done.stdout.splitlines().count(f"Note: {line}") == 1
    answer = json.loads(looker.check("--json").stdout)
    assert (answer["code"], answer["models_compared"], answer["notes"]) == ("ok", "partly", [line])
    done, written = looker.revision()
    assert (done.returncode, written, done.stderr.splitlines()) == (0, "", [line])


@pytest.mark.exhaustive
def test_the_second_best_names_an_edit_and_a_drift(
    limited: tuple[Looker, str], live: str, editable: EditableProject
) -> None:
    looker, line = limited
    execute(
        live,
        "DROP INDEX service_registry_is_active_idx",
        "CREATE INDEX service_registry_is_active_idx ON service_registry (is_active) WHERE NOT is_active",
        "ALTER TABLE users DROP COLUMN is_whitelisted",
        "CREATE VIEW of_nobody AS SELECT 1 AS one",
    )
    editable.edit_models('tables["users"].append_column(sa.Column("nick", sa.String(50)))')
    done = looker.alembic("check")
    assert done.returncode == 8
    for part in (line, "add column users.nick", "add column users.is_whitelisted", "definition of service_registry."):
        assert done.stderr.count(part) == 1, part
    assert "of_nobody" not in done.stderr
    done = looker.check()
    assert done.returncode == 8
    assert "The models want:\n  add column users.nick\n" in done.stdout
    assert f"Note: {line}" in done.stdout
    done, written = looker.revision()
    assert done.returncode == 0
    assert "Nothing was written for: index service_registry.service_registry_is_active_idx" in done.stderr
    assert (written.count("op.add_column"), written.count("op.drop_column")) == (2, 2)


def test_without_a_snapshot_the_inspector_is_what_is_left(
    limited: tuple[Looker, str], editable: EditableProject
) -> None:
    looker, line = limited
    (editable.snapshots / "postgresql" / f"{HEAD}.json").unlink()
    for done in (looker.alembic("check"), looker.revision()[0]):
        expected = line.replace(f"exactly with the snapshot of {HEAD}, and ", "")
        assert (done.returncode, done.stderr.splitlines()) == (0, [expected])


def test_the_second_best_guesses_no_difference(servers: Servers, tmp_path: Path) -> None:
    names = ("boolean_checked", "index_pg_collation", "computed_text", "identity_key", "sequence", "enum")
    parts = [(name, AS_IT_IS) for name in names]
    with database("postgresql", servers, tmp_path) as url:
        project = ModelProject(tmp_path / "models", url, lambda: database("postgresql", servers, tmp_path))
        project.use(parts)
        for args in (("revision", "--autogenerate", "-m", "make them"), ("upgrade", "head")):
            done = project.alembic(*args)
            assert done.returncode == 0, done.stderr
        project.url = sa.make_url(url).update_query_dict({"options": READ_ONLY}).render_as_string()
        done = project.alembic("check")
        assert (done.returncode, "read-only" in done.stderr) == (0, True), done.stderr
        done = project.alembic("revision", "--autogenerate", "-m", "nothing")
        assert "Nothing has changed" in done.stdout, done.stdout + done.stderr


def test_another_tools_table_that_cannot_be_read_is_said(
    temporary: Looker, live: str, editable: EditableProject
) -> None:
    execute(live, "CREATE TABLE theirs (id integer PRIMARY KEY)")
    editable.configure(unmanaged="theirs")
    editable.edit_models(
        'sa.Table("theirs", metadata, sa.Column("id", sa.Integer, primary_key=True))\n'
        'tables["users"].append_column(sa.Column("their_id", sa.Integer, sa.ForeignKey("theirs.id")))'
    )
    done = temporary.alembic("check")
    assert done.returncode == 8
    assert "can't be built in this database: permission denied for table theirs." in done.stderr
    assert "add column users.their_id" in done.stderr
