"""How a new revision is named, written and tidied.

A revision's id is the UTC time it was written at, `YYYYMMDDHHMMSS`: one name in the file, in the chain and in the
database, and it sorts. Types and defaults of ours are written in Alembic's and SQLAlchemy's words, so that a revision
imports nothing of the models. What is written is the same whichever database it was compared with.
"""

import datetime as dt
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic import util
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import write_hooks
from sqlalchemy.dialects import postgresql

from app.migrations.errors import DriftDetected, MigrationError
from app.migrations.operations import validate_constraint
from app.migrations.project import OWN_TABLES
from app.migrations.session import Session

log = logging.getLogger("app.migrations")

_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]
ID_FORMAT = "%Y%m%d%H%M%S"

_GENERATED_BY_ALEMBIC = re.compile(r"[0-9a-f]{12}")
_BRACKETS = re.compile(r"\(('(?:[^']|'')*'|\w+)\)")
_CAST = re.compile(r"('(?:[^']|'')*')::[\w ]+(?:\(\d+\))?")
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
    if type(item).__module__.startswith("sqlalchemy.") or not isinstance(item, sa.types.TypeDecorator):
        return _render_reflected_type(item)
    exact = item.load_dialect_impl(_POSTGRESQL)
    if not (isinstance(exact, postgresql.TIMESTAMP) and exact.precision is not None):
        return f"sa.{item.impl!r}"
    context.imports.add("from sqlalchemy.dialects import postgresql")
    return f"sa.{item.impl!r}.with_variant(postgresql.{exact!r}, 'postgresql')"


def process_revision_directives(
    context: MigrationContext, _revision: Any, directives: list[ops.MigrationScript]
) -> None:
    """Gives new revisions their ids; drops one that would change nothing, and splits one that adds a CHECK.

    Raises:
        MigrationError: an id that was asked for isn't a time, or there is no message to name the file by.
    """
    script, config = directives[0], context.config
    assert config is not None
    session = Session.of(config)
    autogenerate = context.opts["revision_context"].command_args["autogenerate"]
    if autogenerate and context.dialect.name == "sqlite" and not session.adopts:
        from app.migrations.autogenerate import postgresql_only

        log.info(postgresql_only.add(context, script))
    if autogenerate and script.upgrade_ops is not None and script.upgrade_ops.is_empty():
        util.msg("Nothing has changed: no revision was written.")
        directives[:] = []
        return
    if autogenerate:
        _say_it_for_both_databases(context, script)
    name = session.name_revision
    if name is not None and not script.message and script.upgrade_ops is not None:
        script.message = name(script.upgrade_ops.as_diffs())
    if not (script.message or "").strip():
        raise MigrationError('A revision needs a message, which names its file: alembic revision -m "add user quotas"')
    script.rev_id = _next_id(context, script.rev_id)
    if autogenerate and not session.adopts:
        directives += validate_constraint.split(script, ID_FORMAT)


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Keeps the ledger and the leases out of comparisons: they are part of no model."""
    return not (kind == "table" and name in OWN_TABLES)


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
    if verb == "rename":
        return f"rename {noun} {rest[0]} to {rest[1]}"
    if noun == "column":
        return f"{verb} column {rest[1]}.{rest[2].name}"
    owner = getattr(getattr(rest[0], "table", None), "name", None) or getattr(rest[0], "table", None)
    name = getattr(rest[0], "name", rest[0])
    of = f" of {owner}" if owner is not None and noun not in ("table", "table_comment") else ""
    return f"{verb} {noun.replace('_', ' ')} {name or '(unnamed)'}{of}"


def _shown(value: Any) -> str:
    text = getattr(getattr(value, "arg", value), "text", getattr(value, "arg", value))
    return "none" if text is None else str(text)


def _say_it_for_both_databases(context: MigrationContext, script: ops.MigrationScript) -> None:
    """Takes from the models what stays as it is: each database has its own words for it, or none."""
    metadata = context.opts["target_metadata"]
    for operation in [*_flat(script.upgrade_ops), *_flat(script.downgrade_ops)]:
        if isinstance(operation, ops.AlterColumnOp) and operation.modify_name is None:
            columns = metadata.tables[operation.table_name].columns
            model = next(column for column in columns if column.name == operation.column_name)
            if operation.modify_type is None:
                operation.existing_type = model.type
            if operation.modify_comment is False:
                operation.existing_comment = model.comment
            if operation.modify_server_default is False:
                operation.existing_server_default = model.server_default
        elif isinstance(operation, ops.AddColumnOp) and not operation.column.primary_key:
            operation.column.autoincrement = "auto"
        elif isinstance(operation, ops.CreateIndexOp | ops.CreateUniqueConstraintOp):
            # PostgreSQL tells its defaults as well.
            operation.kw = {name: value for name, value in operation.kw.items() if value is not False and value != []}


def _flat(container: ops.OpContainer | None) -> Iterator[ops.MigrateOperation]:
    for operation in container.ops if container is not None else []:
        if isinstance(operation, ops.OpContainer):
            yield from _flat(operation)
        else:
            yield operation


def _render_reflected_type(item: sa.types.TypeEngine[Any]) -> str | Literal[False]:
    if not type(item).__module__.startswith("sqlalchemy."):
        return False
    generic = item.as_generic(allow_nulltype=True)
    said_by_database = type(generic) is not type(item) and type(generic).__module__ == "sqlalchemy.sql.sqltypes"
    return f"sa.{generic!r}" if said_by_database and not isinstance(generic, sa.types.NullType) else False


def _render_default(item: Any) -> str | Literal[False]:
    default = getattr(item, "arg", item)
    if isinstance(default, sa.TextClause):
        # SQLite and Alembic put brackets around it, PostgreSQL says a literal's type.
        plain = _BRACKETS.fullmatch(default.text) or _CAST.fullmatch(default.text)
        return f"sa.text({(plain[1] if plain else default.text)!r})"
    if type(default).__name__ != "DialectText":
        return False
    return f"op.dialect_text(postgresql={default.postgresql!r}, sqlite={default.sqlite!r})"


def _next_id(context: MigrationContext, asked: str | None) -> str:
    if asked and not _GENERATED_BY_ALEMBIC.fullmatch(asked):
        if not _is_time(asked):
            raise MigrationError(
                f"The revision id {asked} isn't a time, as the others are: leave out --rev-id, or give YYYYMMDDHHMMSS."
            )
        return asked
    assert context.script is not None
    after = [_time(head) + dt.timedelta(seconds=1) for head in context.script.get_heads() if _is_time(head)]
    return max([dt.datetime.now(dt.UTC), *after]).strftime(ID_FORMAT)


def _is_time(revision: str) -> bool:
    try:
        return _time(revision).strftime(ID_FORMAT) == revision  # strptime doesn't insist on all the digits
    except ValueError:
        return False


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
