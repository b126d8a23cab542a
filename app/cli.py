"""The command `schema`: arguments in, text or JSON out; no logic."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app.ciphers import CipherError, RawKey
from app.migrations import commands
from app.migrations.commands import Deployment
from app.migrations.errors import MigrationError
from app.migrations.ledger import Outcome
from app.migrations.status import RevisionStatus, Status, when

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
secrets = typer.Typer(no_args_is_help=True, help="Keys, and the secrets that are encrypted with them.")
app.add_typer(secrets, name="secrets")

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON; times are UTC.")]
LockTimeout = Annotated[
    float | None, typer.Option(min=0, help="Seconds to wait for another migration; SCHEMA_LOCK_TIMEOUT, or 60.")
]


@app.callback()
def schema() -> None:
    """Looks after the database schema of the gateway and the auth service, beside the command alembic.

    The database is DATABASE_URL, from the environment or .env. Exit codes: 0 in order, 1 error, 2 usage or
    configuration, 3 pending revisions, 4 failed revision to resolve, 5 history edited, missing or unknown, 6 lock not
    obtained, 8 drift.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("app.migrations")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)


@app.command()
def status(
    *,
    history: Annotated[bool, typer.Option(help="Show every attempt in the ledger as well.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 3, 4 or 5 if the database isn't in order.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tells what the database is at, what is pending, what went wrong. Changes nothing.

    Example: schema status --exit-code
    """
    with _one_line(as_json=as_json):
        found = commands.read_status()
    typer.echo(_json(_status_values(found)) if as_json else _status_text(found, history=history))
    raise typer.Exit(found.exit_code if exit_code else 0)


@app.command()
def deploy(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would run.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Only print the SQL that would run.")] = False,
    backup: Annotated[
        Path | None, typer.Option(help="SQLite: copy the database to this new file before anything runs.")
    ] = None,
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Brings the database to head, as alembic upgrade head does, and then compares it with the models.

    Example: schema deploy --dry-run && schema deploy
    """
    with _one_line(as_json=as_json):
        if sql:
            typer.echo(commands.script())
            return
        live = sys.stderr.isatty()
        done = commands.deploy(dry_run=dry_run, backup=backup, lock_timeout=lock_timeout, live=live)
    values = asdict(done) | {"code": "ok", "backup": str(done.backup) if done.backup else None}
    typer.echo(_json(values) if as_json else _deployment_text(done))


@app.command()
def resolve(
    revision: Annotated[str, typer.Argument(help="The revision.")],
    *,
    applied: Annotated[bool, typer.Option("--applied", help="All of it is in the database.")] = False,
    rolled_back: Annotated[
        bool, typer.Option("--rolled-back", help="Nothing of it is in the database; it may run again.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="I have looked; take my word.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger for ever.")] = "",
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Records what became of a revision that failed half-way, or that its code was edited for good reason.

    Example: schema resolve 20260301120000 --rolled-back --force --reason "index dropped by hand"
    """
    if applied == rolled_back:
        raise typer.BadParameter("say either --applied or --rolled-back")
    if not force:
        raise typer.BadParameter("this can't be proved yet: look at the database yourself, then say --force")
    outcome = Outcome.APPLIED if applied else Outcome.ROLLED_BACK
    with _one_line(as_json=as_json):
        commands.resolve(revision, outcome, reason=reason, lock_timeout=lock_timeout)
    said = f"{revision} is recorded as {'applied' if applied else 'rolled back'}."
    typer.echo(_json({"code": "ok", "revision": revision, "outcome": outcome}) if as_json else said)


@secrets.command()
def keygen(
    *,
    from_hex: Annotated[
        bool, typer.Option("--from-hex", help="Convert a key of 64 hexadecimal digits, read from standard input.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prints a fresh key of each kind, as lines for the environment or .env; keeps nothing.

    Example: schema secrets keygen >> .env
    """
    keys = {"ENCRYPTION_KEY": _from_hex() if from_hex else RawKey.generate()}
    if not from_hex:
        keys["GITHUB_TOKEN_ENCRYPTION_KEY"] = RawKey.generate()
    typer.echo(_json(keys) if as_json else "\n".join(f"{name}={key}" for name, key in keys.items()))


def main() -> None:
    """Runs the command."""
    app()


@contextmanager
def _one_line(*, as_json: bool) -> Iterator[None]:
    try:
        yield
    except MigrationError as error:
        if as_json:
            typer.echo(_json({"code": error.code, "message": str(error)}))
        typer.echo(f"FAILED: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("FAILED: interrupted; what had finished stays applied.", err=True)
        raise typer.Exit(130) from None


def _from_hex() -> str:
    import base64

    text = sys.stdin.read() if not sys.stdin.isatty() else typer.prompt("Hexadecimal key", hide_input=True, err=True)
    try:
        key = base64.urlsafe_b64encode(bytes.fromhex(text.strip())).decode()
        RawKey.from_base64(key)
    except (ValueError, CipherError):
        typer.echo("That isn't a key of 64 hexadecimal digits.", err=True)
        raise typer.Exit(2) from None
    return key


def _json(values: object) -> str:
    def plain(value: object) -> str:
        return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)

    return json.dumps(values, indent=2, default=plain)


def _status_values(found: Status) -> dict[str, Any]:
    return {
        "code": found.code,
        "database": found.database,
        "at": found.at,
        "head": found.head,
        "running": asdict(found.holder) if found.holder else None,
        "problems": [{"code": problem.code, "message": str(problem)} for problem in found.problems],
        "notes": found.notes,
        "revisions": [asdict(revision) for revision in found.revisions],
        "history": [asdict(entry) for entry in found.entries],
    }


def _status_text(found: Status, *, history: bool) -> str:
    at = ", ".join(found.at) or "no revision"
    pending = len(found.pending)
    lines = [
        f"Database  {found.database}",
        f"At        {at}" + (", the head" if found.at == [found.head] else ""),
        f"Pending   {pending or 'nothing'}",
    ]
    lines += [f"Running   {found.holder}"] if found.holder else []
    width = max((len(revision.title) for revision in found.revisions), default=0)
    lines += ["", *(_revision_text(revision, width) for revision in found.revisions)]
    if history:
        lines += ["", "History", *(f"  {_entry_text(entry)}" for entry in found.entries)]
    lines += [f"\nNote: {note}" for note in found.notes]
    lines += [f"\n{problem}" for problem in found.problems]
    return "\n".join(lines)


def _revision_text(revision: RevisionStatus, width: int) -> str:
    line = f"  {revision.state:<8}  {revision.revision:<14}  {revision.title:<{width}}"
    entry = revision.entry
    if entry is None:
        return f"{line}  {'before the ledger' if revision.state == 'applied' else ''}".rstrip()
    took = "" if entry.duration_ms is None else f"  {entry.duration_ms / 1000:.2f} s"
    reason = f"\n      {entry.reason}" if entry.reason else ""
    failure = f"\n      {entry.error}" if entry.error and revision.state != "applied" else ""
    return f"{line}  {when(entry.started_at)}{took}  {entry.by}{failure}{reason}"


def _entry_text(entry: Any) -> str:
    took = "" if entry.duration_ms is None else f"  {entry.duration_ms / 1000:.2f} s"
    why = entry.error or entry.reason
    text = (
        f"{when(entry.started_at)}  {entry.direction:<9}  {entry.revision:<14}  {entry.outcome:<11}{took}  {entry.by}"
    )
    return f"{text}\n      {why}" if why else text


def _deployment_text(done: Deployment) -> str:
    if done.dry_run:
        names = "\n".join(f"  {revision}" for revision in done.applied)
        return f"Would apply to {done.database}:\n{names}" if names else f"Nothing to do: {done.database} is at head."
    copied = f"\nBackup: {done.backup}" if done.backup else ""
    count = len(done.applied)
    what = f"{count} revision{'s' if count != 1 else ''} applied in {done.seconds:.1f} s" if count else "Nothing to do"
    return f"{what}; the database is at {done.head}, and equals the models.{copied}"


if __name__ == "__main__":
    main()
