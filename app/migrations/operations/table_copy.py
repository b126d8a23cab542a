"""Table copies on SQLite, and what they would lose.

SQLite can't change a constraint or a type in place. Alembic copies the table: it creates `_alembic_tmp_t`, copies the
rows, drops `t`, renames. Triggers go with the dropped table, indexes on expressions aren't seen, views that name the
table make the rename fail. `TableCopies` watches the statements, whoever wrote them, and puts back what went.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from app.migrations.errors import MigrationError
from app.migrations.guard import Guard
from app.migrations.session import Step
from app.migrations.sql import Statement, create_table
from app.sql_text import NAME, RAISE, TABLE_COPY, copy_of, literal, quoted, unquoted

Rows = list[Any]

_CREATE = re.compile(rf"\s*CREATE\s+TABLE\s+{NAME}", re.IGNORECASE)
_DROP = re.compile(rf"\s*DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?{NAME}", re.IGNORECASE)
_RENAME = re.compile(rf"\s*ALTER\s+TABLE\s+{NAME}\s+RENAME\s+TO\s+{NAME}", re.IGNORECASE)
_INDEX = re.compile(rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+{NAME}\s+ON\s", re.IGNORECASE)
_DROP_INDEX = re.compile(rf"\s*DROP\s+INDEX\s+{NAME}", re.IGNORECASE)
_SCHEMA = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
# What a table's statement may say and Alembic doesn't copy.
_UNSEEN_IN_TABLE = {
    "AUTOINCREMENT": r"\bAUTOINCREMENT\b",
    "COLLATE": r"\bCOLLATE\b",
    "STRICT": r"\bSTRICT\b",
    "WITHOUT ROWID": r"\bWITHOUT\s+ROWID\b",
    "ON CONFLICT": r"\bON\s+CONFLICT\b",
}
_UNSEEN_IN_INDEX = re.compile(r"\s+(?:COLLATE\s+\w+|DESC)\b", re.IGNORECASE)
_CONSTRAINTS = {"constraint", "primary", "unique", "check", "foreign"}  # how a part begins that is no column
_SAYS_NOTHING = re.compile(r"""'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/""", re.DOTALL)


