"""Previews revisions: renders their SQL, as for a script, and reads it.

No database takes part. A revision that asks one can't be followed further, and is judged statement by statement while
it runs. On SQLite, where a table copy states the whole table, an image of the schema in memory takes each change.
"""

import contextlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from app.migrations.data_loss.code_check import reaches_past_op
from app.migrations.data_loss.queries import Questions
from app.migrations.data_loss.recording import Bind, Recorder, Stop
from app.migrations.errors import MigrationError
from app.migrations.operations.script import SqliteImage
from app.migrations.session import Direction, Step
from app.migrations.sql import Effect


@dataclass
class Rendered:
    """The effects of a revision, in order; `stopped` says why they may not be all, and is empty if they are."""

    effects: list[Effect] = field(default_factory=list)
    stopped: str = ""


class Preview:
    """Renders the revisions of a plan, one after the other.

    Args:
        dialect: of the database.
        questions: asks it, for the schema on SQLite.
    """

    def __init__(self, dialect: sa.Dialect, questions: Questions) -> None:
        self._dialect = dialect
        self._image: SqliteImage | None = None
        if dialect.name == "sqlite":
            self._image = SqliteImage()
            self._image.load(questions.rows("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL") or [])

    def render(self, step: Step) -> Rendered:
        """Renders a step of the plan."""
        if self._image:
            self._image.keep()
        code = reaches_past_op(Path(step.module.__file__))
        if code is not None:  # rendering would run it
            return Rendered([code])
        recorder = Recorder(self._dialect, self._image)
        rendered = Rendered(recorder.effects)
        try:
            with recorder.nothing_else(), contextlib.redirect_stdout(io.StringIO()), self._operations(recorder):
                (step.module.upgrade if step.direction is Direction.UPGRADE else step.module.downgrade)()
                if self._image:
                    self._image.verify()
        except Stop as stop:
            rendered.stopped = str(stop)
        except MigrationError:
            pass  # it will fail the same way when it runs
        except sa.exc.NoInspectionAvailable:
            rendered.stopped = str(recorder.asked())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a revision raises without a database
            rendered.stopped = f"{type(error).__name__} at {recorder.place or 'its beginning'}"
        return rendered

    def undo(self) -> None:
        """Takes back the last revision: it will be refused, and those after it are seen without it."""
        if self._image:
            self._image.undo()

    def _operations(self, recorder: Recorder) -> contextlib.AbstractContextManager[Operations]:
        options = {"as_sql": True, "output_buffer": recorder, "transactional_ddl": True}
        if self._image:
            options["sqlite_table"] = self._image.table
        context = MigrationContext.configure(dialect=self._dialect, opts=options)
        context.connection = context.impl.connection = Bind(self._dialect, recorder)  # type: ignore[assignment]
        return Operations.context(context)
