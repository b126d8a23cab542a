"""Previews revisions: renders their SQL, as for a script, and reads it.

No database takes part. A revision that asks one can't be followed further, and is judged statement by statement while
it runs. On SQLite, where a table copy states the whole table, an image of the schema in memory takes each change.
"""

import contextlib
import io
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.sql.functions import FunctionElement

from app.errors import SchemaError
from app.migrations.data_loss.code_check import reaches_past_op
from app.migrations.data_loss.copy_effects import CopyEffects
from app.migrations.errors import MigrationError, is_revision, place_in_revision
from app.migrations.guard import hearing_statements
from app.migrations.operations import PREVIEW
from app.migrations.operations.script import SqliteImage
from app.migrations.session import Direction, Step
from app.migrations.sql import Statement, effects, lexer

ANOTHER = "a connection of its own"
MOST_STATEMENTS = 2000
MOST_SECONDS = 5.0
_CHANGES_SCHEMA = re.compile(r"(CREATE|ALTER|DROP)\b", re.IGNORECASE)


@dataclass
class Rendered:
    """A revision as it was rendered.

    Attributes:
        effects: its effects, in order.
        stopped: why they may not be all of them; empty if they are.
        statements: each statement, and the place in the revision.
    """

    effects: list[effects.Effect]
    stopped: str
    statements: list[tuple[str, str]] = field(default_factory=list)


class Preview:
    """Renders the revisions of a plan, one after the other.

    Args:
        dialect: the database's.
        schema: type, name and statement of everything that is there; for SQLite.
    """

    def __init__(self, dialect: sa.Dialect, schema: list[Any] | None = None) -> None:
        self._dialect = dialect
        self._image = SqliteImage(schema or []) if dialect.name == "sqlite" else None

    def render(self, step: Step) -> Rendered:
        """Renders a revision; one that reaches past `op` is a single effect, of code."""
        if self._image:
            self._image.keep()
        code = reaches_past_op(Path(step.module.__file__))
        if code is not None:  # rendering would carry it out
            return Rendered([code], "")
        recorder = _Recorder(self._dialect, self._image)
        try:
            # What the revision prints belongs to its run.
            with (
                hearing_statements(recorder.nothing_else),
                contextlib.redirect_stdout(io.StringIO()),
                self._operations(recorder),
            ):
                (step.module.upgrade if step.direction is Direction.UPGRADE else step.module.downgrade)()
                if self._image:
                    self._image.verify()
        except (_Stop, MigrationError):
            pass  # the second is raised again when the revision runs
        except sa.exc.NoInspectionAvailable:
            recorder.asked()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a revision raises without a database
            # A data revision of ours says so where SQL can't do its work.
            reason = "it can't be written as SQL" if isinstance(error, SchemaError) else type(error).__name__
            found = place_in_revision(error)
            recorder.stopped = recorder.stopped or f"{reason} at {f'line {found[1]}' if found else 'its beginning'}"
        return Rendered(recorder.effects, recorder.stopped, recorder.statements)

    def undo(self) -> None:
        """Takes back the last revision: it will be refused, and those after it are rendered without it."""
        if self._image:
            self._image.undo()

    def _operations(self, recorder: "_Recorder") -> contextlib.AbstractContextManager[Operations]:
        options = {"as_sql": True, "output_buffer": recorder, "transactional_ddl": True, PREVIEW: True}
        if self._image:
            options["sqlite_image"] = self._image.connection
        context = MigrationContext.configure(dialect=self._dialect, opts=options)
        # Alembic's own stand-in for a connection takes no values, and answers None.
        context.connection = context.impl.connection = _Bind(self._dialect, recorder)  # type: ignore[assignment]
        return Operations.context(context)


def line_of_revision() -> str:
    """Returns the line of a revision that is at work, `line 21`; empty outside of one."""
    frame: Any = sys._getframe()  # noqa: SLF001 - how to find the caller's line
    while frame is not None:
        if is_revision(frame.f_code.co_filename):
            return f"line {frame.f_lineno}"
        frame = frame.f_back
    return ""


class _Stop(BaseException):
    """Ends a revision that can't be followed further, even one that catches every Exception."""


