"""Results of the commands as answers: the JSON and the text of each stand together."""

import datetime as dt
import shlex
from dataclasses import asdict
from typing import Any

from app.cli.output import Answer
from app.migrations.ahead import Ahead
from app.migrations.commands import Deployment, Development, WrittenRevision
from app.migrations.drift import Check, Drift, Resolution
from app.migrations.errors import MigrationError
from app.migrations.run import Entry, Outcome, RevisionStatus, Status, when
from app.migrations.snapshots import Difference, Plan, kind_of

_EQUALS = {"whole": "equals the models", "partly": "differs from the models in nothing that was compared"}


def status(status: Status, *, history: bool = False, exit_code: bool = False) -> Answer:
    """Answers `schema status`."""
    values = {
        "code": status.code,
        "database": status.database,
        "at": status.at,
        "head": status.head,
        "running": asdict(status.holder) if status.holder else None,
        "problems": [_problem(problem) for problem in status.problems],
        "partitions": [_ahead(ahead) for ahead in status.ahead],
        "running_out": [_problem(problem) for problem in status.running_out],
        "notes": status.notes,
        "revisions": [asdict(revision) for revision in status.revisions],
        "accepted": [asdict(entry) for entry in status.accepted],
        "history": [asdict(entry) for entry in status.entries],
    }
    lines = [*_heading(status), f"Pending   {len(status.pending) or 'nothing'}"]
    lines += [f"Running   {status.holder}"] if status.holder else []
    lines += [f"Ahead     {ahead}" for ahead in status.ahead]
    width = max((len(_title(revision)) for revision in status.revisions), default=0)
    lines += ["", *(_revision(revision, width) for revision in status.revisions)]
    lines += ["", "History", *(f"  {_entry(entry)}" for entry in status.entries)] if history else []
    lines += ["", *(_accepted(entry) for entry in status.accepted)] if status.accepted else []
    lines += [f"\nNote: {note}" for note in status.notes]
    lines += [f"\n{problem}" for problem in (*status.problems, *status.running_out)]
    return Answer(values, "\n".join(lines), status.exit_code if exit_code else 0)


def _problem(problem: MigrationError) -> dict[str, str]:
    return {"code": problem.word, "message": str(problem)}


def _ahead(ahead: Ahead) -> dict[str, Any]:
    until = ahead.until.replace(tzinfo=dt.UTC) if ahead.until is not None else None
    return asdict(ahead) | {"until": until, "is_low": ahead.is_low}


def _heading(status: Status) -> list[str]:
    at = ", ".join(status.at) or "no revision"
    return [f"Database  {status.database}", f"At        {at}{', the head' if status.at == [status.head] else ''}"]


def _title(revision: RevisionStatus) -> str:
    """Returns the title of a revision; if it is pending, with its phase."""
    return revision.title if revision.applied or not revision.phase else f"{revision.title} ({revision.phase})"


def _revision(revision: RevisionStatus, width: int) -> str:
    line = f"  {revision.state:<8}  {revision.revision:<14}  {_title(revision):<{width}}"
    entry = revision.entry
    if entry is None:
        return f"{line}  {'before the ledger' if revision.state == 'applied' else ''}".rstrip()
    failure = f"\n      {entry.error}" if entry.error and revision.state != "applied" else ""
    reason = f"\n      {entry.reason}" if entry.reason else ""
    return f"{line}  {when(entry.started_at)}{_seconds(entry)}  {entry.by}{failure}{reason}"


def _entry(entry: Entry) -> str:
    attempt = f"{entry.direction:<9}  {entry.revision:<14}  {entry.newer or entry.outcome:<11}"
    reason = ": ".join(filter(None, [entry.subject, entry.error or entry.reason]))
    return f"{when(entry.started_at)}  {attempt}{_seconds(entry)}  {entry.by}" + (f"\n      {reason}" if reason else "")


def _seconds(entry: Entry) -> str:
    return "" if entry.duration_ms is None else f"  {entry.duration_ms / 1000:.2f} s"


def _accepted(entry: Entry) -> str:
    return f"Accepted  {entry.subject}  {when(entry.started_at)}  {entry.by}\n      {entry.reason}"


