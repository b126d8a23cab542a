"""What `schema` prints, for people."""

import shlex
from dataclasses import asdict
from typing import Any

from app.migrations.commands.deploy import Deployment
from app.migrations.commands.dev import Development
from app.migrations.drift import Adopted, Check, Drift, Resolution
from app.migrations.run.ledger import Entry, Outcome
from app.migrations.run.status import RevisionStatus, Status, when
from app.migrations.snapshots import Difference, Plan, kind_of

_NEW_DATA = "begins a data revision that finishes them"


def of_status_as_values(found: Status) -> dict[str, Any]:
    """What `schema status --json` prints."""
    return {
        "code": found.code,
        "database": found.database,
        "at": found.at,
        "head": found.head,
        "running": asdict(found.holder) if found.holder else None,
        "problems": [{"code": problem.word, "message": str(problem)} for problem in found.problems],
        "notes": found.notes,
        "revisions": [asdict(revision) for revision in found.revisions],
        "accepted": [asdict(entry) for entry in found.accepted],
        "history": [asdict(entry) for entry in found.entries],
    }


def of_status(found: Status, *, history: bool) -> str:
    """What `schema status` prints."""
    at = ", ".join(found.at) or "no revision"
    pending = len(found.pending)
    lines = [
        f"Database  {found.database}",
        f"At        {at}" + (", the head" if found.at == [found.head] else ""),
        f"Pending   {pending or 'nothing'}",
    ]
    lines += [f"Running   {found.holder}"] if found.holder else []
    width = max((len(revision.title) for revision in found.revisions), default=0)
    lines += ["", *(_revision(revision, width) for revision in found.revisions)]
    if history:
        lines += ["", "History", *(f"  {_entry(entry)}" for entry in found.entries)]
    lines += ["", *map(of_accepted, found.accepted)] if found.accepted else []
    lines += [f"\nNote: {note}" for note in found.notes]
    lines += [f"\n{problem}" for problem in found.problems]
    return "\n".join(lines)


def of_deployment(done: Deployment) -> str:
    """What `schema deploy` prints."""
    if done.dry_run:
        names = "\n".join(f"  {revision}" for revision in done.applied)
        return f"Would apply to {done.database}:\n{names}" if names else f"Nothing to do: {done.database} is at head."
    copied = f"\nBackup: {done.backup}" if done.backup else ""
    count = len(done.applied)
    what = f"{count} revision{'s' if count != 1 else ''} applied in {done.seconds:.1f} s" if count else "Nothing to do"
    return f"{what}; the database is at {done.head}, and equals the models.{copied}"


def of_development(done: Development) -> str:
    """What `schema dev` prints."""
    if not done.written:
        return f"Nothing has changed: {done.database} is at {done.at}, and equals the models."
    files = ", ".join(str(file) for file in done.files)
    return f"Wrote and applied {files}; the database is at {done.at}, and equals the models."


def of_check(found: Check) -> str:
    """What `schema check` prints."""
    status, drift = found.status, found.drift
    at = drift.revision or ", ".join(status.at) or "no revision"
    right = f"what {at} makes" if status.at else "empty"
    lines = [f"Database  {status.database}", f"At        {at}{', the head' if status.at == [status.head] else ''}"]
    if drift.open:
        lines += ["", f"Not {right}:", *(f"  {difference}" for difference in drift.open), *ways_out(drift)]
    if found.wanted:
        lines += ["", "The models want:", *(f"  {wanted}" for wanted in found.wanted)]
        lines += ['Ways out: edit the model, or write the revision: alembic revision --autogenerate -m "…"']
    if not (drift.open or found.wanted):
        lines += ["", f"The database is {right}{_and_the_models(found)}."]
    lines += [f"Accepted  {difference}" for difference in drift.accepted]
    lines += [f"Note: {note}" for note in drift.notes]
    if status.pending:
        lines += [f"{len(status.pending)} pending; the models are compared at head: alembic upgrade head"]
    return "\n".join([*lines, *(f"\n{problem}" for problem in status.problems)])


def ways_out(drift: Drift) -> list[str]:
    """The three commands that end a drift; others end one of rows than of the schema."""
    schema = [difference for difference in drift.open if kind_of(difference.name) != "revision"]
    rows = [difference for difference in drift.open if kind_of(difference.name) == "revision"]
    adopted = "writes a revision that makes every other database like this one"
    reverted = "shows the SQL that makes this one what it should be; --yes runs it"
    accepted = "lets it be, for as long as it differs in exactly this way"
    return [
        *_table("Ways out:", schema, (adopted, reverted, accepted)),
        *_table(
            "Ways out of rows:", rows, (f"{_NEW_DATA}, for every database", "encrypts them, if it is secrets", accepted)
        ),
    ]


def _table(title: str, found: list[Difference], meanings: tuple[str, str, str]) -> list[str]:
    if not found:
        return []
    commands = ways(found[0])
    width = max(map(len, commands))
    return [title, *(f"  {command:<{width}}  {said}" for command, said in zip(commands, meanings, strict=True))]


