"""Commands of `schema secrets`: arguments in, text or JSON out; no logic."""

import sys
from functools import partial
from typing import Annotated, Any

import typer

from app.backfill import Pace, Report
from app.cli.output import Answer, errors_in_one_line, show
from app.encryption import CipherError, RawKey
from app.errors import SettingsError
from app.migrations import run
from app.migrations.errors import Interrupted
from app.secrets import KeySample, jobs
from app.secrets.jobs import Action, ColumnInventory, Hashing, Options, Progress

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
Pause = Annotated[float, typer.Option(min=0, help="Rest after each page, as a multiple of its time.")]
MaxLag = Annotated[float | None, typer.Option(min=0, help="Wait while a replica is further behind, in seconds.")]
ThrottleQuery = Annotated[str | None, typer.Option(help="Wait while this query returns true; asked once a second.")]

OK, REMAIN, INTERRUPTED = ("ok", 0), ("remain", 1), (Interrupted.word, Interrupted.exit_code)

_STATUS = """Counts the values of each encrypted column by state: empty, plaintext, under a key, unreadable. Writes
nothing.

Example: schema secrets status --json
"""
_VERIFY = """Decrypts every secret, and ends with 1 if one can't be read. Writes nothing.

Example: schema secrets verify --workers 2
"""
_ENCRYPT = """Encrypts stored plaintext, page by page, while others work. Can be stopped and run again at any time.

Ends with 0 if all is done, 1 if rows remain, 2 if a key is missing or wrong, 130 if it was stopped.

Example: schema secrets encrypt --dry-run && schema secrets encrypt
"""
_ROTATE = """Encrypts again, under the writing key, what is under a previous key; else like encrypt. See
docs/rotation.md.

Example: schema secrets rotate --workers 2 && schema secrets status
"""
_HASH = """Writes the keyed hashes by which clients are found, where one is missing or is that of a former value. Can be
stopped and run again at any time. See docs/secrets.md.

Ends with 0 if all is done, 1 if rows remain, 2 if the key is missing or wrong, 130 if it was stopped.

Example: schema secrets hash --dry-run && schema secrets hash
"""


