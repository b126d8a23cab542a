"""The command `schema`: arguments in, text or JSON out; no logic."""

import inspect
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli import texts
from app.cli.output import json_text as _json
from app.cli.output import one_line as _one_line
from app.cli.secrets import secrets
from app.migrations import commands, terminal
from app.migrations.drift import Claim
from app.project import PROJECT

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(secrets, name="secrets", epilog="\b\nExample:\n  schema secrets status")

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON; times are UTC.")]
LockTimeout = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="How long to wait for another migration; SCHEMA_LOCK_TIMEOUT, or 60."),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the ledger for ever.")]


@app.callback()
def schema() -> None:
    """Looks after the database schema of the gateway and the auth service, beside the command alembic.

    The database is DATABASE_URL, from the environment or .env. Every command takes --json, and ends with 0 if all is in
    order, 1 after an error, 2 if usage or configuration is wrong, 3 if revisions are pending, 4 if a revision failed
    half-way and is to be resolved, 5 if the history was edited, or a revision is missing or unknown, 6 if the lock was
    not obtained, 7 if data would have been lost, 8 if the database isn't what it should be, 130 if interrupted.

    Example: schema deploy --dry-run && schema deploy && schema check
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

    Ends with 0 unless --exit-code asks for more: 3 if something is pending, 4 if a revision is to be resolved, 5 if the
    history is wrong.

    Example: schema status --exit-code
    """
    with _one_line(as_json=as_json):
        found = commands.read_status(PROJECT)
    typer.echo(_json(texts.of_status_as_values(found)) if as_json else texts.of_status(found, history=history))
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

    Whatever would lose data is refused with 7 before anything runs. Ends with 8 if the database isn't what the models
    say after that; the upgrade stays applied.

    Example: schema deploy --dry-run && schema deploy
    """
    with _one_line(as_json=as_json):
        if sql:
            typer.echo(commands.script(PROJECT))
            return
        live = sys.stderr.isatty()
        done = commands.deploy(PROJECT, dry_run=dry_run, backup=backup, lock_timeout=lock_timeout, live=live)
    values = asdict(done) | {"code": "ok", "backup": str(done.backup) if done.backup else None}
    typer.echo(_json(values) if as_json else texts.of_deployment(done))


@app.command()
def dev(
    *,
    message: Annotated[
        str | None, typer.Option("--message", "-m", metavar="TEXT", help="Name of the revision; else it is asked for.")
    ] = None,
    not_a_rename: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column, users.nick, or a table that is dropped, not renamed."),
    ] = None,
    remote: Annotated[bool, typer.Option("--remote", help="The database may be on another machine.")] = False,
    as_json: Json = False,
) -> None:
    """Applies what is pending, writes a revision for what was edited in the models, shows it and applies it.

    It changes the database that it looks at, so one on another machine is refused without --remote. A drop and an add
    of the same shape may be a rename: it asks, and where nobody can answer it refuses. The model may say so beforehand:
    mapped_column(..., info={"renamed_from": "nick"}).

    Example: schema dev -m "add user nicknames"
    """
    ask = terminal.ask if terminal.is_there() and not as_json else None
    with _one_line(as_json=as_json):
        done = commands.develop(
            PROJECT, message=message, ask=ask, not_a_rename=not_a_rename or (), remote=remote, live=sys.stderr.isatty()
        )
    typer.echo(_json(asdict(done) | {"code": "ok"}) if as_json else texts.of_development(done))


@app.command()
def docs(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only tell whether it is fresh; if not, end with 8.")] = False,
    as_json: Json = False,
) -> None:
    """Writes docs/schema.md, a diagram, a data dictionary and the history, from the models and the revisions.

    It asks no database. CI runs it with --check.

    Example: schema docs && git add docs/schema.md
    """
    with _one_line(as_json=as_json):
        file = commands.write_docs(PROJECT, check=check)
    said = f"{file} is fresh." if check else f"Wrote {file}."
    typer.echo(_json({"code": "ok", "file": str(file)}) if as_json else said)


@app.command()
def check(
    *,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Write a revision that makes every other database like this one.")
    ] = False,
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Name of that revision.")] = "",
    revert: Annotated[bool, typer.Option("--revert", help="Show the SQL that makes it what it should be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Run that SQL.")] = False,
    accept_data_loss: Annotated[
        bool, typer.Option("--accept-data-loss", help="Tables and columns that hold something may go.")
    ] = False,
    accept: Annotated[
        str | None, typer.Option(metavar="OBJECT", help='What may stay as it is: "column users.nick".')
    ] = None,
    reason: Reason = "",
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Compares the database with what its revision makes, and with the models; or ends a difference.

    Without an option it changes nothing. It ends with 8 if anything differs, with 3 if revisions are pending and
    nothing else is the matter. A difference has three ways out: --adopt it, --revert it, --accept it with a reason.
    What is somebody else's is declared as unmanaged in alembic.ini.

    Example: schema check --accept "index users.idx_by_hand" --reason "the analysts need it until May"
    """
    ways = {"--adopt": adopt, "--revert": revert, "--accept": accept is not None}
    _must_go_together(ways, ("--message", message, "--adopt"), ("--reason", reason, "--accept"))
    _must_go_together(ways, ("--yes", yes, "--revert"), ("--accept-data-loss", accept_data_loss, "--revert"))
    with _one_line(as_json=as_json):
        if adopt:
            values, said = texts.of_adopted(commands.adopt(PROJECT, message, lock_timeout=lock_timeout))
        elif revert:
            values, said = _revert(yes=yes, accept_data_loss=accept_data_loss, lock_timeout=lock_timeout)
        elif accept is not None:
            values, said = texts.of_accept(commands.accept(PROJECT, accept, reason, lock_timeout=lock_timeout))
        else:
            found = commands.check(PROJECT)
            values, said = texts.of_check_as_values(found), texts.of_check(found)
    typer.echo(_json(values) if as_json else said)
    raise typer.Exit(0 if any(ways.values()) else found.exit_code)


