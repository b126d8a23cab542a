"""Asks a database whether rows are at risk: read only, each question bounded in time, all of them too.

Questions go past SQLAlchemy's events, straight to the driver, so that they are no statements of the revision. On
PostgreSQL they run in a transaction or a savepoint that is always rolled back: their settings end with it, and an error
leaves the transaction usable.
"""

import sqlite3
import threading
import time
from typing import Any

import sqlalchemy as sa

from app.migrations.rules import COUNTED, Question, Verdict, Words
from app.migrations.sql import effects
from app.sql_text import bare, literal, parts_of, quote_for

SECONDS_PER_QUESTION = 2.0
SECONDS_BEFOREHAND = 20.0
LOCK_TIMEOUT_SECONDS = 0.5

Answer = tuple[Verdict, int | None, str]

_NO_CAST = "42846"
_MISSING = {"42P01", "42703", "3F000", "42704"}


class Questions:
    """The questions of one run.

    Args:
        connection: answers them.
        together: how long all of them may take; a run asks before each statement, which must not end it.
    """

    def __init__(self, connection: sa.Connection, together: float = SECONDS_BEFOREHAND) -> None:
        self.dialect = connection.dialect
        quote = quote_for(self.dialect)
        self.words = Words(self.dialect.name, lambda name: ".".join(map(quote, parts_of(name))), quote, self._type_of)
        self._connection = connection
        self._left = together

    def ask(self, question: Question) -> Answer:
        """Asks how many rows are at risk.

        Returns:
            The verdict; the number of rows, if it is known; and the reason why there is no answer.
        """
        if question.each:
            return self._ask_each(question)
        try:
            ((number,),) = self._rows(question.sql)
        except _Unanswered as error:
            if error.missing:
                return Verdict.SAFE, 0, ""
            if error.no_cast and question.otherwise is not None:
                return self.ask(question.otherwise)
            if error.refused:  # a value that the new type doesn't take
                return Verdict.AT_RISK, None, str(error)
            return question.doubt, None, str(error)
        return (Verdict.AT_RISK if number else Verdict.SAFE), number, ""

    def _ask_each(self, question: Question) -> Answer:
        try:
            places = self._rows(question.sql)
        except _Unanswered as error:
            return question.doubt, None, str(error)
        for table, condition in places:
            rows = f"SELECT 1 FROM {table} WHERE {condition} LIMIT {COUNTED + 1}"
            verdict, number, note = self.ask(Question(f"SELECT count(*) FROM ({rows}) AS at_risk", question.doubt))
            if verdict is not Verdict.SAFE:
                place = ".".join([table, *condition.split(" IS ", 1)[:-1]])
                return verdict, number, f"{place}: {note}" if note else place
        return Verdict.SAFE, 0, ""

    def rows(self, sql: str) -> list[Any] | None:
        """Returns the rows that answer a question about the schema; None if there is no answer."""
        try:
            return self._rows(sql)
        except _Unanswered:
            return None

    def home(self) -> str | None:
        """Returns the schema of a table whose name is written without one; None if there is no answer."""
        if self.dialect.name != "postgresql":
            return effects.HOME["sqlite"]
        rows = self.rows("SELECT current_schema()")
        return None if rows is None else rows[0][0] or ""

    def exists(self, table: str, column: str = "") -> bool:
        """Returns whether there is a table of that name, or that column of it; no answer means yes."""
        if column:
            return self._type_of(table, column) is not None
        if self.dialect.name == "postgresql":
            question = f"SELECT to_regclass({literal(self.words.quote(table))})"
        else:
            master = "sqlite_temp_master" if parts_of(table)[0] == "temp" else "sqlite_master"
            question = f"SELECT 1 FROM {master} WHERE name = {literal(bare(table))} COLLATE NOCASE"
        rows = self.rows(question)
        return rows is None or (bool(rows) and rows[0][0] is not None)

    def is_partition_key(self, table: str, column: str) -> bool:
        """Returns whether a table is partitioned by a column."""
        if self.dialect.name != "postgresql":
            return False
        question = (
            "SELECT 1 FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = ANY "
            f"(partattrs::int2[]) WHERE partrelid = to_regclass({literal(self.words.quote(table))}) "
            f"AND attname = {literal(column)}"
        )
        return bool(self.rows(question))

    def _type_of(self, table: str, column: str) -> str | None:
        if self.dialect.name == "postgresql":
            question = (
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE NOT attisdropped "
                f"AND attrelid = to_regclass({literal(self.words.quote(table))}) AND attname = {literal(column)}"
            )
        else:
            *schema, name = map(literal, parts_of(table))
            place = ", ".join([name, *schema])
            question = f"SELECT type FROM pragma_table_info({place}) WHERE name = {literal(column)} COLLATE NOCASE"
        rows = self.rows(question)
        return str(rows[0][0]) if rows else None

    def _rows(self, sql: str) -> list[Any]:
        seconds = min(SECONDS_PER_QUESTION, self._left)
        if seconds <= 0:
            raise _Unanswered("there was no time left to ask")
        started = time.monotonic()
        driver: Any = self._connection.connection.driver_connection
        try:
            ask = _postgresql if self.dialect.name == "postgresql" else _sqlite
            return ask(driver, sql, seconds)
        finally:
            self._left -= time.monotonic() - started


class _Unanswered(Exception):  # noqa: N818 - an outcome
    """A question got no answer."""

    def __init__(self, reason: str, *, missing: bool = False, refused: bool = False, no_cast: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing
        self.refused = refused
        self.no_cast = no_cast


def _postgresql(driver: Any, sql: str, seconds: float) -> list[Any]:
    import psycopg

    idle = driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    # Outside of autocommit psycopg begins a transaction by itself.
    begin = "SAVEPOINT question;" if not idle else "BEGIN;" if driver.autocommit else ""
    # Statements that go together cost one way to the server and back.
    driver.execute(
        # 0 would be no limit.
        f"{begin} SELECT set_config('statement_timeout', '{max(seconds * 1000, 1):.0f}', true), "
        f"set_config('lock_timeout', '{LOCK_TIMEOUT_SECONDS * 1000:.0f}', true), "
        # An expression of a revision may call what writes, such as nextval().
        "set_config('transaction_read_only', 'on', true), "
        # Rows that a policy hides are there all the same: better no answer than a wrong one.
        "set_config('row_security', 'off', true)"
    )
    try:
        rows: list[Any] = driver.execute(sql).fetchall()
    except psycopg.Error as error:
        if error.sqlstate in ("57014", "55P03"):
            raise _Unanswered("there was no answer in time") from None
        reason, state = str(error.diag.message_primary or error).partition(":")[0], error.sqlstate or ""
        raise _Unanswered(
            reason, missing=state in _MISSING, refused=state.startswith("22"), no_cast=state == _NO_CAST
        ) from None
    finally:
        if idle:
            driver.rollback()
        else:
            driver.execute("ROLLBACK TO question; RELEASE question")
    return rows


def _sqlite(driver: sqlite3.Connection, sql: str, seconds: float) -> list[Any]:
    timer = threading.Timer(seconds, driver.interrupt)
    timer.start()
    try:
        return driver.execute(sql).fetchall()
    except sqlite3.OperationalError as error:
        reason = str(error)
        missing = reason.startswith(("no such table", "no such column"))
        raise _Unanswered("there was no answer in time" if "interrupt" in reason else reason, missing=missing) from None
    finally:
        timer.cancel()
