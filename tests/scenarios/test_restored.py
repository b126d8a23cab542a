"""A database that pg_dump wrote and psql read again has no drift, on the same server and on a newer one."""

import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from alembic import command

from app.migrations import commands
from app.migrations.errors import DriftDetected
from app.project import PROJECT
from tests.postgres import WHEELS
from tests.support.alembic_in_process import config, upgrade
from tests.support.database_access import engine, execute
from tests.support.databases import Servers, database
from tests.support.editable_project import EditableProject

pytestmark = pytest.mark.exhaustive

# The server spells each of these in another way once it has read its own text.
TABLE = """\
sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("open", sa.Boolean, sa.Computed("state IN ('new', 'seen')", persisted=True)),
    sa.CheckConstraint("state IN ('new', 'seen', 'done')", name=sa.schema.conv("ck_orders_state")),
    sa.CheckConstraint("state NOT IN ('', 'none')", name=sa.schema.conv("ck_orders_state_told")),"""
MODELS = f"""
sa.Table(
    "orders", metadata,
    {TABLE}
    sa.Index("ix_orders_open", "id", postgresql_where=sa.text("state IN ('new', 'seen')")),
    sa.Index("ix_orders_is_new", sa.text("(state IN ('new', 'seen'))")),
)
"""
UPGRADE = f"""\
op.create_table(
    "orders",
    {TABLE}
)
op.create_index("ix_orders_open", "orders", ["id"], postgresql_where=sa.text("state IN ('new', 'seen')"))
op.create_index("ix_orders_is_new", "orders", [sa.text("(state IN ('new', 'seen'))")])"""

CHANGES = {
    "orders_state_check": ["ALTER TABLE orders ADD CHECK (state IN ('new', 'seen'))"],
    "ck_orders_state": [
        "ALTER TABLE orders DROP CONSTRAINT ck_orders_state",
        "ALTER TABLE orders ADD CONSTRAINT ck_orders_state CHECK (state IN ('new', 'seen'))",
    ],
    "ix_orders_open": [
        "DROP INDEX ix_orders_open",
        "CREATE INDEX ix_orders_open ON orders (id) WHERE state IN ('new')",
    ],
}


@pytest.fixture(params=["17 to 17", "17 to 18", "18 to 18"])
def restored(
    request: pytest.FixtureRequest, servers: Servers, editable: EditableProject, tmp_path: Path
) -> Iterator[str]:
    """A database at head that was dumped and restored."""
    before, after = (int(major) for major in request.param.split(" to "))
    kinds = {17: "postgresql17", 18: "postgresql"}
    with database(kinds[before], servers, tmp_path) as old, database(kinds[after], servers, tmp_path) as new:
        editable.edit_models(MODELS)
        revision = editable.add(UPGRADE, 'op.drop_table("orders")')
        upgrade(old, ini=editable.ini)
        editable.snap(old, revision)
        restore(old, new, after)
        yield new


def restore(old: str, new: str, major: int) -> None:
    dump = program(major, "pg_dump", "--no-owner", old)
    program(major, "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", new, text=dump)


def program(major: int, name: str, *args: str, text: str | None = None) -> str:
    """Runs one of PostgreSQL's programs; `+psycopg` of the URL is SQLAlchemy's."""
    spec = find_spec(WHEELS[major])
    assert spec is not None
    assert spec.submodule_search_locations is not None
    file = Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name
    plain = [argument.replace("+psycopg", "") for argument in args]
    return subprocess.run([file, *plain], input=text, capture_output=True, text=True, check=True).stdout


def test_a_restored_database_is_equal(restored: str, editable: EditableProject) -> None:
    command.check(config(restored, editable.ini))
    assert commands.check(PROJECT, engine(restored)).code == "ok"


@pytest.mark.parametrize("named", CHANGES)
def test_what_is_changed_afterwards_is_drift(restored: str, editable: EditableProject, named: str) -> None:
    execute(restored, *CHANGES[named])
    found = commands.check(PROJECT, engine(restored))
    assert found.code == "drift"
    assert named in str(found.drift.open)
    with pytest.raises(DriftDetected):
        command.check(config(restored, editable.ini))