class TableCopies(Guard):
    """Watches the statements of a SQLite connection, or of a script, for table copies.

    Args:
        read: runs a question on the database, or on its image in memory, and returns the rows.
        write: runs a statement, or writes it into the script.
        offline: checks become statements of the script that fail when they don't hold.
    """

    def __init__(self, read: Callable[[str], Rows], write: Callable[[str], object], *, offline: bool = False) -> None:
        self._read = read
        self._write = write
        self._offline = offline
        self._forget()

    def _forget(self) -> None:
        self._unfinished = ""
        self._copies: dict[str, str] = {}  # the statement that made each
        self._originals: dict[str, Rows] = {}  # indexes and triggers, by the copy that is to take the place
        self._checked: dict[str, Counter[tuple[str, str]]] = {}
        self._indexes: dict[str, str] = {}
        self._schema: Rows | None = None  # as it was before the revision

    @classmethod
    def of(cls, connection: sa.Connection) -> "TableCopies":
        """Watches a connection; its own statements go to the driver, past all guards."""

        def execute(statement: str) -> Any:
            driver: Any = connection.connection.driver_connection  # another one after an interrupted statement
            return driver.execute(statement)

        return cls(lambda question: execute(question).fetchall(), execute)

    def statement(self, statement: Statement) -> None:
        """Watches the statements of the connection itself: see `watch`."""
        if statement.own:
            self.watch(statement.text)

    def watch(self, statement: str) -> None:
        """Hears of a statement that is about to run; puts back what the one before has taken along.

        Raises:
            MigrationError: a copy or an index lacks something that the old one has, or a copy is left over.
        """
        self._finish()
        if self._schema is None:
            self._schema = self._read(_SCHEMA)
        if (match := _CREATE.match(statement)) and (copy := unquoted(match[1])).startswith(TABLE_COPY):
            self._begin(copy, statement)
        elif match := _DROP_INDEX.match(statement):
            self._indexes.pop(unquoted(match[1]), None)
        elif (match := _DROP.match(statement)) and copy_of(table := unquoted(match[1])) in self._copies:
            self._replace(table, copy_of(table))
        elif _RENAME.match(statement) or _INDEX.match(statement):
            self._unfinished = statement

    def after(self, _step: Step | None = None) -> None:
        """Ends a revision, inside its transaction.

        Raises:
            MigrationError: rows refer to rows that aren't there, or a view or trigger to a table or column that isn't
                there, and didn't before the revision.
        """
        self._finish()
        self._refuse_broken_objects()
        checked, self._checked, self._indexes = self._checked, {}, {}
        present = {name for (name,) in self._read("SELECT name FROM sqlite_master")} if checked else set()
        for table, before in checked.items():
            if table not in present:  # dropped by the same revision
                continue
            if self._offline:
                broken = f"SELECT 1 FROM pragma_foreign_key_check({literal(table)})"
                self._write(f"SELECT CASE WHEN EXISTS ({broken}) THEN {RAISE} END")
            elif new := self._broken_references(table) - before:
                rows = ", ".join(f"{count} of {child} to {parent}" for (child, parent), count in sorted(new.items()))
                raise MigrationError(f"The revision would leave references to rows that don't exist: {rows}.")

    def failed(self, _error: BaseException) -> None:
        """Forgets the copies, which are rolled back."""
        self._forget()

    def _finish(self) -> None:
        """Restores triggers and indexes after the statement before, which has run by now."""
        statement, self._unfinished = self._unfinished, ""
        if (match := _RENAME.match(statement)) and (copy := unquoted(match[1])).startswith(TABLE_COPY):
            self._write("PRAGMA legacy_alter_table = OFF")
            for name, sql, is_lost in self._originals.pop(copy, []):
                if is_lost:
                    self._write(sql)
                elif _UNSEEN_IN_INDEX.search(sql):  # Alembic creates the index next: see _restore_index
                    self._indexes[name] = sql
        elif (match := _INDEX.match(statement)) and (sql := self._indexes.pop(name := unquoted(match[1]), None)):
            self._restore_index(name, sql, statement)

    def _begin(self, copy: str, statement: str) -> None:
        tables: dict[str, str] = dict(self._read("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        originals = [table for table in tables if copy_of(table) == copy]
        if not originals:
            raise MigrationError(
                f"The table {copy} is a copy whose original is gone: an upgrade without transactions died half-way. "
                f"Look at it, then: ALTER TABLE {quoted(copy)} RENAME TO "
                f"{quoted(copy.removeprefix(TABLE_COPY))}"
            )
        if len(originals) == 1:
            self._refuse_losses(originals[0], tables[originals[0]], statement)
        if copy in tables:
            self._write(f"DROP TABLE {quoted(copy)}")
        self._copies[copy] = statement
        # Else the rename looks into every view and trigger, and fails while the table they name isn't there.
        self._write("PRAGMA legacy_alter_table = ON")

    def _replace(self, table: str, copy: str) -> None:
        """The table is about to be dropped: only now is it sure which one was copied, for long names are cut."""
        ((statement,),) = self._read(f"SELECT sql FROM sqlite_master WHERE type = 'table' AND name = {literal(table)}")
        self._refuse_losses(table, statement, self._copies.pop(copy))
        differ = f"(SELECT count(*) FROM {quoted(table)}) <> (SELECT count(*) FROM {quoted(copy)})"
        if self._offline:
            self._write(f"SELECT CASE WHEN {differ} THEN {RAISE} END")
        elif self._read(f"SELECT {differ}")[0][0]:
            raise MigrationError(f"The copy of {table} has not as many rows as the table: nothing was changed.")
        for relative in (table, *self._children(table)):
            self._checked.setdefault(relative, self._broken_references(relative))
        # Alembic doesn't see an index on an expression: it is lost as triggers are.
        on_expression = "EXISTS (SELECT 1 FROM pragma_index_xinfo(m.name) WHERE cid = -2)"
        self._originals[copy] = self._read(
            f"SELECT name, sql, type = 'trigger' OR {on_expression} FROM sqlite_master m WHERE sql IS NOT NULL "
            f"AND type IN ('index', 'trigger') AND tbl_name = {literal(table)} ORDER BY type, m.rowid"
        )

    def _refuse_losses(self, table: str, old: str, new: str) -> None:
        if lost := list(_unseen(old) - _unseen(new) - _of_dropped_columns(old, new)):
            from app.migrations.operations.exact_table import refuse  # only a loss needs it

            refuse(table, lost)

    def _refuse_broken_objects(self) -> None:
        from app.migrations.operations.broken_objects import broken_objects  # a run of nothing doesn't need it

        before, self._schema = self._schema, None
        after = self._read(_SCHEMA) if before is not None else []
        if before is None or before == after or not (broken := broken_objects(after)):
            return
        already, known = broken_objects(before), {f"{kind} {name}" for kind, name, _ in before}
        # One that the revision created may wait for a table of a later revision, unless this one copied tables.
        concerned = broken.keys() if self._checked else broken.keys() & known
        unusable = [thing for thing in broken if thing in concerned and thing not in already]
        if unusable:
            things = ", ".join(f"the {thing} ({broken[thing]})" for thing in unusable)
            raise MigrationError(
                f"The revision would leave unusable: {things}. Drop it before the change, with op.execute() or "
                "op.drop_trigger(), and create it again after that in its new form, if it is still needed."
            )

    def _restore_index(self, name: str, old: str, new: str) -> None:
        if _plain(old) != _plain(new):
            raise MigrationError(
                f"The index {name} would lose its DESC or COLLATE, which Alembic doesn't see: "
                "drop it before the table is changed, and create it after that with op.execute()."
            )
        self._write(f"DROP INDEX {quoted(name)}")
        self._write(old)

    def _children(self, table: str) -> list[str]:
        name = literal(table)
        rows = self._read(
            "SELECT DISTINCT m.name FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f "
            f"WHERE m.type = 'table' AND f.\"table\" = {name} COLLATE NOCASE AND m.name <> {name}"
        )
        return [name for (name,) in rows]

    def _broken_references(self, table: str) -> Counter[tuple[str, str]]:
        rows = self._read(
            f'SELECT "table", parent, count(*) FROM pragma_foreign_key_check({literal(table)}) GROUP BY 1, 2'
        )
        return Counter({(child, parent): count for child, parent, count in rows})


def _unseen(sql: str) -> Counter[str]:
    said = _SAYS_NOTHING.sub(" ", sql)
    return Counter({word: len(re.findall(pattern, said, re.IGNORECASE)) for word, pattern in _UNSEEN_IN_TABLE.items()})


def _of_dropped_columns(old: str, new: str) -> Counter[str]:
    """Returns what went with columns that a copy lacks; nothing if it has others, which may be these, renamed."""
    before, after = create_table.columns(old), create_table.columns(new)
    added = after.keys() - before.keys() - _CONSTRAINTS
    gone = before.keys() - after.keys() - _CONSTRAINTS if not added else ()
    return _unseen(" ".join(before[name] for name in gone))


def _plain(index: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s\"]", _UNSEEN_IN_INDEX.sub("", index).lower())
