"""`docs/schema.md`: a diagram, a data dictionary and the history, from the models and the revisions.

The page is the same whatever database, machine or day it is written on.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.script import Script, ScriptDirectory

from app.migrations import run
from app.migrations.errors import DriftDetected
from app.migrations.project import Project
from app.partitions import declarations
from app.triggers import declared_triggers

_POSTGRESQL = sa.make_url("postgresql+psycopg://").get_dialect()()
_SQLITE = sa.make_url("sqlite://").get_dialect()()
_PAGE = Path("docs/schema.md")
_INTRODUCTION = """\
# The schema

Written by `schema docs` from the models and the revisions: edit those, not this page.

- [Diagram](#diagram)
- [Tables](#tables): {tables}
- [History](#history)

## Diagram

Only keys and unique columns are shown; a relation bears the name of the column that refers.
"""
_FOOTER = re.compile(r"^(Revision|Parent):", re.MULTILINE)  # of a revision's docstring
_ENTRY = re.compile(r"^(\w[\w ]*):\s+(.*)$")


def write_page(project: Project, root: Path | None = None, *, check: bool = False) -> Path:
    """Writes `docs/schema.md` from the models and the revisions.

    Args:
        project: the project of the models and revisions.
        root: the folder to write it in, instead of the project's.
        check: only compares the page with what would be written.

    Returns:
        The file, relative to that folder.

    Raises:
        DriftDetected: with `check`, the page is stale.
    """
    file = (root or project.root) / _PAGE
    text = document(project.metadata(), run.history(project))
    if not check:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != text:
        raise DriftDetected(f"{_PAGE} isn't what the models and revisions say. Write it anew: schema docs", None, [])
    return _PAGE


def document(metadata: sa.MetaData, script: ScriptDirectory) -> str:
    """Returns the page, as Markdown with a Mermaid diagram."""
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    parts = [
        _INTRODUCTION.format(tables=", ".join(_link(table) for table in tables)),
        _diagrams(tables),
        "## Tables\n\nWhere SQLite has another type or default than PostgreSQL, it follows after a slash.",
        *(_table(table, tables) for table in tables),
        "## History\n\nThe newest revision comes first.",
        "\n".join(_revision(revision) for revision in script.walk_revisions()),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _diagrams(tables: list[sa.Table]) -> str:
    keys = [key for table in tables for key in _foreign_keys(table)]
    related = {table.name for key in keys for table in (key.parent.table, key.column.table)}
    parts = [_diagram([table for table in tables if table.name in related])] if related else []
    if alone := [table for table in tables if table.name not in related]:
        # In one diagram with the others every table would be drawn tiny.
        parts += ["These refer to no table, and no table to them:", _diagram(alone)]
    return "\n\n".join(parts)


def _diagram(tables: list[sa.Table]) -> str:
    lines = ["```mermaid", "erDiagram"]
    for key in (key for table in tables for key in _foreign_keys(table)):
        one, many = "|o" if key.parent.nullable else "||", "o|" if _is_unique(key.parent) else "o{"
        lines.append(f"    {key.column.table.name} {one}--{many} {key.parent.table.name} : {key.parent.name}")
    for table in tables:
        attributes = [_attribute(column) for column in table.columns if any(_keys(column))]
        lines += [f"    {table.name} {{", *attributes, "    }"] if attributes else [f"    {table.name}"]
    return "\n".join([*lines, "```"])


def _attribute(column: sa.Column[Any]) -> str:
    keys = set(_keys(column))
    marks = [mark for key, mark in (("primary", "PK"), ("foreign", "FK"), ("unique", "UK")) if key in keys]
    kind = re.sub(r"\(.*\)|\W.*", "", _type(column, _POSTGRESQL))
    return f"        {kind} {column.name} {', '.join(marks)}"


def _table(table: sa.Table, tables: list[sa.Table]) -> str:
    lines = [f"### {table.name}", "", *([_text(table.comment), ""] if table.comment else [])]
    lines += ["| Column | Meaning | Type | Null | Default | Key |", "|---|---|---|---|---|---|"]
    lines += [_row(column) for column in table.columns]
    return "\n".join([*lines, "", *_notes(table, tables), ""])


def _row(column: sa.Column[Any]) -> str:
    types = _both(_type(column, _POSTGRESQL), _type(column, _SQLITE))
    cells = [f"`{column.name}`", _text(column.comment or ""), types, "yes" if column.nullable else ""]
    return f"| {' | '.join([*cells, _default(column), ', '.join(_keys(column))])} |"


def _type(column: sa.Column[Any], dialect: sa.Dialect) -> str:
    text = column.type.compile(dialect=dialect).lower().replace(", ", ",")
    timestamp = re.fullmatch(r"timestamp(\(\d\))? with(out)? time zone", text)
    return f"timestamp{'' if timestamp[2] else 'tz'}{timestamp[1] or ''}" if timestamp else text


def _default(column: sa.Column[Any]) -> str:
    if column.server_default is not None:
        create = sa.schema.CreateTable(column.table)
        compilers: list[Any] = [create.compile(dialect=dialect) for dialect in (_POSTGRESQL, _SQLITE)]
        return _both(*(str(compiler.get_column_default_string(column)) for compiler in compilers))
    if column is column.table.autoincrement_column:
        return "the next number"
    return "set by the application" if column.default is not None else ""


def _keys(column: sa.Column[Any]) -> Iterator[str]:
    if column.primary_key:
        yield "primary"
    elif _is_unique(column):
        yield "unique"
    if column.foreign_keys:
        yield "foreign"


def _notes(table: sa.Table, tables: list[sa.Table]) -> Iterator[str]:
    for key in _foreign_keys(table):
        on_delete = f", on delete {key.ondelete.lower()}" if key.ondelete else ""
        yield f"- `{key.parent.name}` refers to {_link(key.column.table)}.`{key.column.name}`{on_delete}"
    if referring := [key for other in tables for key in _foreign_keys(other) if key.column.table is table]:
        links = ", ".join(f"{_link(key.parent.table)}.`{key.parent.name}`" for key in referring)
        yield f"- Referred to by {links}"
    for constraint in sorted(table.constraints, key=lambda constraint: str(constraint.name)):
        if isinstance(constraint, sa.UniqueConstraint) and len(constraint.columns) > 1:
            columns = ", ".join(f"`{column.name}`" for column in constraint.columns)
            yield f"- Unique together: {columns} (`{constraint.name}`)"
        if isinstance(constraint, sa.CheckConstraint):
            yield f"- Check: `{constraint.sqltext}` (`{constraint.name}`)"
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        parts = ", ".join(f"`{part.name if isinstance(part, sa.Column) else part}`" for part in index.expressions)
        yield f"- {'Unique index' if index.unique else 'Index'} on {parts} (`{index.name}`)"
    if (declared := declarations(table.metadata).get(table.name)) is not None:
        times = declared.schedule
        yield f"- May be partitioned by `{declared.by}`: a partition for each {times.every}, made {times.ahead} ahead"
        dropped = f"{times.keep}, then `schema partitions maintain` drops them" if times.keep else "for ever"
        yield f"- Rows are kept {dropped}, unless a setting says otherwise"
    for trigger in declared_triggers(table.metadata).values():
        if trigger.table == table.name:
            yield f"- `updated_at` is kept by the trigger `{trigger.name}`"


def _revision(revision: Script) -> str:
    year, month, day = revision.revision[:4], revision.revision[4:6], revision.revision[6:8]
    path = f"../alembic/versions/{Path(revision.path).name}"
    reason = _FOOTER.split(revision.longdoc.partition("\n")[2])[0].strip()
    lines = [f"- {year}-{month}-{day} **[{_text(revision.doc.rstrip('.'))}]({path})**" + (":" if reason else "")]
    for line in reason.splitlines():
        entry = _ENTRY.match(line)
        lines.append(f"  - {entry[1]}: {_text(entry[2])}" if entry else f"  {_text(line.strip())}".rstrip())
    return "\n".join(lines)


def _foreign_keys(table: sa.Table) -> list[sa.ForeignKey]:
    return [key for column in table.columns for key in sorted(column.foreign_keys, key=lambda k: k.target_fullname)]


def _is_unique(column: sa.Column[Any]) -> bool:
    keys = [k for k in column.table.constraints if isinstance(k, sa.UniqueConstraint | sa.PrimaryKeyConstraint)]
    indexes = [index for index in column.table.indexes if index.unique]
    return any(list(group.columns) == [column] for group in [*keys, *indexes])


def _both(postgresql_text: str, sqlite_text: str) -> str:
    return f"`{postgresql_text}`" + (f" / `{sqlite_text}`" if sqlite_text != postgresql_text else "")


def _link(table: sa.FromClause) -> str:
    return f"[{table}](#{table})"


def _text(text: str) -> str:
    return re.sub(r"([|<*`\[\]\\])", r"\\\1", text)
