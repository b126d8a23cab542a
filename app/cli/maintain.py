"""`schema partitions maintain`: the arguments, and the answer."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.options import Json, LockTimeout
from app.cli.output import Answer, errors_in_one_line, show, utc
from app.migrations import commands
from app.migrations.partitions import Action, Maintenance, Step

_GIGABYTE, _MEGABYTE = 1_000_000_000, 1_000_000
_WORDS = {0: "ok", 1: "error", 6: "locked"}


def maintain(
    context: typer.Context,
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="TABLE", help="Declared tables; all if none is given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    archive: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write each partition to this folder, and read it back, before it is dropped."
        ),
    ] = None,
    accept_empty: Annotated[
        bool, typer.Option("--accept-empty", help="Go on if no row of a table is as young as is kept.")
    ] = False,
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Makes the partitions ahead, and drops those whose rows are all older than the model says they are kept.

    Of tables that aren't partitioned it deletes the old rows, page by page. Run it every day, from one place or from
    many: it can be stopped or killed at any moment, and the next run goes on. It never touches a partition that it
    didn't make or adopt. Ends with 1 if a table failed, with 6 if another migration had the lock; the other tables are
    done then.

    Example: schema partitions maintain --dry-run && schema partitions maintain
    """
    with errors_in_one_line(as_json=as_json):
        done = commands.maintain(
            context.obj,
            tables=tables or (),
            dry_run=dry_run,
            archive=archive,
            accept_empty=accept_empty,
            lock_timeout=lock_timeout,
        )
    show(answer(done), as_json=as_json)


def answer(done: Maintenance) -> Answer:
    """Answers `schema partitions maintain`."""
    lines = [f"Database  {done.database}"]
    lines += [_line(step, done=done.done) for step in done.steps]
    lines += [f"Note      {note}" for note in done.notes]
    lines += [f"FAILED    {failure.table}: {failure.message}" for failure in done.failures]
    lines += [_verdict(done)]
    return Answer(_values(done), "\n".join(lines), done.exit_code)


def _line(step: Step, *, done: bool) -> str:
    line = f"{str(step.action).capitalize():<9} {step.subject}: {step.reason}"
    if step.rows is not None and step.action in (Action.DROP, Action.DELETE):
        about = "" if done else "about "
        line += f"; {about}{step.rows:,} row{'s' * (step.rows != 1)}"
    if step.bytes is not None and step.action is Action.DROP:
        line += f", {_size(step.bytes)}"
    line += "".join(f", {number:,} of {table}" for table, number in step.children.items())
    if step.archive is not None:
        line += f", archived in {step.archive}"
    return line


def _size(number: int) -> str:
    if number >= _GIGABYTE:
        return f"{number / _GIGABYTE:,.1f} GB"
    return f"{number / _MEGABYTE:,.1f} MB"


def _verdict(done: Maintenance) -> str:
    number = f"{len(done.steps)} step{'s' * (len(done.steps) != 1)}"
    if done.failures:
        return f"{len(done.failures)} failed; {number} {'done' if done.done else 'planned'}."
    if not done.steps:
        return "Nothing to do."
    return f"Done: {number}." if done.done else f"Nothing was changed: {number} planned. To do it: leave out --dry-run"


def _values(done: Maintenance) -> dict[str, Any]:
    return {
        "code": _WORDS[done.exit_code],
        "database": done.database,
        "done": done.done,
        "steps": [asdict(step) | {"low": utc(step.low), "high": utc(step.high)} for step in done.steps],
        "notes": done.notes,
        "failures": [asdict(failure) for failure in done.failures],
    }
