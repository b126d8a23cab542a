"""How a command answers: JSON, or one line where something went wrong."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import typer

from app.errors import SchemaError
from app.migrations import terminal
from app.migrations.errors import Interrupted
from app.migrations.run import signals


@contextmanager
def one_line(*, as_json: bool) -> Iterator[None]:
    """Ends the command with the code of what went wrong; SIGTERM is heard as Ctrl-C is."""
    try:
        with signals.interruptible(), terminal.warnings_in_one_line():
            yield
            return
    except KeyboardInterrupt:
        failure: SchemaError = Interrupted("Interrupted; what had finished stays applied.")
    except SchemaError as error:
        failure = error
    if as_json:
        typer.echo(json_text({"code": failure.word, "message": str(failure)}))
    typer.echo(f"FAILED: {failure}", err=True)
    raise typer.Exit(failure.exit_code)


def json_text(values: object) -> str:
    """Values as JSON; times in UTC."""

    def plain(value: object) -> str:
        return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)

    return json.dumps(values, indent=2, default=plain)
