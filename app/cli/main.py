"""The command `schema`: reads arguments, calls the engine, prints text or JSON; holds no logic."""

import inspect
import sys
from typing import Annotated, Any

import typer

from app.cli import texts
from app.cli.adopt import adopt
from app.cli.lint import lint
from app.cli.options import (
    Accept,
    AcceptDataLoss,
    Backup,
    ExitCode,
    Force,
    Json,
    LastPhase,
    LockTimeout,
    Message,
    NotARename,
    Reason,
    RolledBack,
    WriteRevision,
)
from app.cli.output import errors_in_one_line, show
from app.cli.partitions import partitions
from app.cli.release import release
from app.cli.secrets import secrets
from app.migrations import Project, commands, terminal
from app.migrations.drift import Claim

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(secrets, name="secrets", epilog="\b\nExample:\n  schema secrets status")
app.add_typer(partitions, name="partitions", epilog="\b\nExample:\n  schema partitions maintain --dry-run")


@app.callback()
def schema() -> None:
    """Adds to alembic what it has no command for: status, deploy, check, lint, resolve, secrets and more.

    The database is DATABASE_URL, from the environment or .env. Every command takes --json, and ends with 0 if all is in
    order, 1 after an error, 2 if usage or configuration is wrong, 3 if revisions are pending, 4 if a revision failed
    half-way and is to be resolved, 5 if the history was edited, or a revision is missing or unknown, 6 if the lock was
    not obtained, 7 if data would have been lost, 8 if the database isn't what it should be, 9 if lint has findings,
    10 if partitions run out, 130 if interrupted.

    Example: schema deploy --dry-run && schema deploy && schema check
    """
    terminal.log_to_stderr()


@app.command()
def status(
    context: typer.Context,
    history: Annotated[bool, typer.Option(help="Show every attempt in the ledger as well.")] = False,
    exit_code: ExitCode = False,
    as_json: Json = False,
) -> None:
    """Tells what the database is at, what is pending, what went wrong. Changes nothing.

    Ends with 0 unless --exit-code asks for more: 3 if something is pending, 4 if a revision is to be resolved, 5 if the
    history is wrong; if none of these is true, 10 if a partitioned table has fewer than two partitions ahead.

    Example: schema status --exit-code
    """
    with errors_in_one_line(as_json=as_json):
        found = commands.read_status(context.obj)
    show(texts.status(found, history=history, exit_code=exit_code), as_json=as_json)


