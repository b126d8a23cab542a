"""Asks a database whether rows are at risk: read only, each question bounded in time, all of them too.

Questions go past SQLAlchemy's events, straight to the driver, so that they are no statements of the revision. On
PostgreSQL they run in a savepoint that is always rolled back: their time-outs end with it, and an error leaves the
transaction usable.
"""

import sqlite3
import threading
import time
from functools import partial
from typing import Any

import sqlalchemy as sa

from app.migrations.rules import COUNTED, Question, Verdict, Words, text_of
from app.migrations.sql.effects import HOME, Effect, parts_of

SECONDS_PER_QUESTION = 2.0
SECONDS_BEFOREHAND = 20.0
LOCK_TIMEOUT_SECONDS = 0.5

Answer = tuple[Verdict, int | None, str]

_SAVEPOINT = "SAVEPOINT question"
_MISSING = {"42P01", "42703", "3F000", "42704"}


class Questions:
    """The questions of one run.

    Args:
        dialect: of the database.
        together: how long all of them may take; a run asks before each statement, which must not end it.
    """

    def __init__(self, dialect: sa.Dialect, together: float = SECONDS_BEFOREHAND) -> None:
        self._dialect = dialect
        self._together = together
        self._spent = 0.0

    def words(self, connection: sa.Connection) -> Words:
        """How the database spells things."""
        prepare = self._dialect.identifier_preparer.quote
        return Words(
            self._dialect.name,
            lambda name: ".".join(prepare(part) for part in parts_of(name)),
            prepare,
            partial(self._type_of, connection),
        )

    def ask(self, connection: sa.Connection, question: Question) -> Answer:
        """Asks how many rows are at risk.

        Returns:
            The verdict; the number of rows, if it is known; and what was in the way of an answer.
        """
        if question.each:
            return self._ask_each(connection, question)
        try:
            rows = int(self._scalar(connection, question.sql) or 0)
        except _Unanswered as error:
            if error.missing:
                return Verdict.SAFE, 0, ""
            if error.refused:  # a value that the new type doesn't take
                return Verdict.AT_RISK, None, str(error)
            return question.doubt, None, str(error)
        return (Verdict.AT_RISK if rows else Verdict.SAFE), rows, ""

    def _ask_each(self, connection: sa.Connection, question: Question) -> Answer:
        try:
            places = self._rows(connection, question.sql)
        except _Unanswered as error:
            return question.doubt, None, str(error)
        for table, condition in places:
            rows = f"SELECT 1 FROM {table} WHERE {condition} LIMIT {COUNTED + 1}"
            counted = Question(f"SELECT count(*) FROM ({rows}) AS at_risk", question.doubt)
            verdict, number, note = self.ask(connection, counted)
            if verdict is not Verdict.SAFE:
                place = ".".join([table, *condition.split(" IS ", 1)[:-1]])
                return verdict, number, f"{place}: {note}" if note else place
        return Verdict.SAFE, 0, ""

    def outside(self, connection: sa.Connection, effect: Effect, labels: tuple[str, ...]) -> Answer:
        """Asks for values that a new enumeration hasn't."""
        words = self.words(connection)
        (column,) = effect.columns
        listed = ", ".join(map(text_of, labels)) or "''"
        condition = f"{words.column(column)}::text NOT IN ({listed})"
        rows = f"SELECT 1 FROM {words.quote(effect.table)} WHERE {condition} LIMIT {COUNTED + 1}"
        return self.ask(connection, Question(f"SELECT count(*) FROM ({rows}) AS at_risk", Verdict.AT_RISK))

    def rows(self, connection: sa.Connection, sql: str) -> list[Any] | None:
        """The rows that answer a question about the schema; None if there is no answer."""
        try:
            return self._rows(connection, sql)
        except _Unanswered:
            return None

    def home(self, connection: sa.Connection) -> str:
        """The schema in which a table is whose name is written without one."""
        if self._dialect.name == "postgresql":
            return str(self._looked_up(connection, "SELECT current_schema()") or "")
        return HOME["sqlite"]

    def exists(self, connection: sa.Connection, table: str, column: str = "") -> bool:
        """Whether there is a table of that name, or that column of it; no answer means yes."""
        if column:
            return self._type_of(connection, table, column) is not None
        if self._dialect.name == "postgresql":
            question = f"SELECT to_regclass({text_of(self.words(connection).quote(table))})"
        else:
            master = "sqlite_temp_master" if parts_of(table)[0] == "temp" else "sqlite_master"
            question = f"SELECT 1 FROM {master} WHERE name = {text_of(parts_of(table)[-1])} COLLATE NOCASE"
        try:
            return self._looked_up(connection, question) is not None
        except _Unanswered:
            return True

    def _type_of(self, connection: sa.Connection, table: str, column: str) -> str | None:
        if self._dialect.name == "postgresql":
            name = text_of(self.words(connection).quote(table))
            question = (
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
                f"WHERE attrelid = to_regclass({name}) AND attname = {text_of(column)} AND NOT attisdropped"
            )
        else:
            named = f"name = {text_of(column)} COLLATE NOCASE"
            *schema, bare = parts_of(table)
            inside = "".join(f", {text_of(name)}" for name in schema)
            question = f"SELECT type FROM pragma_table_info({text_of(bare)}{inside}) WHERE {named}"
        try:
            found = self._looked_up(connection, question)
        except _Unanswered:
            return None
        return str(found) if found is not None else None

    def _looked_up(self, connection: sa.Connection, sql: str) -> Any:
        """What the database's own books say; on SQLite that takes no time, and needs no clock."""
        if self._dialect.name == "postgresql":
            return self._scalar(connection, sql)
        driver: Any = connection.connection.driver_connection
        found = driver.execute(sql).fetchone()
        return found[0] if found else None

    def _scalar(self, connection: sa.Connection, sql: str) -> Any:
        rows = self._rows(connection, sql)
        return rows[0][0] if rows else None

    def _rows(self, connection: sa.Connection, sql: str) -> list[Any]:
        left = min(SECONDS_PER_QUESTION, self._together - self._spent)
        if left <= 0:
            raise _Unanswered("there was no time left to ask")
        started = time.monotonic()
        driver: Any = connection.connection.driver_connection
        try:
            ask = _postgresql if self._dialect.name == "postgresql" else _sqlite
            return ask(driver, sql, left)
        finally:
            self._spent += time.monotonic() - started


