"""Every command in surroundings that are broken: no traceback, one line that says what is wrong, a documented code."""

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import database_url
from tests.support.alembic_in_process import HEAD, command_line
from tests.support.command_processes import Done
from tests.support.database_access import execute
from tests.support.databases import Servers, database
from tests.support.environment import ROOT, variables
from tests.support.known_keys import KEY, PASSPHRASE
from tests.support.schema_in_process import schema

pytestmark = pytest.mark.exhaustive

CODES = {0, 1, 2, 3, 4, 5, 6, 7, 8}
SECRET = "not-for-anybody"
COMMANDS = [
    "alembic upgrade head",
    "alembic downgrade -1",
    "alembic current",
    "alembic check",
    f"alembic stamp {HEAD}",
    "alembic upgrade head --sql",
    "schema status",
    "schema status --json --exit-code",
    "schema deploy --dry-run",
    "schema deploy",
    "schema check",
    "schema check --revert",
    f"schema resolve {HEAD} --applied",
    "schema secrets status",
    "schema secrets verify",
    "schema secrets check-keys",
    "schema secrets encrypt",
    "schema secrets rotate --dry-run",
]


class Surroundings:
    """The variables of a command, and a database at head on which it would work."""

    def __init__(self, folder: Path, sqlite: str, postgresql: str) -> None:
        self.folder, self.sqlite, self.postgresql = folder, sqlite, postgresql
        self.file = database_url.sqlite_file(database_url.parse(sqlite)) or Path()
        keys = {"ENCRYPTION_KEY": KEY, "GITHUB_TOKEN_ENCRYPTION_KEY": PASSPHRASE}
        self.env = variables(sqlite) | keys | {"SCHEMA_LOCK_TIMEOUT": "0", "SCHEMA_RETRY_TIMEOUT": "0"}
        self.held: list[sqlite3.Connection] = []

    def set(self, **env: str) -> None:
        self.env |= env

    def use(self, url: str) -> None:
        self.set(DATABASE_URL=url)

    def write(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)

    def run(self, command: str) -> Done:
        program, *args = command.split()
        if program == "alembic":
            return command_line(*args, env=self.env, folder=ROOT)
        return schema(*args, **self.env)

    def forbid_writing(self) -> None:
        self.use(self.postgresql)
        name = self.postgresql.rpartition("/")[2]
        execute(self.postgresql, f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    def lock(self) -> None:
        connection = sqlite3.connect(self.file, timeout=0, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        self.held.append(connection)
        self.use(f"{self.sqlite}?timeout=0")


BREAK: dict[str, Callable[[Surroundings], object]] = {
    "no folder": lambda s: s.use(f"sqlite:///{s.folder}/nowhere/gateway.db"),
    "a folder in place of the file": lambda s: s.use(f"sqlite:///{s.folder}"),
    "no database": lambda s: s.file.write_bytes(b"This is a letter to the operator, and no database at all." * 99),
    "a database cut short": lambda s: os.truncate(s.file, s.file.stat().st_size // 3),
    "a page of noise": lambda s: s.file.write_bytes(s.file.read_bytes()[:4096] + b"\xfe" * 9000),
    "an empty file": lambda s: s.file.write_bytes(b""),
    "another writer": lambda s: s.lock(),
    "a lock file that is a folder": lambda s: _folder(s.file.with_name(f"{s.file.name}-migrating")),
    "no version table": lambda s: execute(s.sqlite, "DROP TABLE alembic_version"),
    "no ledger": lambda s: execute(s.sqlite, "DROP TABLE schema_ledger"),
    "another ledger": lambda s: execute(
        s.sqlite, "DROP TABLE schema_ledger", "CREATE TABLE schema_ledger (id INTEGER PRIMARY KEY, note TEXT)"
    ),
    "a ledger of nonsense": lambda s: execute(s.sqlite, "UPDATE schema_ledger SET outcome = 'odd', started_at = 'x'"),
    "two versions": lambda s: execute(s.sqlite, "INSERT INTO alembic_version VALUES ('20260131000000')"),
    "an unknown version": lambda s: execute(s.sqlite, "UPDATE alembic_version SET version_num = 'abc'"),
    "a table is gone": lambda s: execute(s.sqlite, "DROP TABLE service_providers"),
    "a column is gone": lambda s: execute(s.sqlite, "ALTER TABLE users DROP COLUMN github_refresh_token"),
    "bytes for a secret": lambda s: execute(
        s.sqlite,
        "INSERT INTO service_providers (id, name, base_url, protocol, api_key) VALUES (1, 'n', 'u', 'openai', x'ff00')",
    ),
    "text that is not UTF-8": lambda s: execute(
        s.sqlite,
        "INSERT INTO service_providers (id, name, base_url, protocol, api_key) "
        f"VALUES (1, 'n', 'u', 'openai', CAST(x'{SECRET.encode().hex()}ff' AS TEXT))",
    ),
    "a server that is not there": lambda s: s.use(f"postgresql://me:{SECRET}@127.0.0.1:1/x"),
    "a host that is not there": lambda s: s.use(f"postgresql://me:{SECRET}@nowhere.invalid/x"),
    "no such database": lambda s: s.use(s.postgresql.rpartition("/")[0] + "/nowhere"),
    "no such role": lambda s: s.use(s.postgresql.replace("//postgres@", f"//nobody_{SECRET[:3]}:{SECRET}@")),
    "an odd option": lambda s: s.use(f"{s.postgresql}?sslmode=odd&password={SECRET}"),
    "a port out of range": lambda s: s.use(f"postgresql://me:{SECRET}@127.0.0.1:99999/x"),
    "read only": lambda s: s.forbid_writing(),
    "no URL": lambda s: s.use(f"me:{SECRET}@host/x"),
    "an @ in the password": lambda s: s.use(f"postgresql://me:{SECRET}@{SECRET}@host/x"),
    "another kind of database": lambda s: s.use(f"mysql://me:{SECRET}@host/x"),
    "a line that cannot be read": lambda s: s.set(
        GATEWAY_SCHEMA_ENV_FILE=s.write("broken.env", f'ENCRYPTION_KEY="{SECRET}\n'.encode())
    ),
    "a missing environment file": lambda s: s.set(GATEWAY_SCHEMA_ENV_FILE=f"{s.folder}/nowhere.env"),
    "an environment file of noise": lambda s: s.set(
        GATEWAY_SCHEMA_ENV_FILE=s.write("noise.env", b"ENCRYPTION_KEY=\xff\xfe" + SECRET.encode())
    ),
    "a key that is none": lambda s: s.set(ENCRYPTION_KEY=SECRET, GITHUB_TOKEN_ENCRYPTION_KEY="short"),
    "a key twice": lambda s: s.set(ENCRYPTION_KEY_FILE=s.write("key", KEY.encode())),
    "a key file that is missing": lambda s: s.set(ENCRYPTION_KEY="", ENCRYPTION_KEY_FILE=f"{s.folder}/nowhere"),
    "a wait that is none": lambda s: s.set(SCHEMA_LOCK_TIMEOUT="soon"),
    "an odd policy": lambda s: s.set(ENCRYPTION_PLAINTEXT="perhaps"),
    "no such configuration": lambda s: s.set(ALEMBIC_CONFIG=f"{s.folder}/nowhere.ini"),
    "a configuration of noise": lambda s: s.set(ALEMBIC_CONFIG=s.write("noise.ini", b"\xff[alembic\n")),
    "a long version of the code": lambda s: s.set(SCHEMA_CODE_VERSION="v" * 300),
    "nothing": lambda _: None,
}


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


@pytest.fixture(scope="module")
def at_head(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A SQLite file and the URL of a PostgreSQL database, both at head."""
    folder = tmp_path_factory.mktemp("head")
    with database("postgresql", servers, folder) as url:
        for each in (f"sqlite:///{folder}/gateway.db", url):
            done = command_line("upgrade", "head", env=variables(each), folder=ROOT)
            assert done.returncode == 0, done.stderr
        yield folder / "gateway.db", url


@pytest.fixture
def surroundings(at_head: tuple[Path, str], servers: Servers, tmp_path: Path) -> Iterator[Surroundings]:
    """Surroundings that are in order."""
    file, template = at_head
    shutil.copy(file, tmp_path / "gateway.db")
    url = servers[18].create_database(template)
    made = Surroundings(tmp_path, f"sqlite:///{tmp_path}/gateway.db", url)
    yield made
    for connection in made.held:
        connection.close()
    servers[18].drop_database(url)


CASES = [
    pytest.param(name, command, marks=() if command == COMMANDS[0] else pytest.mark.exhaustive, id=f"{name}: {command}")
    for name in BREAK
    for command in COMMANDS
]


@pytest.mark.parametrize(("name", "command"), CASES)
def test_no_traceback_reaches_an_operator(surroundings: Surroundings, name: str, command: str) -> None:
    BREAK[name](surroundings)
    done = surroundings.run(command)
    said = done.stdout + done.stderr
    assert done.returncode in CODES, said
    assert "Traceback" not in said
    assert not re.search(r"^\w+(\.\w+)*(Error|Exception|Warning): ", said, re.MULTILINE)
    assert SECRET not in said
    if done.returncode not in (0, 3, 5, 8):
        assert re.search(r"^(FAILED: .+|.*failed|.*malformed: )", said, re.MULTILINE) or '"code"' in said, said
