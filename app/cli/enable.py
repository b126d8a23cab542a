"""`schema partitions enable`: the arguments, and the answer."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.options import Json, LockTimeout
from app.cli.output import Answer, errors_in_one_line, show
from app.migrations import commands
from app.migrations.partitions import ConversionStep, Plan

_SHORT_SECONDS = 2
_LONG_SECONDS = 120
_MEGABYTE = 1_000_000
_WIDTH = 9


def enable(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="A table that the models declare as partitioned.")],
    apply: Annotated[bool, typer.Option("--apply", help="Do it; else it is only shown.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Make it plain again, while later partitions are empty.")
    ] = False,
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Converts a table to a partitioned one, without copying a row, while the service goes on working.

    The table becomes the first partition of a new one, up to a bound that lies ahead; partitions are made from there
    on. Without --apply it changes nothing, and shows the steps, their locks and about how long they take, and what
    changes for an application. What can't be carried over is refused before the first step. A run that was killed is
    finished by the same command. Ends with 1 if something is in the way.

    Example: schema partitions enable request_logs && schema partitions enable request_logs --apply
    """
    with errors_in_one_line(as_json=as_json):
        if apply:
            convert = commands.undo_partitions if undo else commands.enable_partitions
            done = convert(context.obj, table, lock_timeout=lock_timeout)
        else:
            done = (commands.plan_undo if undo else commands.plan_enable)(context.obj, table)
    show(answer(done), as_json=as_json)


def answer(done: Plan) -> Answer:
    """Answers `schema partitions enable`."""
    lines = _outcome(done) if done.done else _plan(done)
    return Answer(_values(done), "\n".join(lines), int(done.code == "refused"))


def _plan(done: Plan) -> list[str]:
    lines = [_named("Database", done.database), _named("Table", f"{done.table}, by ranges of {done.by}")]
    if done.estimate is not None:
        lines.append(_named("Size", _size(done)))
    if done.bound is not None:
        lines.append(_named("Bound", f"{done.bound} UTC: the end of the first partition, which is the table of today"))
    for number, step in enumerate(done.steps, 1):
        lines += ["", f"{number}. {step.title}{' (done)' if step.done else ''}", *_details(step)]
    if done.changes:
        lines += ["", "What changes for an application:", *(f"  {line}" for line in done.changes)]
    return [*lines, "", *_verdict(done)]


def _details(step: ConversionStep) -> list[str]:
    if step.done:
        return []
    lines = [f"   {statement};" for statement in step.statements]
    takes = _seconds(step.seconds)
    return [*lines, f"   Lock: {step.lock}", f"   Waits for it: {step.waits}", f"   Takes {takes}"]


def _verdict(done: Plan) -> list[str]:
    state = "plain" if done.is_undo else "partitioned"
    if done.code == "nothing":
        return [f"{done.table} is {state}: nothing to do."]
    if done.refusals:
        return ["In the way:", *(f"  {line}" for line in done.refusals), "", "Nothing was changed."]
    undo = " --undo" if done.is_undo else ""
    return [f"Nothing was changed. To do it: schema partitions enable {done.table}{undo} --apply"]


def _outcome(done: Plan) -> list[str]:
    state = "plain again" if done.is_undo else "partitioned"
    made = [_named("Made", name) for name in done.created]
    if done.code == "nothing":
        verdict = f"{done.table} is {'plain' if done.is_undo else state}: nothing to do."
        return [*made, verdict]
    held = f", its tables locked for {done.held_seconds * 1000:.0f} ms" if done.held_seconds else ""
    return [f"{done.table} is {state}, in {done.seconds:.1f} s{held}.", *made]


def _size(done: Plan) -> str:
    estimate = done.estimate
    assert estimate is not None
    heap, indexes = (f"{size / _MEGABYTE:,.0f} MB" for size in (estimate.heap, estimate.indexes))
    source = "from a sample of it" if estimate.is_sampled else "from its size alone"
    takes = f"takes {_seconds(estimate.seconds)}, {source}"
    return f"about {estimate.rows:,} rows, {heap}, indexes {indexes}; {takes}"


def _seconds(seconds: float) -> str:
    if seconds < _SHORT_SECONDS:
        return "a moment"
    return f"about {seconds:.0f} s" if seconds < _LONG_SECONDS else f"about {seconds / 60:.0f} min"


def _named(name: str, text: str) -> str:
    return f"{name:<{_WIDTH}} {text}"


def _values(done: Plan) -> dict[str, Any]:
    return {
        "code": done.code,
        "database": done.database,
        "table": done.table,
        "by": done.by,
        "undo": done.is_undo,
        "done": done.done,
        "bound": done.bound.isoformat() + "Z" if done.bound is not None else None,
        "estimate": asdict(done.estimate) if done.estimate is not None else None,
        "steps": [asdict(step) for step in done.steps],
        "changes": done.changes,
        "refusals": done.refusals,
        "created": done.created,
        "seconds": round(done.seconds, 2),
        "held_seconds": round(done.held_seconds, 4),
    }