class _Unanswered(Exception):  # noqa: N818 - an outcome
    """A question got no answer."""

    def __init__(self, text: str, *, missing: bool = False, refused: bool = False) -> None:
        super().__init__(text)
        self.missing = missing
        self.refused = refused


def _postgresql(driver: Any, sql: str, seconds: float) -> list[Any]:
    import psycopg

    idle = driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    begin, end = ("BEGIN", "ROLLBACK") if idle else (_SAVEPOINT, f"ROLLBACK TO {_SAVEPOINT}; RELEASE {_SAVEPOINT}")
    was = driver.autocommit
    if idle and not was:
        driver.autocommit = True
    try:
        # Statements that go together cost one way to the server and back.
        driver.execute(
            f"{begin}; SELECT set_config('statement_timeout', '{seconds * 1000:.0f}', true), "
            f"set_config('lock_timeout', '{LOCK_TIMEOUT_SECONDS * 1000:.0f}', true), "
            # Rows that a policy hides are there all the same: better no answer than a wrong one.
            "set_config('row_security', 'off', true)"
        )
        try:
            rows: list[Any] = driver.execute(sql).fetchall()
        except psycopg.Error as error:
            raise _Unanswered(
                _said(error), missing=error.sqlstate in _MISSING, refused=(error.sqlstate or "").startswith("22")
            ) from None
        finally:
            driver.execute(end)
    finally:
        if idle and not was:
            driver.autocommit = False
    return rows


def _said(error: Any) -> str:
    if error.sqlstate in ("57014", "55P03"):
        return "there was no answer in time"
    return str(error.diag.message_primary or error).partition(":")[0]


def _sqlite(driver: sqlite3.Connection, sql: str, seconds: float) -> list[Any]:
    timer = threading.Timer(seconds, driver.interrupt)
    timer.start()
    try:
        return driver.execute(sql).fetchall()
    except sqlite3.OperationalError as error:
        text = str(error)
        missing = text.startswith(("no such table", "no such column"))
        raise _Unanswered("there was no answer in time" if "interrupt" in text else text, missing=missing) from None
    finally:
        timer.cancel()
