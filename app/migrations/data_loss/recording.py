"""Stand-ins for the connection of a revision that is rendered: they take statements, and answer nothing."""

import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.sql.functions import FunctionElement

from app.migrations.data_loss.copy_effects import CopyEffects
from app.migrations.operations.script import SqliteImage
from app.migrations.sql import Effect, Statement, effects
from app.migrations.sql.lexer import without_comments

ANOTHER = "a connection of its own"
MOST_STATEMENTS = 2000
MOST_SECONDS = 5.0
_CHANGES_SCHEMA = re.compile(r"(CREATE|ALTER|DROP)\b", re.IGNORECASE)


class Stop(BaseException):
    """Ends a revision that can't be followed further, even one that catches every Exception."""


class Recorder:
    """Notes the effects of statements; stands for the output of `--sql`, as far as Alembic uses it.

    Args:
        dialect: of the database.
        image: on SQLite the schema, which changes as the statements say.

    Attributes:
        place: the line of the revision that was at work last.
    """

    def __init__(self, dialect: sa.Dialect, image: SqliteImage | None) -> None:
        self.effects: list[Effect] = []
        self.place = ""
        self._dialect = dialect
        self._image = image
        self._copies = CopyEffects()
        self._count = 0
        self._deadline = time.monotonic() + MOST_SECONDS

    def write(self, statement: str) -> None:
        """Takes a statement of Alembic's."""
        self.take(statement.rstrip().removesuffix(";"))

    def flush(self) -> None:
        """Does nothing: Alembic calls it after each statement."""

    def take(self, statement: str, *, with_values: bool = False) -> None:
        """Takes a statement in the words of the driver; one with values doesn't change the schema."""
        self._note_place()
        self._count += 1
        if self._count > MOST_STATEMENTS:
            raise Stop(f"more than {MOST_STATEMENTS:,} statements")
        if time.monotonic() > self._deadline:
            raise Stop(f"more than {MOST_SECONDS:g} seconds")
        driver = self._image.driver if self._image else None
        found = list(self._copies.effects_of(Statement(self._dialect.name, statement, driver)))
        self.effects += [replace(effect, where=self.place) for effect in found]
        for effect in found:
            if isinstance(effect, effects.SetPath):  # nobody has done it, so questions would be about other tables
                raise Stop(f"{effect.target}, after which a table may be another one")
        opaque = any(isinstance(effect, effects.Opaque) for effect in found)
        if self._image and not with_values and not opaque and _CHANGES_SCHEMA.match(without_comments(statement)):
            self._image.write(statement)

    def asked(self) -> Stop:
        """Returns what ends a revision that wants an answer."""
        self._note_place()
        return Stop(f"it asks the database at {self.place or 'its beginning'}")

    def connected(self) -> Stop:
        """Returns what ends a revision that uses another connection."""
        self._note_place()
        self.effects.append(effects.Opaque(ANOTHER, where=self.place))
        return Stop(ANOTHER)

    @contextmanager
    def nothing_else(self) -> Iterator[None]:
        """Stops the revision before it reaches a database, by whichever connection of SQLAlchemy's."""
        thread = threading.get_ident()

        def before(connection: sa.Connection, *_: object) -> None:
            if threading.get_ident() == thread and not (self._image and self._image.owns(connection)):
                raise self.connected()

        sa.event.listen(sa.Engine, "before_cursor_execute", before)
        try:
            yield
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", before)

    def _note_place(self) -> None:
        self.place = line_of_revision() or self.place


class Bind(MockConnection):
    """Stands for a revision's connection; Alembic's own stand-in takes no values, and answers None."""

    engine: Any = None

    def __init__(self, dialect: sa.Dialect, recorder: Recorder) -> None:
        super().__init__(dialect, recorder.take)
        self._recorder = recorder
        self.engine = _Unanswering(recorder, dialect=dialect, name=dialect.name)
        self.commit = self.rollback = self.close = lambda: None
        self.in_transaction = lambda: True

    def execute(self, obj: Any, parameters: Any = None, execution_options: Any = None) -> Any:  # noqa: ARG002
        """Takes a statement; to ask for its result ends the revision."""
        first = parameters[0] if isinstance(parameters, list | tuple) and parameters else parameters
        keys = {"column_keys": list(first)} if isinstance(first, Mapping) else {}
        statement = sa.select(obj) if isinstance(obj, FunctionElement) else obj
        compiled = statement.compile(dialect=self.dialect, **keys)
        return self.exec_driver_sql(str(compiled), parameters or compiled.params)

    def exec_driver_sql(self, statement: str, parameters: Any = None, execution_options: Any = None) -> Any:  # noqa: ARG002
        """Takes a statement in the words of the driver."""
        self._recorder.take(statement, with_values=bool(parameters))
        return _Unanswering(self._recorder)

    def scalar(self, obj: Any, parameters: Any = None, **_: Any) -> Any:
        """Takes a statement, and ends the revision."""
        self.execute(obj, parameters)
        raise self._recorder.asked()

    scalars = scalar

    def begin_nested(self) -> Any:
        """Takes a savepoint."""
        return _Unanswering(self._recorder, commit=self.commit, rollback=self.rollback)

    def connect(self, **_: Any) -> Any:
        """Ends the revision: an ORM session would ask this way."""
        raise self._recorder.asked()

    def __getattr__(self, name: str) -> Any:
        raise self._recorder.asked()


class _Unanswering:
    """Stands for a result or an engine: has a few attributes, and whoever asks for another one ends the revision."""

    def __init__(self, recorder: Recorder, **attributes: Any) -> None:
        self.__dict__ |= {"_recorder": recorder, **attributes}

    def __enter__(self) -> "_Unanswering":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        raise self._recorder.asked()

    def __getattr__(self, name: str) -> Any:
        raise self._recorder.connected() if name in ("begin", "connect") else self._recorder.asked()


def line_of_revision() -> str:
    """Returns the line of a revision that is at work, `line 21`; empty outside of one."""
    frame = sys._getframe()  # noqa: SLF001 - how to find the caller's line
    while frame is not None:
        if Path(frame.f_code.co_filename).parent.name == "versions":
            return f"line {frame.f_lineno}"
        frame = frame.f_back
    return ""