@secrets.command("verify", help=_VERIFY)
@secrets.command("status", help=_STATUS)
def inventory(
    context: typer.Context,
    *,
    table: Table = None,
    column: Column = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Takes an inventory; `verify` ends with 1 if a secret can't be read."""
    project, progress = context.obj, _progress(as_json=as_json)
    url = partial(run.database_url, project)
    options = Options(project.encrypted_columns, url, table, column, workers, progress=progress)
    with errors_in_one_line(as_json=as_json):
        columns, stopped = jobs.take_inventory(options)
    word, code = _inventory_end(columns, stopped=stopped) if context.command.name == "verify" or stopped else OK
    values = {
        "code": word,
        "stopped": stopped,
        "columns": [_inventory_values(column) for column in columns],
    }
    text = "\n".join(map(_inventory_text, columns)) + ("\nStopped before the end." if stopped else "")
    show(Answer(values, text, code), as_json=as_json)


@secrets.command("rotate", help=_ROTATE)
@secrets.command("encrypt", help=_ENCRYPT)
def change(
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
    """Changes the selected secrets: the name of the command is the action."""
    action = Action(str(context.command.name))
    pace = Pace(target=page_time / 1000, pause=pause, max_lag=max_lag, throttle_query=throttle_query)
    project, progress = context.obj, _progress(as_json=as_json)
    url = partial(run.database_url, project)
    options = Options(project.encrypted_columns, url, table, column, workers, pace, progress)
    with errors_in_one_line(as_json=as_json):
        reports = jobs.change(action, options, dry_run=dry_run)
    changed = {Action.ENCRYPT: "encrypted", Action.ROTATE: "encrypted anew"}[action]
    _show_reports(reports, changed, dry_run=dry_run, as_json=as_json)


@secrets.command("check-keys")
def check_keys(context: typer.Context, *, as_json: Json = False) -> None:
    """Checks by a few values that the configured keys belong to this database: for a start-up probe.

    Ends with 1 if no key opens some of these values, 2 if a key is missing, or opens none of a column.

    Example: schema secrets check-keys
    """
    with errors_in_one_line(as_json=as_json):
        samples = jobs.check_keys(Options(context.obj.encrypted_columns, partial(run.database_url, context.obj)))
        samples += _hashing(context, as_json=as_json).check()
    word, code = REMAIN if any(sample.opened < sample.tried for sample in samples) else OK
    values = {"code": word, "samples": [vars(sample) for sample in samples]}
    show(Answer(values, _samples_text(samples), code), as_json=as_json)


@secrets.command("hash", help=_HASH)
def write_hashes(
    context: typer.Context,
    *,
    dry_run: DryRun = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also replace hashes that were not made with the current key.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Writes the keyed hashes that are missing."""
    with errors_in_one_line(as_json=as_json):
        reports = _hashing(context, as_json=as_json).write(replace=replace, dry_run=dry_run)
    _show_reports(reports, "hashed", dry_run=dry_run, as_json=as_json)


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
    show(Answer(keys, "\n".join(f"{name}={key}" for name, key in keys.items())), as_json=as_json)


def _progress(*, as_json: bool) -> Progress:
    return Progress("json" if as_json else "terminal" if sys.stderr.isatty() else "plain")


def _hashing(context: typer.Context, *, as_json: bool) -> Hashing:
    project = context.obj
    return Hashing(project.hashed_columns, partial(run.database_url, project), _progress(as_json=as_json))


def _show_reports(reports: list[Report], changed: str, *, dry_run: bool, as_json: bool) -> None:
    stopped = any(report.stopped for report in reports)
    word, code = INTERRUPTED if stopped else REMAIN if any(report.rejected for report in reports) else OK
    tables = [_report_values(report) for report in reports]
    values = {"code": word, "dry_run": dry_run, "tables": tables}
    text = "\n".join(_report_text(report, changed, dry_run=dry_run) for report in reports)
    show(Answer(values, text, code), as_json=as_json)


def _inventory_end(columns: list[ColumnInventory], *, stopped: bool) -> tuple[str, int]:
    if stopped:
        return INTERRUPTED
    if any(column.no_key for column in columns):
        return SettingsError.word, SettingsError.exit_code
    return REMAIN if any(column.malformed or column.unreadable for column in columns) else OK


def _samples_text(samples: list[KeySample]) -> str:
    lines = [f"  {sample.table}.{sample.column}: {sample.opened} of {sample.tried}" for sample in samples]
    if not any(sample.tried for sample in samples):
        first = "No ciphertext was found in a sample of this database: the keys don't contradict it."
    elif any(sample.opened < sample.tried for sample in samples):
        first = "The keys open only a part of a sample of this database; count all with: schema secrets status"
    else:
        first = "The keys belong to this database: they open all of a sample."
    return "\n".join([first, *lines])


def _report_values(report: Report) -> dict[str, Any]:
    rejections = [{"column": column, "key": str(key), "reason": reason} for column, key, reason in report.rejections]
    columns = {name: vars(tally) for name, tally in report.columns.items()}
    return vars(report) | {"columns": columns, "rejections": rejections}


def _report_text(report: Report, changed: str, *, dry_run: bool) -> str:
    lines = [f"{report.table}  {report.rows:,} rows" + (" (dry run, nothing written)" if dry_run else "")]
    for name, tally in report.columns.items():
        counts = [f"{tally.changed:,} {'would be ' if dry_run else ''}{changed}"]
        counts += [f"{tally.unchanged:,} left as they are"]
        counts += [f"{tally.empty:,} empty"] if tally.empty else []
        counts += [f"{tally.rejected:,} failed"] if tally.rejected else []
        lines.append(f"  {name:<24} {', '.join(counts)}")
    lines += [f"  {report.table}.{column} of {key}: {reason}" for column, key, reason in report.rejections]
    if report.rejected > len(report.rejections):
        lines.append(f"  … and {report.rejected - len(report.rejections):,} more")
    if report.stopped:
        lines.append("  Stopped before the end; what was written is kept. The same command goes on from there.")
    return "\n".join(lines)


def _inventory_values(column: ColumnInventory) -> dict[str, Any]:
    bad = [{"key": str(key), "state": state} for key, state in column.bad]
    return vars(column) | {"bad": bad, "under_previous_keys": column.under_previous_keys}


def _inventory_text(column: ColumnInventory) -> str:
    counts = [("empty", column.empty), ("plaintext", column.plaintext)]
    counts += [
        (f"under key {key}, {'which writes' if key == column.writing else 'a previous one'}", count)
        for key, count in column.keys.items()
    ]
    counts += [("no key is set", column.no_key)] if column.no_key else []
    counts += [("malformed", column.malformed), ("unreadable", column.unreadable)]
    lines = [f"{column.table}.{column.column}  {column.rows:,} rows"]
    lines += [f"  {name:<40} {count:>13,}" for name, count in counts]
    return "\n".join([*lines, *(f"  {state}: {column.table}.{column.column} of {key}" for key, state in column.bad)])


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
