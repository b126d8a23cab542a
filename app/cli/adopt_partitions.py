"""`schema partitions adopt`: the arguments, and the answer."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.options import Json, LockTimeout
from app.cli.output import Answer, errors_in_one_line, show, utc
from app.migrations import commands
from app.migrations.partitions import Adopted, PartitionAdoption


def adopt(
    context: typer.Context,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A declared table, which is partitioned.")],
    apply: Annotated[bool, typer.Option("--apply", help="Do it; else it is only shown.")] = False,
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Takes over partitions that were made by hand, by pg_partman, or by another program.

    Each gets a mark, its comment, and from then on maintain drops it once all its rows are older than the model says.
    Without --apply it changes nothing, and shows which ones that are, and which are left alone, and why.

    Example: schema partitions adopt request_logs && schema partitions adopt request_logs --apply
    """
    with errors_in_one_line(as_json=as_json):
        done = commands.adopt_partitions(context.obj, table, apply=apply, lock_timeout=lock_timeout)
    show(answer(done), as_json=as_json)


def answer(done: PartitionAdoption) -> Answer:
    """Answers `schema partitions adopt`."""
    lines = [f"Database  {done.database}"]
    lines += [f"Adopt     {_line(done, own)}" for own in done.adopted]
    lines += [f"Left      {line}" for line in done.left]
    lines += [f"Note      {line}" for line in done.notes]
    number = f"{len(done.adopted)} partition{'s' * (len(done.adopted) != 1)}"
    if not done.adopted:
        lines.append("Nothing to adopt.")
    elif done.done:
        lines.append(f"Adopted {number} of {done.table}.")
    else:
        lines.append(f"Nothing was changed. To adopt {number}: schema partitions adopt {done.table} --apply")
    return Answer(_values(done), "\n".join(lines))


def _line(done: PartitionAdoption, own: Adopted) -> str:
    low, high = own.low or "the first row", own.high or "the last row"
    line = f"{own.name}: from {low} to {high} UTC, about {own.rows:,} rows"
    if own.expires:
        line += f"; older than {done.keep}: the next maintain drops it"
    if own.comment:
        line += "; its comment is replaced"
    return line


def _values(done: PartitionAdoption) -> dict[str, Any]:
    return {
        "code": "ok",
        "database": done.database,
        "table": done.table,
        "done": done.done,
        "adopted": [asdict(own) | {"low": utc(own.low), "high": utc(own.high)} for own in done.adopted],
        "left": done.left,
        "notes": done.notes,
    }
