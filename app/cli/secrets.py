"""The commands `schema secrets …`: arguments in, text or JSON out; no logic."""

import sys
from typing import Annotated

import typer

from app.cli.output import errors_in_one_line, json_text
from app.encryption import CipherError, RawKey
from app.secrets import jobs, sealing
from app.secrets.jobs import Options
from app.secrets.progress import Style
from app.secrets.sealing import Action, Throttle

secrets = typer.Typer(no_args_is_help=True, help="Keys, and the secrets that are encrypted with them.")

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Table = Annotated[str | None, typer.Option(help="Only the secrets of this table.")]
Column = Annotated[str | None, typer.Option(help="Only this column.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what would be written.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that share the work, on PostgreSQL also with the same command elsewhere."),
]
PageTime = Annotated[float, typer.Option(min=1, help="Milliseconds that writing a page should take.")]
Pause = Annotated[float, typer.Option(min=0, help="Rest after each page, times what it took.")]
MaxLag = Annotated[float | None, typer.Option(min=0, help="Wait while a replica is further behind, in seconds.")]
ThrottleQuery = Annotated[str | None, typer.Option(help="Wait while this query says true; asked once a second.")]


@secrets.command()
def status(
    context: typer.Context,
    *,
    table: Table = None,
    column: Column = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Tells what each column of secrets holds: nothing, plaintext, under which key, what can't be read. Writes nothing.

    Example: schema secrets status --json
    """
    _look(
        Options(context.obj.encrypted_columns, context.obj.database_url, table, column, workers, style=_style(as_json)),
        as_json=as_json,
    )


@secrets.command()
def verify(
    context: typer.Context,
    *,
    table: Table = None,
    column: Column = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Decrypts every secret, and ends with 1 if one can't be read. Writes nothing.

    Example: schema secrets verify --workers 2
    """
    options = Options(
        context.obj.encrypted_columns, context.obj.database_url, table, column, workers, style=_style(as_json)
    )
    _look(options, as_json=as_json, fails=True)


@secrets.command()
def encrypt(
    context: typer.Context,
    *,
    table: Table = None,
    column: Column = None,
    dry_run: DryRun = False,
    workers: Workers = None,
    page_time: PageTime = 20,
    pause: Pause = 0,
    max_lag: MaxLag = None,
    throttle_query: ThrottleQuery = None,
    as_json: Json = False,
) -> None:
    """Encrypts what is stored in plaintext, page by page, while others work. Can be stopped and run again at any time.

    Ends with 0 if all is done, 1 if rows remain, 2 if a key is missing or wrong.

    Example: schema secrets encrypt --dry-run && schema secrets encrypt
    """
    throttle = Throttle(page_time, pause, max_lag, throttle_query)
    options = Options(
        context.obj.encrypted_columns, context.obj.database_url, table, column, workers, throttle, _style(as_json)
    )
    _change(Action.ENCRYPT, options, dry_run=dry_run, as_json=as_json)


@secrets.command()
def rotate(
    context: typer.Context,
    *,
    table: Table = None,
    column: Column = None,
    dry_run: DryRun = False,
    workers: Workers = None,
    page_time: PageTime = 20,
    pause: Pause = 0,
    max_lag: MaxLag = None,
    throttle_query: ThrottleQuery = None,
    as_json: Json = False,
) -> None:
    """Encrypts anew, under the key that writes, what is under a previous one. Else as encrypt; see docs/rotation.md.

    Example: schema secrets rotate --workers 2 && schema secrets status
    """
    throttle = Throttle(page_time, pause, max_lag, throttle_query)
    options = Options(
        context.obj.encrypted_columns, context.obj.database_url, table, column, workers, throttle, _style(as_json)
    )
    _change(Action.ROTATE, options, dry_run=dry_run, as_json=as_json)


@secrets.command("check-keys")
def check_keys(context: typer.Context, *, as_json: Json = False) -> None:
    """Tells whether the configured keys belong to this database, by a few values: for a start-up probe.

    Ends with 2 if a key is missing, or opens nothing of what is stored.

    Example: schema secrets check-keys
    """
    with errors_in_one_line(as_json=as_json):
        jobs.check_keys(Options(context.obj.encrypted_columns, context.obj.database_url))
    typer.echo(json_text({"code": "ok"}) if as_json else "The keys belong to this database.")


@secrets.command()
def keygen(
    context: typer.Context,
    *,
    from_hex: Annotated[
        bool, typer.Option("--from-hex", help="Convert a key of 64 hexadecimal digits, read from standard input.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Prints a fresh key of each kind, as lines for the environment or .env; keeps nothing.

    Example: schema secrets keygen >> .env
    """
    names = list(context.obj.keyrings)
    keys = {names[0]: _from_hex()} if from_hex else {name: RawKey.generate() for name in names}
    typer.echo(json_text(keys) if as_json else "\n".join(f"{name}={key}" for name, key in keys.items()))


def _change(action: Action, options: Options, *, dry_run: bool, as_json: bool) -> None:
    with errors_in_one_line(as_json=as_json):
        reports = jobs.change(action, options, dry_run=dry_run)
    code = sealing.exit_code(reports)
    if as_json:
        word = "ok" if not code else "remain"
        values = {"code": word, "dry_run": dry_run, "tables": [sealing.values_of(report) for report in reports]}
        typer.echo(json_text(values))
    else:
        typer.echo("\n".join(sealing.text_of(report, action, dry_run=dry_run) for report in reports))
    raise typer.Exit(code)


def _look(options: Options, *, as_json: bool, fails: bool = False) -> None:
    with errors_in_one_line(as_json=as_json):
        found, stopped = jobs.look(options)
    remains = stopped or (fails and jobs.remains(found, plaintext=False))
    if as_json:
        columns = [jobs.census_values(column) for column in found]
        typer.echo(json_text({"code": "remain" if remains else "ok", "stopped": stopped, "columns": columns}))
    else:
        typer.echo(jobs.census_text(found) + ("\nStopped before the end." if stopped else ""))
    raise typer.Exit(int(remains))


def _style(as_json: bool) -> Style:
    if as_json:
        return "json"
    return "terminal" if sys.stderr.isatty() else "plain"


def _from_hex() -> str:
    import base64

    typed = sys.stdin.isatty()
    try:
        text = typer.prompt("Hexadecimal key", hide_input=True, err=True) if typed else sys.stdin.read()
        key = base64.urlsafe_b64encode(bytes.fromhex(text.strip())).decode()
        RawKey.from_base64(key)
    except (ValueError, CipherError):
        typer.echo("That isn't a key of 64 hexadecimal digits.", err=True)
        raise typer.Exit(2) from None
    return key
