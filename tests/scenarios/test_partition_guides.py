"""The guides of docs/partitions.md, run step by step as the owner; `--approve` rewrites the page."""

import datetime as dt
import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from tests.support.alembic_in_process import upgrade
from tests.support.database_access import execute
from tests.support.databases import Servers
from tests.support.environment import ROOT
from tests.support.guides import answered
from tests.support.known_keys import ENVIRONMENT
from tests.support.partitioned_database import partition
from tests.support.schema_in_process import schema
from tests.support.set_clock import ASKED, clock_at

pytestmark = pytest.mark.exhaustive

PAGE = ROOT / "docs" / "partitions.md"
GUIDE = re.compile(r"<!-- guide: (\w+) -->(.*?)(?=<!-- guide: |\Z)", re.DOTALL)
CLOCK = re.compile(r"(<!-- clock: (.+?) -->)")
FOLDER = "/var/archive"
WIDTH = 150
TABLE = "request_logs"


at = dt.datetime.fromisoformat


def guides() -> list[str]:
    return [match[1] for match in GUIDE.finditer(PAGE.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", guides())
def test_a_guide_says_what_happens(name: str, servers: Servers, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    page = PAGE.read_text(encoding="utf-8")
    guide = next(match for match in GUIDE.finditer(page) if match[1] == name)
    with owned(servers) as url:
        BEFORE[name](url)
        told = ""
        # At the moment that stands above it.
        shell = Shell(url, tmp_path)
        for number, part in enumerate(CLOCK.split(guide[2])):
            if number % 3 == 2:
                shell.now = at(part)
            else:
                told += answered(part, shell.run, WIDTH)
    if request.config.getoption("--approve"):
        PAGE.write_text(page[: guide.start(2)] + told + page[guide.end(2) :], encoding="utf-8")
        return
    assert told == guide[2]


class Shell:
    """Runs the commands of a guide at a moment.

    Attributes:
        now: the moment, by the clocks of the server and of this machine.
        code: that the last command has ended with.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.now, self.code = at("2026-12-02 10:00"), 0

    def run(self, words: list[str]) -> str:
        match words[0]:
            case "psql":
                return self._psql(words[2])
            case "echo":
                return str(self.code)
            case "gunzip":
                return self._load(self.folder / Path(words[2]).name, words[-1])
            case "ls":
                return "\n".join(sorted(path.name for path in self.folder.iterdir()))
            case "schema":
                told = [str(self.folder) if word == FOLDER else word for word in words[1:]]
                with clock_at(self.now):
                    done = schema(*told, DATABASE_URL=self.url, **ENVIRONMENT)
                self.code = done.returncode
                return self._plain(done.stderr + done.stdout)
        raise AssertionError(words)

    def _psql(self, statement: str) -> str:
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            try:
                cursor = connection.execute(ASKED.sub(f"timestamp '{self.now}'", statement).encode())
            except psycopg.Error as error:
                return f"ERROR:  {error}"
            told = [cursor.statusmessage or ""]
            while cursor.nextset():
                told.append(cursor.statusmessage or "")
        return "\n".join(told)

    def _load(self, file: Path, statement: str) -> str:
        url = self.url.replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            with cursor.copy(statement.encode()) as copy:
                copy.write(gzip.decompress(file.read_bytes()))
            return cursor.statusmessage or ""

    def _plain(self, text: str) -> str:
        text = text.replace(str(self.folder), FOLDER)
        text = re.sub(r"\S+://\S+/\w+", "postgresql+psycopg://gateway_owner@db/gateway", text)
        text = re.sub(r"\b[0-9a-f]{64}\b", "c0ffee…", text)
        # Revisions are applied now, whatever the clock says.
        text = re.sub(r"(applied  .*  )[\d-]+ [\d:]+ UTC", r"\g<1>2026-10-01 09:00:00 UTC", text)
        text = re.sub(r"locked for \d+ ms", "locked for 12 ms", re.sub(r"\bpid \d+", "pid 4711", text))
        text = re.sub(r"\S+ on \S+ pid 4711", "gateway_owner on deploy pid 4711", text)
        return re.sub(r"\d+\.\d+ s\b", "0.1 s", text)


@contextmanager
def owned(servers: Servers) -> Iterator[str]:
    """Gives a database at head, as the owner that docs/operations.md describes."""
    server = servers[18]
    url = server.create_database()
    role = f"{url.rpartition('/')[2]}_owner"
    execute(url, f"CREATE ROLE {role} LOGIN", f"GRANT USAGE, CREATE ON SCHEMA public TO {role}")
    owner = url.replace("postgres@", f"{role}@")
    try:
        upgrade(owner)
        execute(owner, "INSERT INTO api_keys (key_name, key_value) VALUES ('client', 'k')")
        yield owner
    finally:
        server.drop_database(url)
        execute(server.url, f"DROP ROLE {role}")


def fill(url: str, first: dt.datetime, last: dt.datetime) -> None:
    """Adds 20 logs a day."""
    execute(
        url,
        f"INSERT INTO {TABLE} (request_time, api_key_id, requested_model, trace_id) "
        "SELECT at, 1, 'model', md5(at::text) "
        f"FROM generate_series(timestamp '{first}', timestamp '{last}', interval '72 minutes') AS at",
        f"ANALYZE {TABLE}",
    )


def command(url: str, now: dt.datetime, *words: str) -> None:
    with clock_at(now):
        done = schema(*words, DATABASE_URL=url, **ENVIRONMENT)
    assert done.returncode == 0, done.stderr + done.stdout


def plain_table(url: str) -> None:
    fill(url, at("2026-10-03 00:00"), at("2026-12-02 09:00"))


def plain_for_long(url: str) -> None:
    fill(url, at("2026-08-01"), at("2026-12-02 09:00"))
    execute(url, "INSERT INTO request_log_details (log_id, request_time) SELECT id, request_time FROM request_logs")


def kept(url: str, last: dt.datetime) -> None:
    """Partitions the table in summer, and keeps it until a moment."""
    now = at("2026-08-12 10:00")
    fill(url, now - dt.timedelta(days=30), now)
    command(url, now, "partitions", "enable", TABLE, "--apply")
    while now < last:
        later = min(now + dt.timedelta(weeks=3), last)
        fill(url, now, later)
        now = later
        command(url, now, "partitions", "maintain", TABLE)


def kept_until_november(url: str) -> None:
    kept(url, at("2026-11-17 10:00"))


def forgotten_since_october(url: str) -> None:
    kept(url, at("2026-10-14 10:00"))


def made_by_hand(url: str) -> None:
    """Partitions the table by months, with a default partition, as a person would."""
    partition(url)
    months = [f"2026-{month:02}-01" for month in range(9, 13)] + ["2027-01-01"]
    execute(
        url,
        f"ALTER SEQUENCE {TABLE}_id_seq OWNED BY {TABLE}.id",
        *(f"DROP TABLE {TABLE}_{name}" for name in ("until_2026", "2026_01", "later")),
        *(
            f"CREATE TABLE {TABLE}_{low[:4]}_{low[5:7]} PARTITION OF {TABLE} FOR VALUES FROM ('{low}') TO ('{high}')"
            for low, high in pairwise(months)
        ),
    )
    fill(url, at("2026-09-10 00:00"), at("2026-12-02 09:00"))


BEFORE: dict[str, Callable[[str], None]] = {
    "enable": plain_table,
    "maintain": kept_until_november,
    "plain": plain_for_long,
    "alarms": forgotten_since_october,
    "adopt": made_by_hand,
}
