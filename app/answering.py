"""How a command answers: JSON, or one line where something went wrong."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import typer

from app.migrations.errors import MigrationError


@contextmanager
def one_line(*, as_json: bool) -> Iterator[None]:
    """Ends the command with the code of what went wrong."""
    try:
        yield
    except MigrationError as error:
        if as_json:
            typer.echo(json_text({"code": error.code, "message": str(error)}))
        typer.echo(f"FAILED: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.echo("FAILED: interrupted; what had finished stays applied.", err=True)
        raise typer.Exit(130) from None


def json_text(values: object) -> str:
    """Values as JSON; times in UTC."""

    def plain(value: object) -> str:
        return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)

    return json.dumps(values, indent=2, default=plain)
