"""The command `schema lint`, which has formats of its own."""

import sys
from typing import Annotated

import typer

from app.cli.options import Json
from app.cli.output import errors_in_one_line
from app.migrations import commands


def lint(
    context: typer.Context,
    revisions: Annotated[list[str] | None, typer.Argument(help="Ids or files; by default what hasn't run.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="REVISION", help="Only revisions after this one, or that a commit lacks.")
    ] = None,
    database: Annotated[
        bool, typer.Option("--database", help="Ask DATABASE_URL what has run, and for the sizes of its tables.")
    ] = False,
    form: Annotated[str, typer.Option("--format", help="text, json, github, sarif or junit.")] = "text",
    as_json: Json = False,
) -> None:
    """Finds what would make a busy PostgreSQL wait, in revisions that haven't run; ends with 9 if there is any.

    It asks no database, unless --database says so, and writes to none. Each finding has its place, the harm, what to do
    instead and the code to paste. What nobody waits for is waived in the revision, acknowledged = {"index
    users.users_nick_idx": "why"}, or a rule for the whole project in alembic.ini: waived = prefix-index. A table that
    the same revisions make may be locked, and so may one that its model or the database calls small. docs/lint.md has
    the rules.

    Example: schema lint --since origin/main --format github
    """
    from app.migrations.lint import FORMATS, formatted  # its parser takes time to load

    form = "json" if as_json else form
    if form not in FORMATS:
        raise typer.BadParameter(f"--format is one of {', '.join(FORMATS)}")
    with errors_in_one_line(as_json=form == "json"):
        done = commands.lint(context.obj, revisions or (), since=since, database=database)
    sys.stdout.write(f"{formatted(done, form)}\n")
    raise typer.Exit(done.exit_code)
