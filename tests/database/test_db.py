"""Engines: the URLs they take, what they set on their connections, and transactions for revisions."""

import asyncio
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app import database_url, db, settings
from app.errors import DatabaseUnreachable, SettingsError
from app.project import PROJECT
from tests.support.database_access import rows, run

pytestmark = pytest.mark.in_turn

PASSWORD = "not-for-the-log"
FILE_NAMES = ["plain.db", "two words.db", "100%.db", "per%20cent.db", "what?.db", "a#b.db", "x=y&z+.db", "naïve.db"]
CHILD = "CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES parent (id))"


def through_engine(url: str | URL, *statements: str) -> Any:
    """Executes statements in one transaction of an application's engine; gives what the last one found."""
    engine = db.engine(url)
    try:
        with engine.begin() as connection:
            found = [connection.execute(sa.text(statement)) for statement in statements]
            return found[-1].scalar() if found[-1].returns_rows else None
    finally:
        engine.dispose()


def through_async_engine(url: str | URL, *statements: str) -> Any:
    """The same through an asynchronous engine."""

    async def execute() -> Any:
        engine = db.async_engine(url)
        try:
            async with engine.begin() as connection:
                found = [await connection.execute(sa.text(statement)) for statement in statements]
                return found[-1].scalar() if found[-1].returns_rows else None
        finally:
            await engine.dispose()

    return asyncio.run(execute())


both_ways = pytest.mark.parametrize("execute", [through_engine, through_async_engine], ids=["sync", "async"])


@pytest.fixture
def connection(url: str) -> Iterator[sa.Connection]:
    """A connection of the kind that revisions run on."""
    with db.migration_engine(url).connect() as connection:
        yield connection


@pytest.fixture
def sqlite_connection(sqlite_url: str) -> Iterator[sa.Connection]:
    """The same, to SQLite."""
    with db.migration_engine(sqlite_url).connect() as connection:
        yield connection


def tables(url: str) -> list[str]:
    return sorted(sa.inspect(db.migration_engine(url)).get_table_names())


@pytest.mark.parametrize(
    "spelling", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg_async", "postgresql+asyncpg"]
)
def test_postgresql_is_reached_through_psycopg(postgres_url: str, spelling: str) -> None:
    url = database_url.parse(make_url(postgres_url).set(drivername=spelling).render_as_string(hide_password=False))
    engine = db.migration_engine(url)
    assert engine.dialect.driver == "psycopg"
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT current_database()")) == url.database


@pytest.mark.parametrize("spelling", ["sqlite", "sqlite+pysqlite", "sqlite+aiosqlite"])
def test_sqlite_is_reached_through_pythons_own_module(spelling: str) -> None:
    assert db.migration_engine(f"{spelling}://").dialect.driver == "pysqlite"


def test_the_rest_of_a_url_is_kept() -> None:
    url = database_url.parse("postgres://us%40er:pass%2Fword@host:6543/name?sslmode=require")
    assert (url.username, url.password, url.host, url.port) == ("us@er", "pass/word", "host", 6543)
    assert (url.database, dict(url.query)) == ("name", {"sslmode": "require"})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://user:{PASSWORD}@host:6543/name", "postgresql+psycopg://user:***@host:6543/name"),
        (f"postgresql://host/name?user=u&password={PASSWORD}&sslmode=require", "postgresql+psycopg://host/name"),
        (f"postgresql:///name?host=/run/pg&sslpassword={PASSWORD}", "postgresql+psycopg:///name?host=%2Frun%2Fpg"),
        ("sqlite:///file:some.db?mode=ro&uri=true", "sqlite:///some.db"),
        ("sqlite://", "sqlite://"),
    ],
)
def test_a_url_is_shown_without_its_password_wherever_that_stands(url: str, shown: str) -> None:
    assert database_url.shown(database_url.parse(url)) == shown


def test_a_connection_that_fails_shows_no_password() -> None:
    engine = db.migration_engine(f"postgresql://localhost:1/name?user=u&password={PASSWORD}")
    with pytest.raises(DatabaseUnreachable, match=r"^Can't connect to postgresql\+psycopg://localhost") as error:
        db.connect(engine)
    assert PASSWORD not in str(error.value)


def test_the_setting_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/set.db")
    settings.load.cache_clear()
    assert PROJECT.engine().url.database == f"{tmp_path}/set.db"
    monkeypatch.delenv("DATABASE_URL")
    settings.load.cache_clear()
    assert PROJECT.engine().url == make_url("sqlite:///gateway.db")


