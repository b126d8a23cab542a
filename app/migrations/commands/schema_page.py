"""`docs/schema.md`: a diagram, a data dictionary and the history, from the models and the revisions.

It reads the same whatever database, machine or day it is written on.
"""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.script import Script, ScriptDirectory

from app.migrations.autogenerate import ID_FORMAT
from app.triggers import declared_triggers

_POSTGRESQL = sa.make_url("postgresql+psycopg://").get_dialect()()
_SQLITE = sa.make_url("sqlite://").get_dialect()()
PAGE = Path("docs/schema.md")
_INTRODUCTION = """\
# The schema

Written by `schema docs` from the models and the revisions: edit those, not this page.

- [Diagram](#diagram)
- [Tables](#tables): {tables}
- [History](#history)

## Diagram

Only keys and unique columns are shown; a relation bears the name of the column that refers.
"""
_TABLES = """\
## Tables

Where SQLite has another type or default than PostgreSQL, it follows after a slash.
"""
_HISTORY = """\
## History

The newest revision comes first.
"""
_BOOKENDS = re.compile(r"^(Revision|Parent):", re.MULTILINE)
_ENTRY = re.compile(r"^(\w[\w ]*):\s+(.*)$")


def document(metadata: sa.MetaData, script: ScriptDirectory) -> str:
    """The page, as Markdown with a Mermaid diagram."""
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    parts = [
        _INTRODUCTION.format(tables=", ".join(_link(table.name) for table in tables)),
        _diagrams(tables),
        _TABLES,
        *(_table(table, tables) for table in tables),
        _HISTORY,
        "\n".join(_revision(revision) for revision in script.walk_revisions()),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


# --- the diagram -------------------------------------------------------------


def _diagrams(tables: list[sa.Table]) -> str:
    keys = [key for table in tables for key in _foreign_keys(table)]
    related = {table.name for key in keys for table in (key.parent.table, key.column.table)}
    parts = [_diagram([table for table in tables if table.name in related])] if related else []
    if alone := [table for table in tables if table.name not in related]:
        parts += ["These refer to no table, and no table to them:", _diagram(alone)]  # beside the others all get tiny
    return "\n\n".join(parts)


def _diagram(tables: list[sa.Table]) -> str:
    lines = ["```mermaid", "erDiagram"]
    for table in tables:
        for key in _foreign_keys(table):
            column = key.parent
            one = "|o" if column.nullable else "||"
            many = "o|" if _is_unique(column) else "o{"
            lines.append(f"    {key.column.table.name} {one}--{many} {table.name} : {column.name}")
    for table in tables:
        attributes = [_attribute(column) for column in table.columns if _marks(column)]
        lines += [f"    {table.name} {{", *attributes, "    }"] if attributes else [f"    {table.name}"]
    return "\n".join([*lines, "```"])


def _attribute(column: sa.Column[Any]) -> str:
    kind = re.sub(r"\(.*\)|\W.*", "", _type(column, _POSTGRESQL))
    return f"        {kind} {column.name} {', '.join(_marks(column))}"


def _marks(column: sa.Column[Any]) -> list[str]:
    marks = ["PK"] if column.primary_key else []
    marks += ["FK"] if column.foreign_keys else []
    return marks + (["UK"] if _is_unique(column) and not column.primary_key else [])


# --- the tables --------------------------------------------------------------


def _table(table: sa.Table, tables: list[sa.Table]) -> str:
    lines = [f"### {table.name}", "", *([_text(table.comment), ""] if table.comment else [])]
    lines += ["| Column | Meaning | Type | Null | Default | Key |", "|---|---|---|---|---|---|"]
    lines += [_row(column) for column in table.columns]
    notes = [*_references(table), *_referrers(table, tables), *_notes(table)]
    return "\n".join([*lines, "", *notes, ""])


def _row(column: sa.Column[Any]) -> str:
    types = _both(_type(column, _POSTGRESQL), _type(column, _SQLITE))
    cells = [f"`{column.name}`", _text(column.comment or ""), types, "yes" if column.nullable else ""]
    return f"| {' | '.join([*cells, _default(column), ', '.join(_keys(column))])} |"


def _type(column: sa.Column[Any], dialect: sa.Dialect) -> str:
    said = column.type.compile(dialect=dialect).lower()
    said = said.replace(", ", ",")
    precise = re.fullmatch(r"timestamp(\(\d\))? with(out)? time zone", said)
    return f"timestamp{'' if precise[2] else 'tz'}{precise[1] or ''}" if precise else said


def _default(column: sa.Column[Any]) -> str:
    if column.server_default is not None:
        return _both(_default_in(column, _POSTGRESQL), _default_in(column, _SQLITE))
    if column is column.table.autoincrement_column:
        return "the next number"
    return "set by the application" if column.default is not None else ""


def _default_in(column: sa.Column[Any], dialect: sa.Dialect) -> str:
    compiler: Any = sa.schema.CreateTable(column.table).compile(dialect=dialect)
    return str(compiler.get_column_default_string(column))


def _keys(column: sa.Column[Any]) -> Iterator[str]:
    if column.primary_key:
        yield "primary"
    elif _is_unique(column):
        yield "unique"
    if column.foreign_keys:
        yield "foreign"


def _references(table: sa.Table) -> Iterator[str]:
    for key in _foreign_keys(table):
        on_delete = f", on delete {key.ondelete.lower()}" if key.ondelete else ""
        yield f"- `{key.parent.name}` refers to {_link(key.column.table.name)}.`{key.column.name}`{on_delete}"


def _notes(table: sa.Table) -> Iterator[str]:
    for constraint in sorted(table.constraints, key=lambda constraint: str(constraint.name)):
        columns = ", ".join(f"`{column.name}`" for column in getattr(constraint, "columns", []))
        if isinstance(constraint, sa.UniqueConstraint) and len(constraint.columns) > 1:
            yield f"- Unique together: {columns} (`{constraint.name}`)"
        if isinstance(constraint, sa.CheckConstraint):
            yield f"- Check: `{constraint.sqltext}` (`{constraint.name}`)"
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        parts = ", ".join(f"`{part.name if isinstance(part, sa.Column) else part}`" for part in index.expressions)
        yield f"- {'Unique index' if index.unique else 'Index'} on {parts} (`{index.name}`)"
    triggers = declared_triggers(table.metadata).values()
    yield from (f"- `updated_at` is kept by the trigger `{t.name}`" for t in triggers if t.table == table.name)


def _referrers(table: sa.Table, tables: list[sa.Table]) -> Iterator[str]:
    found = [key for other in tables for key in _foreign_keys(other) if key.column.table is table]
    if found:
        yield "- Referred to by " + ", ".join(f"{_link(key.parent.table.name)}.`{key.parent.name}`" for key in found)


# --- the history -------------------------------------------------------------


def _revision(revision: Script) -> str:
    written = dt.datetime.strptime(revision.revision, ID_FORMAT).replace(tzinfo=dt.UTC)
    path = f"../alembic/versions/{Path(revision.path).name}"
    why = _BOOKENDS.split(revision.longdoc.partition("\n")[2])[0].strip()
    lines = [f"- {written:%Y-%m-%d} **[{_text(revision.doc.rstrip('.'))}]({path})**" + (":" if why else "")]
    for line in why.splitlines():
        entry = _ENTRY.match(line)
        lines.append(f"  - {entry[1]}: {_text(entry[2])}" if entry else f"  {_text(line.strip())}".rstrip())
    return "\n".join(lines)


# --- words -------------------------------------------------------------------


def _foreign_keys(table: sa.Table) -> list[sa.ForeignKey]:
    return [key for column in table.columns for key in sorted(column.foreign_keys, key=lambda k: k.target_fullname)]


def _is_unique(column: sa.Column[Any]) -> bool:
    keys = [k for k in column.table.constraints if isinstance(k, sa.UniqueConstraint | sa.PrimaryKeyConstraint)]
    indexes = [index for index in column.table.indexes if index.unique]
    return any(list(group.columns) == [column] for group in [*keys, *indexes])


def _both(postgresql_text: str, sqlite_text: str) -> str:
    texts = [postgresql_text] if postgresql_text == sqlite_text else [postgresql_text, sqlite_text]
    return " / ".join(f"`{text}`" for text in texts)


def _link(table: str) -> str:
    return f"[{table}](#{table})"


def _text(text: str) -> str:
    return re.sub(r"([|<*`\[\]\\])", r"\\\1", text)
