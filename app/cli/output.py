"""Answers of a command: text or JSON on standard output, one line on standard error after a failure."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import typer

from app.errors import SchemaError
from app.migrations import run, terminal
from app.migrations.errors import Interrupted


@dataclass(frozen=True)
class Answer:
    """One result in both spellings.

    Attributes:
        values: the result for `--json`.
        text: the result for people.
        exit_code: what the command ends with.
    """

    values: dict[str, Any]
    text: str
    exit_code: int = 0


def show(answer: Answer, *, as_json: bool) -> NoReturn:
    """Prints an answer and ends the command with its exit code."""
    try:
        with terminal.output_errors_in_one_line("The command has done its work."):
            sys.stdout.write(f"{_json(answer.values) if as_json else answer.text}\n")
    except SchemaError as failure:
        typer.echo(f"FAILED: {failure}", err=True)
        raise typer.Exit(answer.exit_code or failure.exit_code) from None
    raise typer.Exit(answer.exit_code)


@contextmanager
def errors_in_one_line(*, as_json: bool) -> Iterator[None]:
    """Ends the command with one line and the error's exit code; treats SIGTERM as Ctrl-C."""
    try:
        with run.interruptible(), terminal.warnings_in_one_line():
            yield
            return
    except KeyboardInterrupt:
        failure: SchemaError = Interrupted("Interrupted; what had finished stays applied.")
    except SchemaError as error:
        failure = error
    if as_json:
        typer.echo(_json({"code": failure.word, "message": str(failure)}))
    typer.echo(f"FAILED: {failure}", err=True)
    raise typer.Exit(failure.exit_code)


def utc(moment: datetime | None) -> datetime | None:
    """Returns a naive time of the engine's, which is UTC, with its zone."""
    return moment.replace(tzinfo=UTC) if moment is not None else None


def _json(values: object) -> str:
    """Returns values as JSON, with times in UTC."""

    def plain(value: object) -> str:
        return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)

    return json.dumps(values, indent=2, default=plain)
