"""`schema release`: the arguments, and the answer."""

from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.options import Json
from app.cli.output import Answer, errors_in_one_line, show
from app.migrations import commands
from app.migrations.commands import Released


def release(
    context: typer.Context,
    revision: Annotated[
        str | None, typer.Argument(help="The last one that the released code has; by default head.")
    ] = None,
    database: Annotated[bool, typer.Option("--database", help="The one that the database is at.")] = False,
    as_json: Json = False,
) -> None:
    """Records in alembic.ini which code is released, so that lint can judge what it still uses.

    Run it on the released commit: what that code doesn't map any more is read from the models that are here, and what
    the schema has, from the snapshot of the revision. Lint then lets a later revision drop the former, and refuses to
    let it drop anything else. Everything else in the file stays as it is.

    Example: schema release && git add alembic.ini
    """
    if revision is not None and database:
        raise typer.BadParameter("say a revision or --database")
    with errors_in_one_line(as_json=as_json):
        done = commands.release(context.obj, revision, of_database=database)
    show(answer(done), as_json=as_json)


def answer(done: Released) -> Answer:
    """Answers `schema release`."""
    said = f"{done.file.name} {'says now' if done.changed else 'said already'}"
    lines = [f"{said}: released = {done.released}", f"Not used by this code: {', '.join(done.unmapped) or 'nothing'}"]
    return Answer({"code": "ok"} | asdict(done), "\n".join(lines))
