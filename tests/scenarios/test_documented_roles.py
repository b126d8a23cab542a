"""The roles of docs/operations.md on a server: its SQL as it stands, and each command that it names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app import db
from app.project import PROJECT
from tests.support.alembic_in_process import run_alembic
from tests.support.command_processes import Done, failed
from tests.support.database_access import rows, run, run_script
from tests.support.environment import ROOT
from tests.support.gateway_database import SECRET, Gateway
from tests.support.schema_in_process import schema

pytestmark = pytest.mark.exhaustive

ROLES = ("owner", "service", "reader")


@dataclass
class Roles:
    """A database at head whose roles are those of the page, with names of their own."""

    url: str

    def of(self, role: str) -> Gateway:
        return Gateway(self.url.replace("postgres@", f"{self.name}_{role}@"))

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def alembic(self, role: str, *args: str) -> Done:
        return run_alembic(*args, url=self.of(role).url)

    def schema(self, role: str, *args: str) -> Done:
        return schema(*args, **self.of(role).env)

    def blocks(self) -> list[str]:
        """The page's blocks of SQL."""
        page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        section = page.partition("\n## Database roles\n")[2].partition("\n## ")[0]
        blocks = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
        return [re.sub(r"\bgateway\b", self.name, block.replace("gateway_", f"{self.name}_")) for block in blocks]


@pytest.fixture
def roles(postgres_url: str) -> Iterator[Roles]:
    roles = Roles(postgres_url)
    run(postgres_url, f"REVOKE ALL ON DATABASE {roles.name} FROM PUBLIC")
    before, after, _counts = roles.blocks()
    run_script(postgres_url, before)
    assert roles.alembic("owner", "upgrade", "head").returncode == 0
    run_script(roles.of("owner").url, after)
    yield roles
    for role in ROLES:
        run(postgres_url, f"DROP OWNED BY {roles.name}_{role} CASCADE")
        run(postgres_url, f"DROP ROLE {roles.name}_{role}")


def test_the_reader_may_run_what_the_page_names(roles: Roles) -> None:
    for command in (["status", "--exit-code"], ["status", "--history"], ["check"]):
        done = roles.schema("reader", *command)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert "verify() can't look: permission denied for table users" in roles.schema("reader", "check").stdout
    for command in (["current"], ["check"]):
        assert roles.alembic("reader", *command).returncode == 0, command
    assert PROJECT.is_current(db.migration_engine(roles.of("reader").url))
    with pytest.raises(Exception, match="permission denied"):
        rows(roles.of("reader").url, "SELECT * FROM users")


def test_the_reader_counts_rows_to_do_with_the_grant_for_it(roles: Roles) -> None:
    run_script(roles.of("owner").url, roles.blocks()[-1])
    assert "can't look" not in roles.schema("reader", "check").stdout
    roles.of("service").fill(2)
    done = roles.schema("reader", "check")
    assert done.returncode == 8
    assert "rows still to do is 2, should be 0" in done.stdout
    with pytest.raises(Exception, match="permission denied"):
        rows(roles.of("reader").url, "SELECT * FROM users")


def test_the_reader_without_the_ledger_still_sees_what_is_pending(roles: Roles) -> None:
    run(roles.of("owner").url, f"REVOKE ALL ON schema_ledger FROM {roles.name}_reader")
    done = roles.schema("reader", "status")
    assert done.returncode == 0
    assert "The ledger can't be read" in done.stdout


def test_the_service_reads_and_writes_secrets_and_moves_nothing(roles: Roles) -> None:
    service = roles.of("service")
    service.fill(3)
    assert service.schema("encrypt").returncode == 0
    for command in ("status", "verify", "check-keys", "rotate"):
        assert service.schema(command).returncode == 0, command
    assert roles.alembic("service", "upgrade", "head").returncode == 0
    assert "permission denied" in failed(roles.alembic("service", "stamp", "base"), 1)


def test_the_service_shares_secrets_among_workers_once_the_owner_has_made_the_table(roles: Roles) -> None:
    service = roles.of("service")
    service.fill(30)
    line = failed(service.schema("encrypt", "--workers", "2"), 1, SECRET.format(1))
    assert line.endswith("permission denied for schema public. Nothing was written to service_providers.")
    assert roles.of("owner").schema("encrypt", "--table", "users", "--workers", "1").returncode == 0
    assert service.schema("encrypt", "--workers", "2").returncode == 0
    assert service.json("status")["columns"][0]["plaintext"] == 0
