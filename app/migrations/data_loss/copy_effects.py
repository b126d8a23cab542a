"""The effects of table copies on SQLite: the differences between a table and its copy.

Alembic alters a table by creating `_alembic_tmp_t`, copying the rows, dropping `t` and renaming the copy. Differences
that make the copying fail are effects of its INSERT; those that lose something, of the DROP TABLE.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from app.migrations.sql import Statement, create_table, effects, lexer, sqlite_table
from app.sql_text import NAME, TABLE_COPY, bare, copy_of, literal, qualified, unquoted

_INSERT = re.compile(
    rf"INSERT\s+INTO\s+{NAME}\s*(?:\(([^()]*)\))?\s*SELECT\s+(.*?)\s+FROM\s", re.IGNORECASE | re.DOTALL
)
# t.a, or CAST(t.a AS INTEGER) AS a: the second group is the column that is copied.
_COPIED = re.compile(
    rf"(?:CAST\()?\s*(?:{NAME}\s*\.\s*)?{NAME}(?:\s+AS\s+[^)]*\))?(?:\s+AS\s+{NAME})?",
    re.IGNORECASE,
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

    def effects_of(self, statement: Statement) -> Iterator[effects.Effect]:
        """Returns the effects of a statement; for one of a copy, what the copy changes in its table."""
        for effect in statement.effects:
            table = bare(effect.target)
            if statement.dialect != "sqlite":
                yield effect
            elif table.startswith(TABLE_COPY):
                if isinstance(effect, effects.CreateTable):
                    self._sources.pop(table, None)  # of an earlier copy
                elif isinstance(effect, effects.Fill):
                    yield from self._filled(table, statement)
            elif isinstance(effect, effects.DropTable) and _columns(copy_of(table), statement.driver):
                yield from self._dropped(table, statement.driver)
            else:
                yield effect

    def _filled(self, copy: str, statement: Statement) -> Iterator[effects.Effect]:
        driver = statement.driver
        tables = [name for (name,) in driver.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        originals = [name for name in tables if copy_of(name) == copy]
        new = _columns(copy, driver)
        if len(originals) != 1 or not new:  # Alembic cuts long names; then the copying fails by itself
            return
        table, old = qualified(originals[0]), _columns(originals[0], driver)
        sources = _sources(statement.text, [*new])
        if self._sources.setdefault(copy, sources) != sources:  # filled in two ways: only names are certain
            sources = self._sources[copy] = {name: name for name in new}
        names = {name: old[sources[name]].name for name in new if sources.get(name) in old}
        for name, column in new.items():
            if name not in names:
                yield effects.AddColumn(table, (column.name,), required=column.required and not column.filled)
            elif column.required and not old[sources[name]].required:
                yield effects.SetNotNull(table, (names[name],))
        before = _unique(originals[0], driver)
        for columns in sorted(_unique(copy, driver)):
            unique = tuple(names.get(name, new[name].name) for name in columns)
            if tuple(name.lower() for name in unique) not in before:
                yield effects.AddUnique(table, unique)
        yield from _added_rules(originals[0], copy, driver)
        for name, old_name in names.items():
            if old_name.lower() != name:
                yield effects.RenameColumn(table, (old_name,), to=new[name].name)

    def _dropped(self, table: str, driver: Any) -> Iterator[effects.Effect]:
        new = _columns(copy_of(table), driver)
        sources = self._sources.pop(copy_of(table), {name: name for name in new})
        for name, column in _columns(table, driver).items():
            types = {new[target].type for target, source in sources.items() if source == name and target in new}
            if not types:
                yield effects.DropColumn(qualified(table), (column.name,))
            for changed in types - {column.type}:
                yield effects.AlterType(qualified(table), (column.name,), to=changed)


def _added_rules(table: str, copy: str, driver: Any) -> Iterator[effects.Effect]:
    """Yields the foreign keys and the CHECKs that a copy has, and its table hasn't."""

    def read(question: str) -> list[Any]:
        return list(driver.execute(question))

    rules: list[dict[effects.Effect, None]] = []
    for name in (table, copy):
        keys = sqlite_table.foreign_keys(read, name)
        found: dict[effects.Effect, None] = dict.fromkeys(
            effects.AddForeignKey(qualified(table), key.columns, to=qualified(key.table), referred=key.referred)
            for key in keys
        )
        clauses = create_table.clauses(sqlite_table.statement_of(read, name))
        checks = (clause.body or "" for clause in clauses if clause.kind == "CHECK")
        rules.append(found | dict.fromkeys(effects.AddCheck(qualified(table), to=check) for check in checks))
    yield from (rule for rule in rules[1] if rule not in rules[0])


def _columns(table: str, driver: Any) -> dict[str, _Column]:
    rows = driver.execute(
        f'SELECT name, type, "notnull" OR pk, dflt_value IS NOT NULL FROM pragma_table_info({literal(table)})'
    )
    return {name.lower(): _Column(name, kind, required == 1, filled == 1) for name, kind, required, filled in rows}


def _unique(table: str, driver: Any) -> set[tuple[str, ...]]:
    """Returns the columns of each unique constraint, and of each unique index of a table that is no copy."""
    listed = "SELECT group_concat(lower(name), char(0)) FROM"
    of_index = f"({listed} (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno))"
    rows = driver.execute(
        f"{listed} pragma_table_info({literal(table)}) WHERE pk "
        f'UNION SELECT {of_index} FROM pragma_index_list({literal(table)}) i WHERE "unique" AND NOT partial'
    )
    return {tuple(names.split("\0")) for (names,) in rows if names}


def _sources(statement: str, columns: list[str]) -> dict[str, str]:
    """Returns the column that each column of a copy is filled from; the one of its name, where that can't be read."""
    match = _INSERT.match(lexer.without_comments(statement))
    targets = [unquoted(name.strip()).lower() for name in lexer.split(match[2])] if match and match[2] else columns
    copied = [_COPIED.fullmatch(expression.strip()) for expression in lexer.split(match[3])] if match else []
    if len(copied) != len(targets):
        return {name: name for name in columns}
    return {name: unquoted(source[2]).lower() if source else name for name, source in zip(targets, copied, strict=True)}