@app.command()
def deploy(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would run.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Only print the SQL that would run.")] = False,
    phase: LastPhase = None,
    backup: Backup = None,
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Brings the database to head, as alembic upgrade head does, and then compares it with the models.

    Whatever would lose data is refused with 7 before anything runs. Ends with 8 if the database isn't what the models
    say after that; the upgrade stays applied. With --phase it ends with 0 before the first revision of a later phase,
    and compares nothing there.

    Example: schema deploy --dry-run && schema deploy
    """
    with errors_in_one_line(as_json=as_json):
        if sql:
            show(texts.sql(commands.script(context.obj, phase=phase)), as_json=as_json)
        live = sys.stderr.isatty()
        done = commands.deploy(
            context.obj, dry_run=dry_run, backup=backup, lock_timeout=lock_timeout, live=live, phase=phase
        )
    show(texts.deployment(done), as_json=as_json)


@app.command()
def dev(
    context: typer.Context,
    message: Message = None,
    not_a_rename: NotARename = None,
    remote: Annotated[bool, typer.Option("--remote", help="The database may be on another machine.")] = False,
    as_json: Json = False,
) -> None:
    """Applies what is pending, writes a revision for what was edited in the models, shows it and applies it.

    It changes the database that it looks at, so one on another machine is refused without --remote. A drop and an add
    of the same shape may be a rename: it asks, and where nobody can answer it refuses. The model may say so beforehand:
    mapped_column(..., info={"renamed_from": "nick"}).

    Example: schema dev -m "add user nicknames"
    """
    with errors_in_one_line(as_json=as_json):
        done = commands.develop(
            context.obj,
            message=message,
            ask=terminal.ask if terminal.is_there() and not as_json else None,
            not_a_rename=not_a_rename or (),
            remote=remote,
            live=sys.stderr.isatty(),
        )
    show(texts.development(done), as_json=as_json)


@app.command()
def docs(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Only tell whether it is fresh; if not, end with 8.")] = False,
    as_json: Json = False,
) -> None:
    """Writes docs/schema.md, a diagram, a data dictionary and the history, from the models and the revisions.

    It asks no database. CI runs it with --check.

    Example: schema docs && git add docs/schema.md
    """
    with errors_in_one_line(as_json=as_json):
        file = commands.write_page(context.obj, check=check)
    show(texts.page(file, check=check), as_json=as_json)


app.command()(adopt)


app.command()(lint)


app.command()(release)


@app.command()
def check(
    context: typer.Context,
    write_revision: WriteRevision = False,
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Name of that revision.")] = "",
    revert: Annotated[bool, typer.Option("--revert", help="Show the SQL that makes it what it should be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Run that SQL.")] = False,
    accept_data_loss: AcceptDataLoss = False,
    accept: Accept = None,
    reason: Reason = "",
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Compares the database with what its revision makes, and with the models; or ends a difference.

    Without an option it changes nothing. It ends with 8 if anything differs, with 3 if revisions are pending and
    nothing else is the matter. A difference has three ways out: --write-revision, --revert, or --accept with a reason.
    What is somebody else's is declared as unmanaged in alembic.ini.

    Example: schema check --accept "index users.idx_by_hand" --reason "the analysts need it until May"
    """
    chosen = {"--write-revision": write_revision, "--revert": revert, "--accept": accept is not None}
    _require_together(chosen, ("--message", message, "--write-revision"), ("--reason", reason, "--accept"))
    _require_together(chosen, ("--yes", yes, "--revert"), ("--accept-data-loss", accept_data_loss, "--revert"))
    project = context.obj
    with errors_in_one_line(as_json=as_json):
        if write_revision:
            answer = texts.written_revision(commands.write_revision(project, message, lock_timeout=lock_timeout))
        elif revert and yes:
            done = commands.revert(project, accept_data_loss=accept_data_loss, lock_timeout=lock_timeout)
            answer = texts.reverted(done, [], done=True)
        elif revert:
            answer = texts.reverted(*commands.plan_revert(project), done=False)
        elif accept is not None:
            answer = texts.accepted(commands.accept(project, accept, reason, lock_timeout=lock_timeout))
        else:
            answer = texts.check(commands.check(project))
    show(answer, as_json=as_json)


def _require_together(chosen: dict[str, bool], *options: tuple[str, object, str]) -> None:
    if sum(chosen.values()) > 1:
        raise typer.BadParameter("say one of --write-revision, --revert and --accept")
    for option, given, way in options:
        if given and not chosen[way]:
            raise typer.BadParameter(f"{option} goes with {way}")


@app.command()
def snapshot(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Only tell whether the files are fresh.")] = False,
    as_json: Json = False,
) -> None:
    """Writes what the schema looks like at each revision, to be committed. Others compare databases with it.

    It does so for both kinds of database, in scratch databases, which are dropped again. PostgreSQL's are made on the
    server of DATABASE_URL; if that is SQLite, on a server that the extra `author` brings, and that ends with the
    command. --check ends with 1 if a file is stale, and names it.

    Example: schema snapshot && git add alembic/snapshots
    """
    with errors_in_one_line(as_json=as_json):
        files = commands.stale_snapshots(context.obj) if check else commands.snapshot(context.obj)
    show(texts.snapshots(files, check=check), as_json=as_json)


@app.command()
def resolve(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(help="Its id, YYYYMMDDHHMMSS.")],
    applied: Annotated[bool, typer.Option("--applied", help="All of it is in the database.")] = False,
    rolled_back: RolledBack = False,
    force: Force = False,
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
    with errors_in_one_line(as_json=as_json):
        claim = Claim(revision, applied, force, reason)
        done = commands.resolve(context.obj, claim, lock_timeout=lock_timeout)
    show(texts.resolution(done), as_json=as_json)


def _move_examples_last(commands: typer.Typer) -> None:
    """Takes the example out of each docstring, where it would be wrapped as prose, and puts it last."""
    for group in commands.registered_groups:
        assert group.typer_instance is not None
        _move_examples_last(group.typer_instance)
    infos: list[Any] = [*commands.registered_commands, commands.registered_callback]
    for info in [info for info in infos if info is not None and (info.help or info.callback.__doc__)]:  # none with -OO
        text, _, example = inspect.cleandoc(info.help or info.callback.__doc__).partition("\n\nExample: ")
        info.help = text
        info.short_help = " ".join(text.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".") + "."
        info.epilog = "\b\nExample:\n  " + " ".join(example.split())


_move_examples_last(app)


def run(project: Project) -> None:
    """Runs the command line of this process for a project; another project's `__main__.py` is this one call."""
    terminal.complete_streams()
    app(obj=project)


def main() -> None:
    """Runs `schema` for this schema."""
    from app.project import PROJECT  # here, so that another project's command loads nothing of this schema

    run(PROJECT)
