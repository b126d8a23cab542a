"""Table copies on SQLite: a copy's statements are judged by what the copy changes.

Alembic alters a table by creating `_alembic_tmp_t`, copying the rows, dropping `t` and renaming the copy. What would make
the copying fail is told before the rows are copied; what `t` has and the copy lacks, before `t` is dropped.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from app.migrations.sql import Effect, Statement, effects, text
from app.migrations.sql.lexer import split, without_comments

_NAME = r'("(?:[^"]|"")+"|`[^`]+`|\[[^\]]+\]|\w+)'
_INSERT = re.compile(
    rf"INSERT\s+INTO\s+{_NAME}\s*(?:\(([^()]*)\))?\s*SELECT\s+(.*?)\s+FROM\s", re.IGNORECASE | re.DOTALL
)
_COPIED = re.compile(
    rf"(?:CAST\()?\s*(?:{_NAME}\s*\.\s*)?{_NAME}(?:\s+AS\s+[^)]*\))?(?:\s+AS\s+{_NAME})?", re.IGNORECASE
)


class _Column(NamedTuple):
    name: str
    type: str
    required: bool
    filled: bool


class CopyEffects:
    """Remembers from where each column of a copy got its values."""

    def __init__(self) -> None:
        self._sources: dict[str, dict[str, str]] = {}

    def effects_of(self, statement: Statement) -> Iterator[Effect]:
        """Returns the effects of a statement; for one of a copy, what the copy changes in its table."""
        for effect in statement.effects:
            table = text.bare(effect.target)
            if statement.dialect != "sqlite":
                yield effect
            elif table.startswith(text.TABLE_COPY):
                if isinstance(effect, effects.Fill):
                    yield from self._filled(table, statement)
            elif isinstance(effect, effects.DropTable) and _columns(text.copy_of(table), statement.driver):
                yield from self._dropped(table, statement.driver)
            else:
                yield effect

    def _filled(self, copy: str, statement: Statement) -> Iterator[Effect]:
        driver = statement.driver
        tables = [name for (name,) in driver.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        originals = [name for name in tables if text.copy_of(name) == copy]
        new = _columns(copy, driver)
        if len(originals) != 1 or not new:  # Alembic cuts long names; then only the losses are told
            return
        (table,) = originals
        target = text.qualified(table)
        old = _columns(table, driver)
        sources = self._sources[copy] = _sources(statement.text, new)
        names = {name: old[sources[name]].name if sources.get(name) in old else new[name].name for name in new}
        for name, column in new.items():
            if sources.get(name) not in old:
                yield effects.AddColumn(target, (column.name,), required=column.required and not column.filled)
            elif column.required and not old[sources[name]].required:
                yield effects.SetNotNull(target, (names[name],))
        before = _unique(table, driver)
        for columns in _unique(copy, driver):
            unique = tuple(names[name] for name in columns)
            if {name.lower() for name in unique} not in map(set, before):
                yield effects.AddUnique(target, unique)
        for name, column in new.items():
            if names[name].lower() != name:
                yield effects.RenameColumn(target, (names[name],), to=column.name)

    def _dropped(self, table: str, driver: Any) -> Iterator[Effect]:
        copy, target = text.copy_of(table), text.qualified(table)
        new = _columns(copy, driver)
        sources = self._sources.pop(copy, None) or {name: name for name in new}
        for name, column in _columns(table, driver).items():
            types = [new[target].type for target, source in sources.items() if source == name and target in new]
            if not types:
                yield effects.DropColumn(target, (column.name,))
            for changed in {*types} - {column.type}:
                yield effects.AlterType(target, (column.name,), to=changed)


def _columns(table: str, driver: Any) -> dict[str, _Column]:
    rows = driver.execute(f'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info({text.literal(table)})')
    return {
        name.lower(): _Column(name, kind, bool(required or key), default is not None)
        for name, kind, required, default, key in rows
    }


def _unique(table: str, driver: Any) -> list[tuple[str, ...]]:
    """Returns the columns of each unique constraint; an index that is no constraint isn't copied with its table."""
    columns = "SELECT group_concat(name, char(0)) FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno)"
    keys = f"SELECT group_concat(name, char(0)) FROM pragma_table_info({text.literal(table)}) WHERE pk"
    rows = driver.execute(
        f'SELECT ({columns}) FROM pragma_index_list({text.literal(table)}) AS i WHERE "unique" AND NOT partial UNION {keys}'
    )
    return [tuple(names.lower().split("\0")) for (names,) in rows if names]


def _sources(statement: str, columns: dict[str, _Column]) -> dict[str, str]:
    """Returns the column that each column of a copy is filled from; the one of its name, where that can't be read."""
    match = _INSERT.match(without_comments(statement))
    if match is None:
        return {name: name for name in columns}
    targets = [text.unquoted(name.strip()).lower() for name in split(match[2])] if match[2] else [*columns]
    copied = [_COPIED.fullmatch(expression.strip()) for expression in split(match[3])]
    if len(copied) != len(targets):
        return {name: name for name in columns}
    return {
        name: text.unquoted(source[2]).lower() if source else name for name, source in zip(targets, copied, strict=True)
    }
