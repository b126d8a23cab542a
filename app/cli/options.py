"""Options of the command `schema`: their types, names and help."""

from pathlib import Path
from typing import Annotated

import typer

from app.migrations.phases import Phase

Accept = Annotated[str | None, typer.Option(metavar="OBJECT", help='What may stay as it is: "column users.nick".')]
AcceptDataLoss = Annotated[
    bool, typer.Option("--accept-data-loss", help="Tables and columns that hold something may go.")
]
Backup = Annotated[Path | None, typer.Option(help="SQLite: copy the database to this new file before anything runs.")]
ExitCode = Annotated[bool, typer.Option("--exit-code", help="End with 3, 4 or 5 if the database isn't in order.")]
Force = Annotated[bool, typer.Option("--force", help="Believe it, whatever the database looks like; needs a reason.")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON; times are UTC.")]
LastPhase = Annotated[Phase | None, typer.Option("--phase", help="Stop before the first revision of a later phase.")]
LockTimeout = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="How long to wait for another migration; SCHEMA_LOCK_TIMEOUT, or 60."),
]
Message = Annotated[
    str | None, typer.Option("--message", "-m", metavar="TEXT", help="Name of the revision; else it is asked for.")
]
NotARename = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A column, users.nick, or a table that is dropped, not renamed."),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the ledger for ever.")]
RolledBack = Annotated[bool, typer.Option("--rolled-back", help="Nothing of it is in the database; it may run again.")]
WriteRevision = Annotated[
    bool, typer.Option("--write-revision", help="Write a revision that makes every other database like this one.")
]