@pytest.mark.parametrize("make", [db.engine, db.async_engine, db.migration_engine])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"user:{PASSWORD}@host", "DATABASE_URL isn't a database URL: write postgresql://"),
        (f"//user:{PASSWORD}@host/name", "DATABASE_URL isn't a database URL: write postgresql://"),
        (f"postgresql://user:{PASSWORD}@host:port/name", "DATABASE_URL isn't a database URL: write postgresql://"),
        (f"mysql://user:{PASSWORD}@host/name", "DATABASE_URL names mysql: only postgresql and sqlite are known here."),
        (f"postgresql+psycopg2://user:{PASSWORD}@host/name", "DATABASE_URL asks for postgresql+psycopg2, but "),
        (f"postgresql+no://user:{PASSWORD}@host/name", "DATABASE_URL asks for postgresql+no, which SQLAlchemy doesn't"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_clear_line(make: Callable[[str], Any], url: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        make(url)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert PASSWORD not in str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_asyncio_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiosqlite", None)
    with pytest.raises(SettingsError, match=r"^asyncio needs aiosqlite: .* gateway-schema\[async\]$"):
        db.async_engine("sqlite://")


@both_ways
def test_foreign_keys_hold_for_applications(url: str, execute: Callable[..., Any]) -> None:
    execute(url, "CREATE TABLE parent (id integer PRIMARY KEY)", CHILD)
    with pytest.raises(sa.exc.IntegrityError):
        execute(url, "INSERT INTO child VALUES (1, 7)")


@both_ways
def test_applications_wait_for_another_writer(sqlite_url: str, execute: Callable[..., Any]) -> None:
    assert execute(sqlite_url, "PRAGMA busy_timeout") == 5000
    assert execute(f"{sqlite_url}?timeout=30", "PRAGMA busy_timeout") == 30_000


@both_ways
def test_a_wait_that_is_over_is_an_error(sqlite_url: str, execute: Callable[..., Any]) -> None:
    run(sqlite_url, "CREATE TABLE parent (id integer PRIMARY KEY)")
    with closing(sqlite3.connect(make_url(sqlite_url).database or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sa.exc.OperationalError, match="database is locked"):
            execute(f"{sqlite_url}?timeout=0", "INSERT INTO parent VALUES (1)")


@pytest.mark.parametrize(("query", "seconds"), [("", "10"), ("?connect_timeout=3", "3")])
def test_a_connection_attempt_to_postgresql_gives_up(postgres_url: str, query: str, seconds: str) -> None:
    with db.migration_engine(postgres_url + query).connect() as connection:
        driver: Any = connection.connection.driver_connection
        used = driver.info.get_parameters()
    assert used["connect_timeout"] == seconds
    assert (used["keepalives_idle"], used["keepalives_interval"], used["keepalives_count"]) == ("15", "15", "3")


def test_sessions_are_those_of_an_applications_engine(url: str) -> None:
    through_engine(url, "CREATE TABLE parent (id integer PRIMARY KEY)", CHILD)
    sessions = db.sessions(url)
    with pytest.raises(sa.exc.IntegrityError), sessions.begin() as session:
        session.execute(sa.text("INSERT INTO child VALUES (1, 7)"))
    sessions.kw["bind"].dispose()


def test_sessions_of_asyncio_keep_what_they_committed(url: str) -> None:
    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "notes"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(sa.Text)

    async def use() -> str:
        sessions = db.async_sessions(url)
        async with sessions() as session:
            note = Note(id=1, text="kept")
            session.add(note)
            await session.commit()
            found = note.text  # no await: nothing may be loaded here
        await sessions.kw["bind"].dispose()
        return found

    Base.metadata.create_all(db.migration_engine(url))
    assert asyncio.run(use()) == "kept"


def test_an_application_that_names_itself_keeps_the_time_outs(postgres_url: str) -> None:
    engine = db.engine(postgres_url, connect_args={"application_name": "mailer", "keepalives_count": 7})
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        used = driver.info.get_parameters()
    engine.dispose()
    assert (used["application_name"], used["connect_timeout"]) == ("mailer", "10")
    assert (used["keepalives_idle"], used["keepalives_count"]) == ("15", "7")


@pytest.mark.parametrize("make", [db.engine, db.async_engine])
def test_an_application_can_overrule_an_option(make: Callable[..., Any]) -> None:
    made = make("sqlite://", hide_parameters=False, connect_args={"timeout": 1}, logging_name="ours")
    engine = getattr(made, "sync_engine", made)
    assert (engine.logging_name, engine.hide_parameters) == ("ours", False)


@pytest.mark.parametrize("make", [db.engine, db.migration_engine])
def test_errors_show_no_parameters(url: str, make: Callable[..., sa.Engine]) -> None:
    run(url, "CREATE TABLE keys (id integer PRIMARY KEY, value text)")
    run(url, "INSERT INTO keys VALUES (1, NULL)")
    engine = make(url)
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError) as error:
        connection.execute(sa.text("INSERT INTO keys VALUES (1, :value)"), {"value": PASSWORD})
    engine.dispose()
    assert PASSWORD not in str(error.value)
    assert "SQL parameters hidden" in str(error.value)


def test_errors_of_asyncio_show_no_parameters(url: str) -> None:
    async def fail() -> str:
        engine = db.async_engine(url)
        async with engine.connect() as connection:
            with pytest.raises(sa.exc.IntegrityError) as error:
                await connection.execute(sa.text("INSERT INTO keys VALUES (1, :value)"), {"value": PASSWORD})
        await engine.dispose()
        return str(error.value)

    run(url, "CREATE TABLE keys (id integer PRIMARY KEY, value text)")
    run(url, "INSERT INTO keys VALUES (1, NULL)")
    text = asyncio.run(fail())
    assert PASSWORD not in text
    assert "SQL parameters hidden" in text


def test_schema_work_pools_nothing(url: str) -> None:
    assert isinstance(db.migration_engine(url).pool, sa.NullPool)
    assert isinstance(db.migration_engine(url, read_only=True).pool, sa.NullPool | sa.SingletonThreadPool)


def test_reading_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///gateway.db", f"sqlite:///{tmp_path}/gateway.db", f"sqlite:///{tmp_path}/no/such/folder.db"):
        engine = db.migration_engine(url, read_only=True)
        assert sa.inspect(engine).get_table_names() == []
        engine.dispose()
    assert list(tmp_path.iterdir()) == []


def test_a_reader_cannot_write(sqlite_url: str) -> None:
    run(sqlite_url, "CREATE TABLE parent (id integer PRIMARY KEY)")
    file = Path(make_url(sqlite_url).database or "")
    before = file.read_bytes()
    with db.migration_engine(sqlite_url, read_only=True).connect() as connection:
        assert connection.execute(sa.text("SELECT * FROM parent")).all() == []
        for statement in ("INSERT INTO parent VALUES (1)", "CREATE TABLE other (id integer)", "DROP TABLE parent"):
            with pytest.raises(sa.exc.OperationalError, match="readonly database"):
                connection.execute(sa.text(statement))
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:shared?mode=memory&uri=true"])
def test_a_database_in_memory_has_no_file(url: str) -> None:
    assert database_url.sqlite_file(make_url(url)) is None
    engine = db.migration_engine(url, read_only=True)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()


@pytest.mark.parametrize("name", FILE_NAMES)
def test_a_file_can_have_any_name(tmp_path: Path, name: str) -> None:
    url = URL.create("sqlite", database=str(tmp_path / name))
    text = url.render_as_string(hide_password=False)
    assert database_url.sqlite_file(database_url.parse(text)) == tmp_path / name
    run(text, "CREATE TABLE found (id integer PRIMARY KEY)")
    spellings: list[str | URL] = [url, text]
    for rounds, spelling in enumerate(spellings, 1):
        through_engine(spelling, "INSERT INTO found DEFAULT VALUES")
        through_async_engine(spelling, "INSERT INTO found DEFAULT VALUES")
        with db.migration_engine(spelling, read_only=True).connect() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM found")) == 2 * rounds
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_rollback_undoes_ddl(url: str, connection: sa.Connection) -> None:
    with db.revision_transactions(connection):
        with connection.begin():
            connection.execute(sa.text("CREATE TABLE parent (id integer PRIMARY KEY)"))
        transaction = connection.begin()
        connection.execute(sa.text("INSERT INTO parent VALUES (1)"))
        connection.execute(sa.text(CHILD))
        connection.execute(sa.text("ALTER TABLE parent ADD COLUMN name text"))
        transaction.rollback()
    assert tables(url) == ["parent"]
    assert rows(url, "SELECT * FROM parent") == []
    assert [column["name"] for column in sa.inspect(connection).get_columns("parent")] == ["id"]


def test_an_uncommitted_transaction_is_undone_at_the_end(sqlite_url: str, sqlite_connection: sa.Connection) -> None:
    with db.revision_transactions(sqlite_connection):
        sqlite_connection.execute(sa.text("CREATE TABLE parent (id integer PRIMARY KEY)"))
    assert tables(sqlite_url) == []


def test_a_transaction_has_the_write_lock_from_its_beginning(sqlite_url: str, sqlite_connection: sa.Connection) -> None:
    run(sqlite_url, "CREATE TABLE parent (id integer PRIMARY KEY)")
    impatient = f"{sqlite_url}?timeout=0"
    with db.revision_transactions(sqlite_connection):
        with sqlite_connection.begin(), pytest.raises(sa.exc.OperationalError, match="database is locked"):
            run(impatient, "INSERT INTO parent VALUES (1)")
        run(impatient, "INSERT INTO parent VALUES (1)")


@pytest.mark.parametrize("enforced", [0, 1])
@pytest.mark.parametrize("ending", ["ends", "fails", "fails in a transaction"])
def test_foreign_keys_are_off_meanwhile_and_then_as_they_were(
    sqlite_connection: sa.Connection, enforced: int, ending: str
) -> None:
    def foreign_keys() -> int:
        return int(driver.execute("PRAGMA foreign_keys").fetchone()[0])

    def work() -> None:
        with db.revision_transactions(sqlite_connection):
            seen.append(foreign_keys())
            with sqlite_connection.begin():
                seen.append(foreign_keys())
                assert ending != "fails in a transaction"
            assert ending != "fails"

    driver: Any = sqlite_connection.connection.driver_connection
    driver.execute(f"PRAGMA foreign_keys = {enforced}")
    level, seen = driver.isolation_level, list[int]()
    with nullcontext() if ending == "ends" else pytest.raises(AssertionError):
        work()
    assert seen == [0, 0]
    assert (foreign_keys(), driver.isolation_level) == (enforced, level)


def test_autocommit_really_commits(url: str, connection: sa.Connection) -> None:
    with db.revision_transactions(connection):
        before = connection.get_isolation_level()
        with connection.begin():
            connection.execute(sa.text("CREATE TABLE parent (id integer PRIMARY KEY)"))
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(sa.text("INSERT INTO parent VALUES (1)"))
        assert rows(url, "SELECT id FROM parent") == [(1,)]
        run(url, "INSERT INTO parent VALUES (2)")
        connection.rollback()
        connection.execution_options(isolation_level=before)
        transaction = connection.begin()
        connection.execute(sa.text("INSERT INTO parent VALUES (3)"))
        connection.execute(sa.text(CHILD))
        transaction.rollback()
    assert rows(url, "SELECT id FROM parent ORDER BY id") == [(1,), (2,)]
    assert tables(url) == ["parent"]


def test_a_connection_may_be_closed_meanwhile(sqlite_connection: sa.Connection) -> None:
    with db.revision_transactions(sqlite_connection):
        sqlite_connection.close()
    assert sqlite_connection.closed


@both_ways
def test_text_that_is_not_utf8_is_in_no_error(execute: Callable[..., Any], sqlite_url: str) -> None:
    run(sqlite_url, "CREATE TABLE t (secret TEXT)")
    run(sqlite_url, f"INSERT INTO t VALUES (CAST(X'{PASSWORD.encode().hex()}FF' AS TEXT))")
    with pytest.raises(sa.exc.OperationalError, match="Could not decode to UTF-8 column 'secret'") as caught:
        execute(sqlite_url, "SELECT secret FROM t")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sqlite://gw.db", "sqlite:///gw.db"),
        ("sqlite:gw.db", "sqlite:///gw.db"),
        ("sqlite:./gw.db", "sqlite:///./gw.db"),
        ("sqlite:/srv/gw.db", "sqlite:////srv/gw.db"),
        ("SQLITE:///gw.db", "sqlite:///gw.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///gw.db\n", "sqlite:///gw.db"),
        ("'sqlite:///gw.db'", "sqlite:///gw.db"),
        (' "postgresql://u@host/x" ', "postgresql+psycopg://u@host/x"),
        ("POSTGRES://u@host/x", "postgresql+psycopg://u@host/x"),
        ("postgresql+asyncpg://u@host/x?ssl=require", "postgresql+psycopg://u@host/x?sslmode=require"),
        ("postgres://u@host/x?ssl=true", "postgresql+psycopg://u@host/x?sslmode=require"),
        ("postgresql://me%40corp@host/x", "postgresql+psycopg://me%40corp@host/x"),
    ],
)
def test_what_other_tools_write_is_understood(text: str, meant: str) -> None:
    assert database_url.parse(text).render_as_string() == meant


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{PASSWORD}@{PASSWORD}@host/x",
        f"postgresql://me:p@{PASSWORD}?w@host/x",
        f"postgresql://me:p@{PASSWORD}?{PASSWORD}=w@host/x",
        f"postgresql://me:{PASSWORD}?{PASSWORD}@host/x",
        f"postgresql://me@host/x?{PASSWORD}",
        f"jdbc:postgresql://host/x?user=me&password={PASSWORD}",
        f"host=host user=me password={PASSWORD}",
        f"postgresql://me:{PASSWORD}@host/x?schema=public",
        f"postgresql://me:{PASSWORD}@host/x?connection_limit=3",
        f"postgresql:me:{PASSWORD}@host/x",
        f"postgresql://me@host/x?passwrd={PASSWORD}",
    ],
)
def test_no_part_of_a_url_that_may_be_a_secret_is_shown(text: str) -> None:
    with pytest.raises(SettingsError) as error:
        database_url.parse(text)
    assert str(error.value).startswith("DATABASE_URL ")
    assert PASSWORD not in str(error.value)