class _Recorder:
    """Notes the effects of statements; stands for the output of `--sql`, as far as Alembic uses it."""

    def __init__(self, dialect: sa.Dialect, image: SqliteImage | None) -> None:
        self.effects: list[effects.Effect] = []
        self.statements: list[tuple[str, str]] = []
        self.stopped = ""
        self.place = "its beginning"  # the line of the revision that was last at work
        self._dialect = dialect
        self._image = image
        self._copies = CopyEffects()
        self._count = 0
        self._deadline = time.monotonic() + MOST_SECONDS

    def write(self, statement: str) -> None:
        self.take(statement.rstrip().removesuffix(";"))

    def flush(self) -> None:
        pass

    def take(self, statement: str, *, with_values: bool = False) -> None:
        self._note_place()
        if self.stopped:  # the revision has caught an error of SQLAlchemy's
            raise _Stop
        self.statements.append((statement, self.place))
        driver = self._image.driver if self._image else None
        added = list(self._copies.effects_of(Statement(self._dialect.name, statement, driver)))
        self.effects += [replace(effect, where=self.place) for effect in added]
        kinds = {type(effect) for effect in added}
        self._count += kinds != {effects.Fill}  # a bulk insert is a statement for each row
        if self._count > MOST_STATEMENTS:
            raise self._stop(f"more than {MOST_STATEMENTS:,} statements")
        if time.monotonic() > self._deadline:
            raise self._stop(f"more than {MOST_SECONDS:g} seconds")
        for effect in added:
            if isinstance(effect, effects.SetPath):  # it isn't carried out, so questions would be about other tables
                raise self._stop(f"{effect.target}, after which a table may be another one")
        changes_schema = _CHANGES_SCHEMA.match(lexer.without_comments(statement)) and not with_values
        if self._image and changes_schema and effects.Opaque not in kinds:
            self._image.write(statement)

    def asked(self) -> _Stop:
        self._note_place()
        return self._stop(f"it asks the database at {self.place}")

    def connected(self) -> _Stop:
        self._note_place()
        self.effects.append(effects.Opaque(ANOTHER, where=self.place))
        return self._stop(ANOTHER)

    def nothing_else(self, connection: sa.Connection, *_: object) -> None:
        """Stops the revision before it reaches a database, by whichever connection of SQLAlchemy's."""
        if not (self._image and self._image.owns(connection)):
            self.connected()
            # SQLAlchemy would close a connection on which anything but an Exception is raised.
            raise sa.exc.InvalidRequestError(ANOTHER)

    def _stop(self, reason: str) -> _Stop:
        self.stopped = self.stopped or reason
        return _Stop(reason)

    def _note_place(self) -> None:
        self.place = line_of_revision() or self.place


class _Unanswering:
    """Stands for a result, an engine or a savepoint: to ask it for more than its few attributes ends the revision."""

    def __init__(self, recorder: _Recorder, **attributes: Any) -> None:
        self.__dict__ |= {"_recorder": recorder, **attributes}

    def __getattr__(self, name: str) -> Any:
        raise self._recorder.connected() if name in ("begin", "connect") else self._recorder.asked()

    def __iter__(self) -> Iterator[Any]:
        raise self._recorder.asked()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Bind(MockConnection):
    """Stands for a revision's connection: takes statements, and answers nothing."""

    engine: Any = None

    def __init__(self, dialect: sa.Dialect, recorder: _Recorder) -> None:
        super().__init__(dialect, recorder.take)
        self._recorder = recorder
        self.engine = _Unanswering(recorder, dialect=dialect, name=dialect.name)
        self.commit = self.rollback = self.close = lambda: None
        self.in_transaction = lambda: True  # else Alembic would begin one

    def execute(self, obj: Any, parameters: Any = None, execution_options: Any = None) -> Any:  # noqa: ARG002
        first = parameters[0] if isinstance(parameters, list | tuple) and parameters else parameters
        # An INSERT or UPDATE without values takes its columns from the parameters.
        columns = {"column_keys": list(first)} if isinstance(first, Mapping) else {}
        statement: Any = sa.select(obj) if isinstance(obj, FunctionElement) else obj
        compiled = statement.compile(dialect=self.dialect, **columns)
        return self.exec_driver_sql(str(compiled), parameters or compiled.params)

    def exec_driver_sql(self, statement: str, parameters: Any = None, **_: Any) -> Any:
        self._recorder.take(statement, with_values=bool(parameters))
        return _Unanswering(self._recorder)

    def scalar(self, obj: Any, parameters: Any = None, **_: Any) -> Any:
        self.execute(obj, parameters)
        raise self._recorder.asked()

    scalars = scalar

    def begin_nested(self) -> Any:
        return _Unanswering(self._recorder, commit=self.commit, rollback=self.rollback)

    def connect(self, **_: Any) -> Any:  # an ORM session would ask this way
        raise self._recorder.asked()

    def __getattr__(self, name: str) -> Any:
        raise self._recorder.asked()
