"""The commands of `schema secrets`, as functions that a program can call; progress goes to the logger."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa

from app import db
from app.backfill import Pace, Report, stop_requested
from app.errors import SchemaError, SettingsError
from app.secrets import key_check
from app.secrets.inventory import ColumnInventory
from app.secrets.progress import Progress, log
from app.secrets.tasks import Action, Find, Task, errors_in_one_line

__all__ = ["Action", "ColumnInventory", "Options", "Progress", "change", "check_keys", "take_inventory"]


@dataclass(frozen=True)
class Options:
    """Selects encrypted columns, and says how to work on them.

    Attributes:
        find: lists the encrypted columns; a function of a module, which workers pickle.
        table: selects the columns of one table.
        column: selects the columns of this name.
        workers: number of processes; None works in this one.
    """

    find: Find
    database_url: Callable[[], sa.URL]
    table: str | None = None
    column: str | None = None
    workers: int | None = None
    pace: Pace = field(default_factory=Pace)
    progress: Progress = field(default_factory=Progress)

    def tasks(self, action: Action = Action.ENCRYPT) -> list[Task]:
        """Returns a task for each table and cipher that is selected.

        Raises:
            SettingsError: no encrypted column is selected.
            SchemaError: there is no database.
        """
        columns = list(self.find())
        groups: dict[tuple[str, int], list[str]] = {}
        for c in columns:
            if self.table in (None, c.table.name) and self.column in (None, c.column.name):
                groups.setdefault((c.table.name, id(c.cipher)), []).append(c.column.name)
        if not groups:
            names = ", ".join(f"{c.table.name}.{c.column.name}" for c in columns)
            raise SettingsError(f"There is no such column of secrets. There are: {names}.")
        path = db.sqlite_file(url := self.database_url())
        if path is not None and not path.exists():
            raise SchemaError(f"There is no database at {db.shown(url)}.")
        return [Task(self.find, url, table, tuple(names), action, self.pace) for (table, _), names in groups.items()]


def change(action: Action, options: Options, *, dry_run: bool = False) -> list[Report]:
    """Encrypts plaintext, or encrypts again what is under a previous key, table by table.

    Ctrl-C and SIGTERM end the job after the current page.

    Raises:
        SchemaError: a key is missing or wrong, no column is selected, or the database refuses a statement.
    """
    reports: list[Report] = []
    with _running(options) as stopped:
        tasks = options.tasks(action)
        workers = None if dry_run else options.workers  # leases would be written
        if workers is not None and tasks[0].url.get_backend_name() == "sqlite":
            if workers > 1:
                log.info("SQLite has one writer at a time: one worker does it.")
            workers = None
        for task in tasks:
            if workers is None:
                reports.append(task.change(options.progress, stopped, dry_run=dry_run))
            else:
                reports.append(task.change_with_workers(workers, options.progress, stopped))
            if reports[-1].stopped:
                break
    return reports


def take_inventory(options: Options) -> tuple[list[ColumnInventory], bool]:
    """Decrypts and counts every secret, and writes nothing.

    Returns:
        An inventory of each column, and whether a signal ended the job early.

    Raises:
        SchemaError: a setting isn't a key, no column is selected, or the database can't be read.
    """
    columns: list[ColumnInventory] = []
    with _running(options) as stopped:
        for task in options.tasks():
            columns += task.take_inventory(options.workers or 1, options.progress, stopped)
        return columns, stopped()


def check_keys(options: Options) -> None:
    """Checks that the keys open what is stored, by a few values, and that there are keys to write with.

    Raises:
        SchemaError: they don't, a key is missing, or the database can't be read.
    """
    with errors_in_one_line():
        for task in options.tasks():
            with task.open_table(read_only=True) as table:
                key_check.check_keys(table.connection, task.table, task.columns, task.cipher(), writes=True)


@contextmanager
def _running(options: Options) -> Iterator[Callable[[], bool]]:
    with errors_in_one_line(), closing(options.progress), stop_requested() as stopped:
        yield stopped
