"""`schema adopt`: the arguments, and the answer."""

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.cli.options import Json, LockTimeout
from app.cli.output import Answer, errors_in_one_line, show
from app.migrations import commands
from app.migrations.adopt import Adoption, Group, Wishes

_TITLES = {
    Group.RENAMED: "The same under another name, or written otherwise:",
    Group.REPAIRED: "Repaired by steps that only add or widen:",
    Group.ACCEPTED: "Accepted, with the reason that is recorded:",
    Group.PERSON: "Need a decision:",
}


def adopt(
    context: typer.Context,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; else it is only shown.")] = False,
    unmanaged: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A table, audit_*, or a column, users.legacy, of another program."),
    ] = None,
    contract: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Take the later step of an accepted difference: users.nick, or *."),
    ] = None,
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Takes over a database that has our tables and no history: made by hand, by create_all, or by another tool.

    Without --apply it changes nothing, and shows what differs from head, in four groups, and the SQL that would run.
    The running service goes on working: nothing is dropped that is unknown here, no row is rewritten, and nothing that
    its statements write is refused afterwards. Ends with 8 if a difference needs a decision. A run that was killed is
    finished by the same command.

    Example: schema adopt && schema adopt --apply
    """
    with errors_in_one_line(as_json=as_json):
        wishes = Wishes(unmanaged or (), contract or ())
        if apply:
            done = commands.adopt(context.obj, wishes=wishes, lock_timeout=lock_timeout, live=sys.stderr.isatty())
        else:
            done = commands.plan_adoption(context.obj, wishes=wishes)
    show(answer(done), as_json=as_json)


def answer(done: Adoption) -> Answer:
    """Answers `schema adopt`."""
    lines = _outcome(done) if done.done else [*_plan(done), *_verdict(done)]
    return Answer(_values(done), "\n".join(lines), 8 if done.look.code == "person" and not done.done else 0)


def _plan(done: Adoption) -> list[str]:
    look = done.look
    lines = [f"Database  {done.database}", f"Head      {look.head}"]
    for group, title in _TITLES.items():
        if findings := look.explanation.of(group):
            lines += ["", title, *_without_comments([*map(str, findings)], ": gets head's comment.", "comments")]
    if look.steps.transaction:
        statements = [_indented(statement) for statement in look.steps.transaction]
        lines += ["", "In one transaction:", *_without_comments(statements, "COMMENT ON ", "COMMENT ON …;")]
    if look.steps.builds:
        statements = [statement for build in look.steps.builds for statement in build.statements]
        lines += [
            "",
            "Then, one by one, while others read and write:",
            *(f"  {statement};" for statement in statements),
        ]
    if look.costs:
        lines += ["", "These read a table:", *(f"  {_cost(cost)}" for cost in look.costs)]
    if look.due:
        lines += ["", "Then these data revisions run, page by page:"]
        lines += [f"  {revision}: {_rows(rows)}" for revision, rows in look.due.items()]
    return lines


def _without_comments(lines: list[str], sign: str, name: str) -> list[str]:
    """Returns the lines, with one for all that are about comments: there may be hundreds."""
    others = [f"  {line}" for line in lines if sign not in line]
    number = len(lines) - len(others)
    return [*others, f"  and {number} {name}"] if number else others


def _indented(statement: str) -> str:
    return statement.replace("\n", "\n  ") + ";"


def _cost(cost: Any) -> str:
    size = f", {cost.bytes / 1_000_000:,.0f} MB" if cost.bytes is not None else ""
    return f"{cost.what}: {cost.table}, about {cost.rows:,} rows{size}: {_seconds(cost.seconds)}"


def _seconds(seconds: float) -> str:
    if seconds < 2:  # noqa: PLR2004 - of no interest then
        return "a moment"
    return f"about {seconds:.0f} s" if seconds < 120 else f"about {seconds / 60:.0f} min"  # noqa: PLR2004


def _rows(rows: int | None) -> str:
    return "its rows are counted once its table is there" if rows is None else f"{rows:,} row{'s' * (rows != 1)} to do"


def _verdict(done: Adoption) -> list[str]:
    look = done.look
    if look.code == "person":
        return ["", "Nothing was changed, and nothing will be before the decisions are made."]
    lines = ["", *(f"Missing rights: {line}" for line in look.rights)] if look.rights else [""]
    if look.is_adopted:
        return [*lines, f"The database is at head ({look.head}): nothing to adopt."]
    return [*lines, "Nothing was changed. To do it: schema adopt --apply"]


def _outcome(done: Adoption) -> list[str]:
    look = done.look
    if look.is_adopted:
        lines = [f"The database is at head ({look.head}): nothing to adopt."]
    else:
        counts = [f"{len(look.explanation.of(group))} {group}" for group in Group if group is not Group.PERSON]
        lines = [f"Adopted {done.database} at {look.head} in {done.seconds:.1f} s: {', '.join(counts)}."]
    width = max((len(proof.table) for proof in done.proofs), default=0)
    for proof in done.proofs:
        before, after = proof.before, proof.after
        counted = f"{before.rows:,}" if before.rows == after.rows else f"{before.rows:,} -> {after.rows:,}"
        rows = f"{counted} row{'s' * (after.rows != 1)}"
        checksum = f", checksum of {before.of} {before.checksum}" if before.checksum else ""
        lines.append(f"  {proof.table:<{width}}  {proof.state}  {rows}{checksum}")
    lines += [f"Accepted  {finding}" for finding in look.explanation.of(Group.ACCEPTED)]
    lines += [f"Filled    {revision}" for revision in done.filled]
    return lines


def _values(done: Adoption) -> dict[str, Any]:
    look = done.look
    return {
        "code": "ok" if done.done else look.code,
        "database": done.database,
        "head": look.head,
        "done": done.done,
        "findings": [asdict(finding) for finding in look.explanation.findings],
        "transaction": look.steps.transaction,
        "builds": [asdict(build) for build in look.steps.builds],
        "copied": look.steps.copied,
        "costs": [asdict(cost) for cost in look.costs],
        "due": look.due,
        "rights": look.rights,
        "tables": [proof.as_values for proof in done.proofs],
        "filled": done.filled,
        "seconds": round(done.seconds, 2),
    }