def deployment(done: Deployment) -> Answer:
    """Answers `schema deploy`."""
    if done.dry_run:
        names = "".join(f"\n  {revision}" for revision in done.applied)
        place = done.at or "no revision" if done.stopped else "head"
        text = f"Would apply to {done.database}:{names}" if names else f"Nothing to do: {done.database} is at {place}."
        text += f"\n{done.stopped}" if done.stopped else ""
    else:
        count = len(done.applied)
        applied = f"{count} revision{'s' if count > 1 else ''} applied in {done.seconds:.1f} s"
        equals = _EQUALS.get(done.models_compared, "is compared with the models when it is at head")
        text = f"{applied if count else 'Nothing to do'}; the database is at {done.at or 'no revision'}, and {equals}."
        text += f"\nBackup: {done.backup}" if done.backup else ""
        text += "".join(f"\nNote: {note}" for note in done.notes)
    return Answer(asdict(done) | {"code": "ok"}, text)


def sql(script: str) -> Answer:
    """Answers `schema deploy --sql`."""
    return Answer({"code": "ok", "sql": script}, script)


def development(done: Development) -> Answer:
    """Answers `schema dev`."""
    files = ", ".join(map(str, done.files))
    subject = f"Wrote and applied {files}; the database" if files else f"Nothing has changed: {done.database}"
    notes = "".join(f"\nNote: {note}" for note in done.notes)
    if done.findings:
        number = f"{len(done.findings)} finding{'s' * (len(done.findings) != 1)}"
        notes += f"\n{number} in it, to be settled before others run it: schema lint {' '.join(done.written)}"
    text = f"{subject} is at {done.at}, and {_EQUALS[done.models_compared]}.{notes}"
    return Answer(asdict(done) | {"code": "ok"}, text)


def page(file: object, *, check: bool) -> Answer:
    """Answers `schema docs`."""
    return Answer({"code": "ok", "file": file}, f"{file} is fresh." if check else f"Wrote {file}.")


def snapshots(files: list[Any], *, check: bool) -> Answer:
    """Answers `schema snapshot`: the files that were written, or with `check` those that are stale."""
    if not check:
        return Answer({"code": "ok", "files": files}, f"{len(files)} snapshots written.")
    if not files:
        return Answer({"code": "ok", "files": []}, "The snapshots are fresh.")
    lines = [*(f"stale: {file}" for file in files), "Make them anew, and commit them: schema snapshot"]
    return Answer({"code": "stale", "files": files}, "\n".join(lines), exit_code=1)


def check(check: Check) -> Answer:
    """Answers `schema check`."""
    status, drift = check.status, check.drift
    notes = [*drift.notes, *check.notes_on_models]
    values = {
        "code": check.code,
        "database": status.database,
        "at": status.at,
        "head": status.head,
        "pending": [revision.revision for revision in status.pending],
        "differences": [_values(difference) for difference in drift.open],
        "accepted": [_values(difference) for difference in drift.accepted],
        "models_want": check.wanted,
        "problems": [{"code": problem.word, "message": str(problem)} for problem in status.problems],
        "models_compared": check.models_compared,
        "notes": notes,
        "not_read": check.not_read,
    }
    expected = f"what {drift.revision or ', '.join(status.at)} makes" if status.at else "empty"
    models = f", and {_EQUALS[check.models_compared]}" if status.at == [status.head] else ""
    lines = _heading(status)
    if drift.open:
        lines += ["", f"Not {expected}:", *(f"  {difference}" for difference in drift.open), *ways_out(drift)]
    if check.wanted:
        lines += ["", "The models want:", *(f"  {wanted}" for wanted in check.wanted)]
        lines += ['Ways out: edit the model, or write the revision: alembic revision --autogenerate -m "…"']
    if not (drift.open or check.wanted):
        lines += ["", f"The database is {expected}{models}."]
    lines += [f"Accepted  {difference}" for difference in drift.accepted]
    lines += [f"Note: {note}" for note in notes]
    if status.pending:
        lines += [f"{len(status.pending)} pending; the models are compared at head: alembic upgrade head"]
    lines += [f"\n{problem}" for problem in (*status.problems, *status.running_out)]
    return Answer(values, "\n".join(lines), check.exit_code)