def _must_go_together(ways: dict[str, bool], *options: tuple[str, object, str]) -> None:
    if sum(ways.values()) > 1:
        raise typer.BadParameter("say one of --adopt, --revert and --accept")
    for option, given, way in options:
        if given and not ways[way]:
            raise typer.BadParameter(f"{option} goes with {way}")


def _revert(*, yes: bool, accept_data_loss: bool, lock_timeout: float | None) -> tuple[dict[str, Any], str]:
    if not yes:
        return texts.of_revert(*commands.plan_revert(PROJECT), done=False)
    done = commands.revert(PROJECT, accept_data_loss=accept_data_loss, lock_timeout=lock_timeout)
    return texts.of_revert(done, [], done=True)


@app.command()
def snapshot(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only tell whether the files are fresh.")] = False,
    as_json: Json = False,
) -> None:
    """Writes what the schema looks like at each revision, to be committed. Others compare databases with it.

    The kind of database is that of DATABASE_URL; the revisions run in a scratch database, which is dropped again. After
    writing a revision, run it for both kinds. --check ends with 1 if a file is stale, and names it.

    Example: DATABASE_URL=sqlite:// schema snapshot && python -m tests.postgres schema snapshot
    """
    with _one_line(as_json=as_json):
        files = commands.stale_snapshots(PROJECT) if check else commands.snapshot(PROJECT)
    code = "stale" if check and files else "ok"
    said = f"{len(files)} snapshots written." if not check else "The snapshots are fresh."
    if code == "stale":
        said = "\n".join([*(f"stale: {file}" for file in files), "Make them anew, and commit them: schema snapshot"])
    typer.echo(_json({"code": code, "files": [str(file) for file in files]}) if as_json else said)
    raise typer.Exit(1 if code == "stale" else 0)


@app.command()
def resolve(
    revision: Annotated[str, typer.Argument(help="Its id, YYYYMMDDHHMMSS.")],
    *,
    applied: Annotated[bool, typer.Option("--applied", help="All of it is in the database.")] = False,
    rolled_back: Annotated[
        bool, typer.Option("--rolled-back", help="Nothing of it is in the database; it may run again.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Believe it, whatever the database looks like; needs a reason.")
    ] = False,
    reason: Reason = "",
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Records what became of a revision that failed half-way, was put right by hand, or whose code was edited.

    The claim is proved first: the schema must be what the snapshot of the revision says, or that of the one before, and
    its verify() must have nothing left to do. A claim that doesn't hold writes nothing, and the answer says what
    contradicts it, and ends with 4. With --force a revision that isn't there counts as skipped, which the status shows
    for ever.

    Example: schema resolve 20260301120000 --rolled-back
    """
    if applied == rolled_back:
        raise typer.BadParameter("say either --applied or --rolled-back")
    with _one_line(as_json=as_json):
        done = commands.resolve(PROJECT, Claim(revision, applied, force, reason), lock_timeout=lock_timeout)
    values = {"code": "ok", "at": done.at, "outcomes": done.outcomes, "overruled": done.contradictions}
    typer.echo(_json(values) if as_json else texts.of_resolution(done))


def _like_man_pages(commands: typer.Typer) -> None:
    """Takes the example out of each docstring, where it would be wrapped as prose, and puts it last."""
    for group in commands.registered_groups:
        assert group.typer_instance is not None
        _like_man_pages(group.typer_instance)
    infos: list[Any] = [*commands.registered_commands, commands.registered_callback]
    for info in [info for info in infos if info is not None]:
        text, _, example = (inspect.getdoc(info.callback) or "").partition("\n\nExample: ")
        info.help = text
        info.short_help = " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".") + "."
        info.epilog = "\b\nExample:\n  " + " ".join(example.split())


_like_man_pages(app)


def main() -> None:
    """Runs the command."""
    app()
