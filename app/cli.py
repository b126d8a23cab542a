"""The command `schema`: arguments in, text or JSON out; no logic."""

import json
import sys
from typing import Annotated

import typer

from app.ciphers import CipherError, RawKey

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
secrets = typer.Typer(no_args_is_help=True, help="Keys, and the secrets that are encrypted with them.")
app.add_typer(secrets, name="secrets")


@app.callback()
def schema() -> None:
    """Looks after the database schema of the gateway and the auth service, beside the command alembic."""


@secrets.command()
def keygen(
    *,
    from_hex: Annotated[
        bool, typer.Option("--from-hex", help="Convert a key of 64 hexadecimal digits, read from standard input.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Prints a fresh key of each kind, as lines for the environment or .env; keeps nothing.

    Example: schema secrets keygen >> .env
    """
    keys = {"ENCRYPTION_KEY": _from_hex() if from_hex else RawKey.generate()}
    if not from_hex:
        keys["GITHUB_TOKEN_ENCRYPTION_KEY"] = RawKey.generate()
    typer.echo(json.dumps(keys) if as_json else "\n".join(f"{name}={key}" for name, key in keys.items()))


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


def main() -> None:
    """Runs the command."""
    app()


if __name__ == "__main__":
    main()
