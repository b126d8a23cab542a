"""Commands through PgBouncer in transaction mode: they work or refuse, and leave nothing on shared sessions."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from tests.support.command_processes import Done, Running, failed
from tests.support.database_access import execute, insert, rows
from tests.support.databases import Servers
from tests.support.environment import ROOT
from tests.support.gateway_database import NEW
from tests.support.known_keys import KEY, PASSPHRASE
from tests.support.ledger_rows import applied
from tests.support.pgbouncer import Pooler
from tests.support.project_copy import ProjectCopy

pytestmark = pytest.mark.exhaustive

POOL = 4
BEFORE_ENCRYPTION = "20260131000000"
PROVIDERS = 2_000


class Gateway:
    """A database behind a pooler whose sessions are shared."""

    def __init__(self, direct: str, pooled: str) -> None:
        self.direct, self.pooled = direct, pooled
        self.keys = {"ENCRYPTION_KEY": KEY, "GITHUB_TOKEN_ENCRYPTION_KEY": PASSPHRASE}
        self.as_it_was = self.sessions()

    def run(self, module: Literal["alembic", "schema"], *args: str, **env: str) -> Done:
        """Runs a command through the pooler; sessions must be as they were."""
        variables = os.environ | self.keys | {"DATABASE_URL": self.pooled, "GATEWAY_SCHEMA_ENV_FILE": ""} | env
        done = Running(module, args, variables, ROOT).wait()
        assert self.sessions() == self.as_it_was, args
        return done

    def succeeds(self, module: Literal["alembic", "schema"], *args: str, **env: str) -> str:
        done = self.run(module, *args, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sessions(self) -> set[tuple[str, str]]:
        """Returns what is set on any of the server's sessions, each visited by a transaction at the same time."""
        where = self.pooled.replace("+psycopg", "")
        with ExitStack() as stack:
            found: set[tuple[str, str]] = set()
            for _ in range(POOL):
                connection = stack.enter_context(psycopg.connect(where, prepare_threshold=None))
                found |= {*connection.execute("SELECT name, setting FROM pg_settings WHERE source = 'session'")}
                connection.execute("CREATE TEMPORARY TABLE writable (id int) ON COMMIT DROP")
            return found

    def fill(self) -> None:
        names = ({"id": n, "name": f"n{n}", "base_url": "https://x", "protocol": "openai"} for n in range(PROVIDERS))
        insert(self.direct, "service_providers", *({**row, "api_key": f"secret {row['id']}"} for row in names))


@pytest.fixture
def gateway(servers: Servers, postgres_url: str) -> Iterator[Gateway]:
    with Pooler(servers[18], default_pool_size=str(POOL)) as pooler:
        yield Gateway(postgres_url, pooler.url(postgres_url))


def test_every_command_works_and_leaves_nothing_behind(gateway: Gateway) -> None:
    gateway.succeeds("alembic", "upgrade", BEFORE_ENCRYPTION)
    gateway.fill()
    gateway.succeeds("schema", "deploy", "--dry-run")
    gateway.succeeds("alembic", "upgrade", "head")
    stored = rows(gateway.direct, "SELECT api_key FROM service_providers")
    assert len(stored) == PROVIDERS
    assert all(value.startswith("enc:") for (value,) in stored)
    # A column that every provider has a value for goes on the way.
    gateway.succeeds("alembic", "-x", "accept-data-loss=20260625090000", "downgrade", BEFORE_ENCRYPTION)
    gateway.succeeds("schema", "deploy")
    for command in (["status", "--exit-code"], ["check"], ["secrets", "status"], ["secrets", "check-keys"]):
        gateway.succeeds("schema", *command)
    gateway.succeeds("alembic", "check")
    gateway.succeeds("alembic", "current")
    gateway.succeeds("schema", "secrets", "rotate", "--workers", "2", **NEW)
    gateway.succeeds("schema", "secrets", "hash", API_KEY_HASH_KEY=KEY)
    gateway.succeeds("schema", "secrets", "verify", "--workers", "2", **NEW)
    for value in (BEFORE_ENCRYPTION, "head"):
        gateway.succeeds("alembic", "stamp", value)
    refused = gateway.run("schema", "resolve", BEFORE_ENCRYPTION, "--rolled-back")
    assert "isn't rolled back" in failed(refused, 4)


def test_time_outs_of_a_revision_are_its_own(gateway: Gateway, tmp_path: Path) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    project.add("op.create_table('stars', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.Integer))")
    project.add(
        "with op.get_context().autocommit_block():\n"
        "    op.create_index('stars_n', 'stars', ['n'], postgresql_concurrently=True)\n"
        "    op.execute('ALTER TABLE stars ADD COLUMN m int')\n"
        "    op.execute('ANALYZE stars')"
    )
    done = project.alembic("upgrade", "head", url=gateway.pooled)
    assert done.returncode == 0, done.stderr
    assert gateway.sessions() == gateway.as_it_was
    assert len(applied(gateway.direct)) == 2


@pytest.mark.parametrize("statement", ["VACUUM FULL stars", "REINDEX TABLE stars", "DO $$ BEGIN PERFORM 1; END $$"])
def test_what_needs_a_session_of_its_own_is_refused(gateway: Gateway, tmp_path: Path, statement: str) -> None:
    project = ProjectCopy(tmp_path, revisions=False)
    first = project.add("op.create_table('stars', sa.Column('id', sa.Integer, primary_key=True))")
    execute(gateway.direct, "CREATE TABLE IF NOT EXISTS other (id int)")
    second = project.add(f"with op.get_context().autocommit_block():\n    op.execute({statement!r})")
    line = failed(project.alembic("upgrade", "head", url=gateway.pooled), 2)
    assert "set DATABASE_URL to the URL of the server itself" in line
    assert applied(gateway.direct) == [first]
    assert gateway.sessions() == gateway.as_it_was
    done = project.alembic("upgrade", "head", url=gateway.direct)
    assert done.returncode == 0, done.stderr
    assert applied(gateway.direct) == [first, second]