def ways_out(drift: Drift) -> list[str]:
    """Returns the three commands that end a drift of the schema, and those that end one of rows."""
    rows = [difference for difference in drift.open if kind_of(difference.name) == "revision"]
    schema = [difference for difference in drift.open if difference not in rows]
    written = "writes a revision that makes every other database like this one"
    reverted = "shows the SQL that makes this one what it should be; --yes runs it"
    finished = "begins a data revision that finishes them, for every database"
    encrypted = "encrypts them, if it is secrets"
    return _ways_out("Ways out:", schema, written, reverted) + _ways_out("Ways out of rows:", rows, finished, encrypted)


def _ways_out(title: str, differences: list[Difference], written: str, reverted: str) -> list[str]:
    if not differences:
        return []
    commands = _ways(differences[0])
    width = max(map(len, commands))
    meanings = written, reverted, "lets it be, for as long as it differs in exactly this way"
    pairs = zip(commands, meanings, strict=True)
    return [title, *(f"  {command:<{width}}  {meaning}" for command, meaning in pairs)]


def _ways(difference: Difference) -> tuple[str, str, str]:
    """Returns the commands that write a revision for, revert and accept a difference."""
    accept = f'schema check --accept {shlex.quote(difference.name)} --reason "…"'
    if kind_of(difference.name) == "revision":
        return 'alembic revision -m "…"', "schema secrets encrypt", accept
    return 'schema check --write-revision -m "…"', "schema check --revert", accept


def _values(difference: Difference) -> dict[str, Any]:
    return {
        "object": difference.name,
        "attribute": difference.attribute or None,
        "expected": difference.expected,
        "found": difference.found,
        "text": str(difference),
        "ways_out": dict(zip(("write_revision", "revert", "accept"), _ways(difference), strict=True)),
    }


def written_revision(done: WrittenRevision) -> Answer:
    """Answers `schema check --write-revision`."""
    other = "PostgreSQL" if done.snapshot.parent.name == "sqlite" else "SQLite"
    lines = [
        f"Wrote {done.file}; it is recorded here as applied. Read it before you commit it.",
        f"Wrote {done.snapshot}. Make the snapshot for {other}, and commit both: {done.make_snapshots}",
    ]
    lines += ["In the models:", *(f"  {edit}" for edit in done.model_edits)] if done.model_edits else []
    return Answer({"code": "ok"} | asdict(done), "\n".join(lines))


def reverted(plan: Plan, risks: list[str], *, done: bool) -> Answer:
    """Answers `schema check --revert`."""
    script = "".join(f"{statement};\n" for statement in plan.all)
    lines = [f"This would lose data: {risk}" for risk in risks]
    command = f"schema check --revert --yes{' --accept-data-loss' if risks else ''}"
    lines += ["Done." if done else f"Nothing was changed. To run it: {command}"]
    text = "\n".join([script, *lines]) if script else "Nothing to revert: the schema is what its revision makes."
    return Answer({"code": "ok", "done": done, "statements": plan.all, "at_risk": risks}, text)


def accepted(lines: list[str]) -> Answer:
    """Answers `schema check --accept`."""
    return Answer({"code": "ok", "accepted": lines}, "\n".join(f"Accepted  {line}" for line in lines))


def resolution(done: Resolution) -> Answer:
    """Answers `schema resolve`."""
    values = {"code": "ok", "at": done.at, "outcomes": done.outcomes, "overruled": done.contradictions}
    if not done.outcomes:
        here = f"{done.claim.revision} is {'applied' if done.claim.applied else 'not applied'} here"
        return Answer(values, f"Nothing to resolve: {here}, and no failure of it is open.")
    words = {Outcome.ADOPTED: "applied", Outcome.ROLLED_BACK: "rolled back", Outcome.SKIPPED: "skipped"}
    lines = [f"{revision} is recorded as {words[outcome]}." for revision, outcome in done.outcomes.items()]
    lines += [f"Overruled: {contradiction}" for contradiction in done.contradictions]
    return Answer(values, "\n".join([*lines, f"The database is at {done.at or 'no revision'}."]))