def ways(difference: Difference) -> tuple[str, str, str]:
    """The commands that adopt, revert and accept a difference."""
    accept = f'schema check --accept {shlex.quote(difference.name)} --reason "…"'
    if kind_of(difference.name) == "revision":
        return 'alembic revision -m "…"', "schema secrets encrypt", accept
    return 'schema check --adopt -m "…"', "schema check --revert", accept


def of_check_as_values(found: Check) -> dict[str, Any]:
    """What `schema check --json` prints."""
    return {
        "code": found.code,
        "database": found.status.database,
        "at": found.status.at,
        "head": found.status.head,
        "pending": [revision.revision for revision in found.status.pending],
        "differences": [_values(difference) for difference in found.drift.open],
        "accepted": [_values(difference) for difference in found.drift.accepted],
        "models_want": found.wanted,
        "problems": [{"code": problem.word, "message": str(problem)} for problem in found.status.problems],
        "notes": found.drift.notes,
    }


def of_resolution(done: Resolution) -> str:
    """What `schema resolve` prints."""
    if not done.outcomes:
        what = "applied" if done.claim.applied else "not applied"
        return f"Nothing to resolve: {done.claim.revision} is {what} here, and no failure of it is open."
    said = {Outcome.ADOPTED: "applied", Outcome.ROLLED_BACK: "rolled back", Outcome.SKIPPED: "skipped"}
    lines = [f"{revision} is recorded as {said[outcome]}." for revision, outcome in done.outcomes.items()]
    lines += [f"Overruled: {wrong}" for wrong in done.contradictions]
    return "\n".join([*lines, f"The database is at {done.at or 'no revision'}."])


def of_accepted(entry: Entry) -> str:
    """One line of `schema status`."""
    return f"Accepted  {entry.subject}  {when(entry.started_at)}  {entry.by}\n      {entry.reason}"


def of_adopted(done: Adopted) -> tuple[dict[str, Any], str]:
    """What `schema check --adopt` prints, as values and as text."""
    lines = [
        f"Wrote {done.file}; it is recorded here as applied. Read it before you commit it.",
        f"Wrote {done.snapshot}; on a database of the other kind make the other: schema snapshot",
    ]
    lines += ["In the models:", *(f"  {edit}" for edit in done.model_edits)] if done.model_edits else []
    files = {"file": str(done.file), "snapshot": str(done.snapshot)}
    return {"code": "ok", "revision": done.revision, **files, "model_edits": done.model_edits}, "\n".join(lines)


def of_revert(plan: Plan, risks: list[str], *, done: bool) -> tuple[dict[str, Any], str]:
    """What `schema check --revert` prints, as values and as text."""
    values = {"code": "ok", "done": done, "statements": plan.all, "at_risk": risks}
    if not plan.all:
        return values, "Nothing to revert: the schema is what its revision makes."
    script = "".join(f"{statement};\n" for statement in plan.all)
    if done:
        return values, f"{script}\nDone."
    lines = [f"This would lose data: {risk}" for risk in risks]
    last = f"schema check --revert --yes{' --accept-data-loss' if risks else ''}"
    return values, "\n".join([script, *lines, f"Nothing was changed. To run it: {last}"])


def of_accept(lines: list[str]) -> tuple[dict[str, Any], str]:
    """What `schema check --accept` prints, as values and as text."""
    return {"code": "ok", "accepted": lines}, "\n".join(f"Accepted  {line}" for line in lines)


def _revision(revision: RevisionStatus, width: int) -> str:
    line = f"  {revision.state:<8}  {revision.revision:<14}  {revision.title:<{width}}"
    entry = revision.entry
    if entry is None:
        return f"{line}  {'before the ledger' if revision.state == 'applied' else ''}".rstrip()
    took = "" if entry.duration_ms is None else f"  {entry.duration_ms / 1000:.2f} s"
    reason = f"\n      {entry.reason}" if entry.reason else ""
    failure = f"\n      {entry.error}" if entry.error and revision.state != "applied" else ""
    return f"{line}  {when(entry.started_at)}{took}  {entry.by}{failure}{reason}"


def _entry(entry: Entry) -> str:
    took = "" if entry.duration_ms is None else f"  {entry.duration_ms / 1000:.2f} s"
    why = entry.error or entry.reason
    text = (
        f"{when(entry.started_at)}  {entry.direction:<9}  {entry.revision:<14}  {entry.outcome:<11}{took}  {entry.by}"
    )
    return f"{text}\n      {why}" if why else text


def _values(difference: Difference) -> dict[str, Any]:
    adopt, revert, accept = ways(difference)
    return {
        "object": difference.name,
        "attribute": difference.attribute or None,
        "expected": difference.expected,
        "found": difference.found,
        "text": str(difference),
        "ways_out": {"adopt": adopt, "revert": revert, "accept": accept},
    }


def _and_the_models(found: Check) -> str:
    return ", and equals the models" if found.status.at == [found.status.head] else ""
