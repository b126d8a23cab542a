"""How a new revision is named, written and tidied.

A revision's id is the UTC time it was written at, `YYYYMMDDHHMMSS`: one name in the file, in the chain and in the
database, and it sorts. Types and defaults of ours are written in Alembic's and SQLAlchemy's words, so that a revision
imports nothing of the models. What is written is the same whichever database it was compared with.
"""

import datetime as dt
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic import util
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import write_hooks
from sqlalchemy.dialects import postgresql

from app.migrations import ledger
from app.migrations.errors import DriftDetected, MigrationError

ID_FORMAT = "%Y%m%d%H%M%S"

_GENERATED_BY_ALEMBIC = re.compile(r"[0-9a-f]{12}")
_BANNER = re.compile(r"^ *# ### .* ###\n", re.MULTILINE)


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Writes our types and defaults in plain SQLAlchemy, as Alembic's option `render_item` asks."""
    if kind == "server_default":
        return _render_default(item)
    if kind != "type":
        return False
    if isinstance(item, postgresql.ARRAY):  # on SQLite Alembic leaves the element's module out
        context.imports.add("from sqlalchemy.dialects import postgresql")
        return f"postgresql.ARRAY(sa.{item.item_type!r})"
    if not type(item).__module__.startswith("app."):
        return False
    if getattr(item, "timezone", False):
        context.imports.add("from sqlalchemy.dialects import postgresql")
        exact = "postgresql.TIMESTAMP(timezone=True, precision=6)"
        return f"sa.DateTime(timezone=True).with_variant({exact}, 'postgresql')"
    return f"sa.{item.impl!r}"


def process_revision_directives(
    context: MigrationContext, _revision: Any, directives: list[ops.MigrationScript]
) -> None:
    """Gives new revisions their ids; drops one that would change nothing.

    Raises:
        MigrationError: an id that was asked for isn't a time, or there is no message to name the file by.
    """
    if not context.opts["fn"].__qualname__.startswith("revision."):  # `alembic check` compares and writes nothing
        return
    script = directives[0]
    autogenerate = context.opts["revision_context"].command_args["autogenerate"]
    if autogenerate and script.upgrade_ops is not None and script.upgrade_ops.is_empty():
        util.msg("Nothing has changed: no revision was written.")
        directives[:] = []
        return
    if not (script.message or "").strip():
        raise MigrationError('A revision needs a message, which names its file: alembic revision -m "add user quotas"')
    script.rev_id = _next_id(context, script.rev_id)


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Keeps the ledger out of comparisons: it is part of no model."""
    return not (kind == "table" and name == ledger.TABLE)


def no_differences(revision_context: Any) -> None:
    """Ends `alembic check`.

    Raises:
        DriftDetected: the models want something else; the message has a few words on each difference.
    """
    script = revision_context.generated_revisions[-1]
    diffs = [diff for upgrade_ops in script.upgrade_ops_list for diff in upgrade_ops.as_diffs()]
    if diffs:
        listed = "; ".join(describe(diff) for diff in diffs)
        raise DriftDetected(
            f"The models and the database differ: {listed}. If the models are right, write a revision: "
            'alembic revision --autogenerate -m "…"',
            revision_context,
            diffs,
        )


def describe(diff: Any) -> str:
    """A few words on one of Alembic's differences: what an upgrade would do."""
    if isinstance(diff, list):
        return ", ".join(describe(part) for part in diff)
    kind, *rest = diff
    verb, _, noun = kind.partition("_")
    verb = {"remove": "drop", "modify": "change"}.get(verb, verb)
    if verb == "change":
        _schema, table, column, _existing, old, new = rest
        return f"change {noun} of {table}.{column} from {_shown(old)} to {_shown(new)}"
    if noun == "column":
        return f"{verb} column {rest[1]}.{rest[2].name}"
    owner = getattr(getattr(rest[0], "table", None), "name", None) or getattr(rest[0], "table", None)
    name = getattr(rest[0], "name", rest[0])
    of = f" of {owner}" if owner is not None and noun not in ("table", "table_comment") else ""
    return f"{verb} {noun.replace('_', ' ')} {name or '(unnamed)'}{of}"


def _shown(value: Any) -> str:
    text = getattr(getattr(value, "arg", value), "text", getattr(value, "arg", value))
    return "none" if text is None else str(text)


def _render_default(item: Any) -> str | Literal[False]:
    default = getattr(item, "arg", item)
    if isinstance(default, sa.TextClause):  # on SQLite Alembic puts brackets around it
        return f"sa.text({default.text!r})"
    if type(default).__name__ != "DialectText":
        return False
    return f"op.dialect_text(postgresql={default.postgresql!r}, sqlite={default.sqlite!r})"


def _next_id(context: MigrationContext, asked: str | None) -> str:
    if asked and not _GENERATED_BY_ALEMBIC.fullmatch(asked):
        try:
            return _time(asked).strftime(ID_FORMAT)
        except ValueError:
            raise MigrationError(
                f"The revision id {asked} isn't a time, as the others are: leave out --rev-id, or give YYYYMMDDHHMMSS."
            ) from None
    now = dt.datetime.now(dt.UTC)
    assert context.script is not None
    for head in context.script.get_heads():
        if re.fullmatch(r"\d{14}", head):
            now = max(now, _time(head) + dt.timedelta(seconds=1))
    return now.strftime(ID_FORMAT)


def _time(revision: str) -> dt.datetime:
    return dt.datetime.strptime(revision, ID_FORMAT).replace(tzinfo=dt.UTC)


@write_hooks.register("tidy")
def tidy(path: str, _options: Any) -> None:
    """Takes Alembic's banners out of a revision file, and formats it with ruff.

    Raises:
        MigrationError: ruff can't read the file, which is left as Alembic wrote it.
    """
    file = Path(path)
    file.write_text(_BANNER.sub("", file.read_text(encoding="utf-8")), encoding="utf-8")
    for command in (["check", "--fix", "--quiet", "--exit-zero"], ["format", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, path], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise MigrationError(f"ruff can't tidy {file.name}: {(done.stderr or done.stdout).strip()}")


def compare_server_default(
    context: MigrationContext,
    inspected: sa.Column[Any],
    _column: sa.Column[Any],
    _found: str | None,
    _default: Any,
    _wanted: str | None,
) -> bool | None:
    """Says that a default of a json column is the same, and leaves all others to Alembic.

    PostgreSQL has no `=` for json, and Alembic would ask it to compare.
    """
    return False if context.dialect.name == "postgresql" and isinstance(inspected.type, sa.JSON) else None
