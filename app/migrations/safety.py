"""The rule table: what would lose data or fail, what to do instead, and the words for it.

A rule belongs to a kind of effect. It carries the question that tells whether rows are at risk in this very database,
and the three beats of a refusal: the harm, what to do instead, and the line that says "I mean it". The gate asks before
a run and during it; a linter can ask nobody, and only reads.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from app.migrations.effects import Effect, Kind, parts_of, qualified

COUNTED = 1000


class Verdict(StrEnum):
    """The answer to a rule's question."""

    SAFE = "safe"
    AT_RISK = "at risk"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Question:
    """What to ask a database.

    Attributes:
        sql: gives the number of rows at risk, or any number above 0.
        doubt: what it means that there was no answer in time.
    """

    sql: str
    doubt: Verdict


@dataclass(frozen=True)
class Rule:
    """What to think of a kind of effect.

    Attributes:
        ask: the question, in the words of the database; None where there is nothing to ask: it counts as at risk.
        harm: what would happen; `{what}`, `{rows}` and `{to}` are filled in.
        instead: what to do.
        mend: the code that puts the data in order, for an effect that only fails; empty if it loses data, which
            somebody must consent to.
    """

    ask: Callable[[Effect, "Words"], Question] | None
    harm: str
    instead: str
    mend: str = ""

    @property
    def loses(self) -> bool:
        """Whether data would be lost; else the revision would only fail."""
        return not self.mend


@dataclass(frozen=True)
class Words:
    """How a database spells things.

    Attributes:
        quote: quotes the name of a table, part by part.
        column: quotes that of a column.
        type_of: the type of a column as it is now, None if there is no such column.
    """

    dialect: str
    quote: Callable[[str], str]
    column: Callable[[str], str]
    type_of: Callable[[str, str], str | None]


@dataclass(frozen=True)
class Finding:
    """An effect of a revision, judged.

    Attributes:
        file: the revision's file.
        upgrade: it is the upgrade that has the effect; consent to a downgrade's isn't written into the revision.
        note: what is more to say.
    """

    revision: str
    file: str
    upgrade: bool
    effect: Effect
    verdict: Verdict
    rows: int | None = None
    note: str = ""

    @property
    def rule(self) -> Rule:
        """The rule that was asked."""
        return CASCADING if self.effect.kind is Kind.DELETE and not self.effect.whole else RULES[self.effect.kind]

    def text(self) -> str:
        """The three beats of a refusal."""
        effect = self.effect
        columns = ", ".join(f"{effect.table}.{column}" for column in effect.columns) or effect.table
        harm = self.rule.harm.format(what=columns, table=effect.table, rows=self._rows(), to=", ".join(effect.to))
        where = f" ({self.file} {effect.where})" if effect.where else f" ({self.file})"
        return (
            f"{self.revision}: {harm}{f' [{self.note}]' if self.note else ''}{where}\n"
            f"  Instead: {self.rule.instead}\n"
            f"  {self._code()}"
        )

    def _code(self) -> str:
        if self.rule.mend:
            columns = self.effect.columns or ("…",)
            mend = self.rule.mend.format(table=self.effect.table, column=columns[0], columns=", ".join(columns))
            return f"For example: {mend}"
        if not self.upgrade:
            return f"If you mean it, this time: alembic -x accept-data-loss={self.revision} downgrade …"
        consent = f'acknowledged = {{"{self.effect.name()}": "why, and where the data is"}}'
        return f"If you mean it, write in {self.file}: {consent}"

    def _rows(self) -> str:
        if self.rows is None:
            return "an unknown number of rows"
        if self.rows > COUNTED:
            return f"more than {COUNTED:,} rows"
        return f"{self.rows:,} row{'s' if self.rows != 1 else ''}"


@dataclass
class Run:
    """What a run has made and changed so far: there is nothing to lose in what it made itself.

    Attributes:
        live: the run is under way, so the database has its new names already.
        gone: names of tables that were dropped or renamed.
    """

    live: bool = False
    tables: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    enums: dict[str, tuple[str, ...]] = field(default_factory=dict)
    old_names: dict[str, str] = field(default_factory=dict)
    old_columns: dict[tuple[str, str], str] = field(default_factory=dict)

    def concerns(self, effect: Effect) -> Effect | None:
        """The effect in the names that the database has, or None if it only concerns what this run made."""
        if effect.table in self.tables or effect.kind in (Kind.CREATE_TABLE, Kind.CREATE_ENUM, Kind.FILL):
            return None
        columns = tuple(column for column in effect.columns if (effect.table, column) not in self.columns)
        if effect.columns and not columns:
            return None
        if effect.kind is not Kind.UPDATE and len(columns) != len(effect.columns):
            columns = effect.columns
        if self.live:
            return replace(effect, columns=columns)
        old = tuple(self.old_columns.get((effect.table, column), column) for column in columns)
        return replace(effect, table=self.old_names.get(effect.table, effect.table), columns=old)

    def note(self, effect: Effect) -> None:
        """Takes the effect into account for those after it."""
        table = effect.table
        match effect.kind:
            case Kind.CREATE_TABLE:
                self.tables.add(table)
            case Kind.DROP_TABLE:
                self.tables.discard(table)
                self.gone.add(table)
            case Kind.ADD_COLUMN:
                self.columns |= {(table, column) for column in effect.columns}
            case Kind.CREATE_ENUM:
                self.enums[table] = effect.to
            case Kind.RENAME_TABLE:
                self._renamed(table, effect.to[0])
            case Kind.RENAME_COLUMN:
                (old,) = effect.columns
                if (table, old) in self.columns:
                    self.columns = self.columns - {(table, old)} | {(table, effect.to[0])}
                self.old_columns[table, effect.to[0]] = self.old_columns.get((table, old), old)
            case Kind.FILL | Kind.UPDATE | Kind.DELETE:
                self.touched.add(table)

    def settle(self) -> None:
        """To be called between two revisions: rows that one has written into its own table are data to the next."""
        self.tables -= self.touched
        self.columns = {(table, column) for table, column in self.columns if table not in self.touched}

    def made(self, enum: str) -> tuple[str, ...] | None:
        """The labels of an enumeration that this run has made."""
        return self.enums.get(qualified(*parts_of(enum)))

    def _renamed(self, old: str, new: str) -> None:
        schema = parts_of(old)[:-1]
        new = qualified(*schema, new) if schema else new
        self.gone.add(old)
        if old in self.tables:
            self.tables = self.tables - {old} | {new}
        if old in self.touched:
            self.touched.add(new)
        self.columns |= {(new, column) for table, column in self.columns if table == old}
        self.old_names[new] = self.old_names.get(old, old)


def _rows_where(condition: Callable[[Effect, Words], str], doubt: Verdict) -> Callable[[Effect, Words], Question]:
    def ask(effect: Effect, words: Words) -> Question:
        rows = f"SELECT 1 FROM {words.quote(effect.table)} WHERE {condition(effect, words)} LIMIT {COUNTED + 1}"
        return Question(f"SELECT count(*) FROM ({rows}) AS at_risk", doubt)

    return ask


def _any(_effect: Effect, words: Words) -> str:
    return "true" if words.dialect == "postgresql" else "1"


def _set(effect: Effect, words: Words) -> str:
    return " OR ".join(f"{words.column(column)} IS NOT NULL" for column in effect.columns)


def _unset(effect: Effect, words: Words) -> str:
    return " OR ".join(f"{words.column(column)} IS NULL" for column in effect.columns)


def text_of(value: str) -> str:
    """A value as a literal."""
    return "'" + value.replace("'", "''") + "'"


def _changed_by_cast(effect: Effect, words: Words) -> str:
    (column,) = effect.columns
    name, (to,) = words.column(column), effect.to
    now = words.type_of(effect.table, column)
    if now is None or widens(now, to):
        return "false" if words.dialect == "postgresql" else "0"
    if words.dialect == "sqlite":
        if to.upper() == "JSON":  # Alembic copies the text as it is
            return "0"
        return f"CAST(CAST({name} AS {to}) AS TEXT) IS NOT CAST({name} AS TEXT)"
    value = effect.using or name
    return f"{name} IS NOT NULL AND (({value})::{to})::{now}::text IS DISTINCT FROM {name}::text"


def _duplicates(effect: Effect, words: Words) -> Question:
    columns = ", ".join(words.column(column) for column in effect.columns)
    given = " AND ".join(f"{words.column(column)} IS NOT NULL" for column in effect.columns)
    groups = f"SELECT 1 FROM {words.quote(effect.table)} WHERE {given} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1"
    return Question(f"SELECT count(*) FROM ({groups}) AS duplicates", Verdict.UNKNOWN)


def _tables_of_schema(effect: Effect, _words: Words) -> Question:
    (schema,) = parts_of(effect.table) or ("",)
    return Question(f"SELECT count(*) FROM pg_tables WHERE schemaname = {text_of(schema)}", Verdict.AT_RISK)


def _taken_along(effect: Effect, words: Words) -> Question:
    what, _, name = effect.table.partition(" ")
    named = text_of(words.quote(name))
    if what == "truncate":
        referring = f"confrelid = to_regclass({named}) AND contype = 'f' AND conrelid <> confrelid"
        return Question(f"SELECT count(*) FROM pg_constraint WHERE {referring}", Verdict.AT_RISK)
    if what in ("type", "domain"):
        columns = f"atttypid = to_regtype({named}) AND NOT attisdropped AND relkind IN ('r', 'p')"
        joined = "pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        return Question(f"SELECT count(*) FROM {joined} WHERE {columns}", Verdict.AT_RISK)
    return Question(f"SELECT {1 if what in ('extension', 'owned') else 0}", Verdict.AT_RISK)


RULES: dict[Kind, Rule] = {
    Kind.DROP_TABLE: Rule(
        _rows_where(_any, Verdict.AT_RISK),
        "dropping the table {what} would lose {rows}.",
        "stop using it in one release and drop it in the next; keep a copy until then (pg_dump --table, or a backup).",
    ),
    Kind.DROP_COLUMN: Rule(
        _rows_where(_set, Verdict.AT_RISK),
        "dropping the column {what} would lose its values in {rows}.",
        "in one release map it as sqlalchemy.orm.unmapped_column, so that nothing uses it; drop it in the next.",
    ),
    Kind.ALTER_TYPE: Rule(
        _rows_where(_changed_by_cast, Verdict.AT_RISK),
        "changing {what} to {to} would change or refuse the values of {rows}.",
        "add a column of the new type, copy what fits, look at what doesn't, then swap them.",
    ),
    Kind.SET_NOT_NULL: Rule(
        _rows_where(_unset, Verdict.UNKNOWN),
        "{what} can't become NOT NULL: it is NULL in {rows}.",
        "fill the NULLs first, in a revision before this one (app.backfill for a large table).",
        'op.execute("UPDATE {table} SET {column} = … WHERE {column} IS NULL")',
    ),
    Kind.ADD_COLUMN: Rule(
        _rows_where(_any, Verdict.UNKNOWN),
        "{what} is NOT NULL without a server default, and {table} has {rows}.",
        "give it a server_default, or add it nullable, fill it, and make it NOT NULL in a later revision.",
        'op.add_column("{table}", sa.Column("{column}", …, server_default=…, nullable=False))',
    ),
    Kind.ADD_UNIQUE: Rule(
        _duplicates,
        "{what} can't become unique: the same values stand in several rows.",
        "find them, decide which row stays, and remove the others before this revision runs.",
        "SELECT {columns}, count(*) FROM {table} GROUP BY {columns} HAVING count(*) > 1",
    ),
    Kind.TRUNCATE: Rule(
        _rows_where(_any, Verdict.AT_RISK),
        "TRUNCATE would lose {rows} of {what}.",
        "delete what is meant to go, with a WHERE.",
    ),
    Kind.DELETE: Rule(
        _rows_where(_any, Verdict.AT_RISK),
        "a DELETE without a WHERE would lose {rows} of {what}.",
        "say in a WHERE which rows are meant to go.",
    ),
    Kind.UPDATE: Rule(
        _rows_where(_set, Verdict.AT_RISK),
        "an UPDATE without a WHERE would write over {what} in {rows}.",
        "say in a WHERE which rows are meant, or write to a new column.",
    ),
    Kind.DROP_SCHEMA: Rule(
        _tables_of_schema,
        "dropping the schema {what} would take its tables along.",
        "drop its tables one by one, so that each can be looked at.",
    ),
    Kind.CASCADE: Rule(
        _taken_along,
        "CASCADE ({what}) would take along what nobody has looked at.",
        "name what is meant to go, without CASCADE.",
    ),
    Kind.OPAQUE: Rule(
        None,
        "{what} can't be looked into, so nobody can tell whether it loses data.",
        "write it with op.… or as plain SQL statements.",
    ),
}
CASCADING = Rule(
    None,
    "a DELETE from {what} would take along rows that refer to it, ON DELETE CASCADE: there are {rows}.",
    "delete those first, in a statement that says which.",
)

_SIZED = re.compile(r"([a-z ]+?)\s*(?:\((\d+)(?:,\s*(\d+))?\))?((?: with(?:out)? time zone)?)", re.IGNORECASE)
_INTEGERS = {"smallint": 0, "integer": 1, "int": 1, "bigint": 2}


def widens(now: str, to: str) -> bool:
    """Whether every value of the type `now` is one of the type `to`, unchanged; false where it isn't known."""
    old, new = _type(now), _type(to)
    if old is None or new is None:
        return False
    if old == new:
        return True
    (kind, size, scale), (new_kind, new_size, new_scale) = old, new
    if kind in _INTEGERS:
        return _INTEGERS.get(new_kind, -1) >= _INTEGERS[kind] or (new_kind == "numeric" and new_size is None)
    if kind in ("varchar", "text"):
        return new_kind in ("varchar", "text") and (new_size is None or (size is not None and new_size >= size))
    if kind == "numeric" == new_kind:
        return new_size is None or (size is not None and scale == new_scale and new_size >= size)
    if kind == new_kind and kind.startswith("time"):
        return (6 if new_size is None else new_size) >= (6 if size is None else size)
    return (kind, new_kind) in {("real", "double precision"), ("cidr", "inet")}


def _type(text: str) -> tuple[str, int | None, int] | None:
    match = _SIZED.fullmatch(" ".join(text.lower().split()))
    if match is None:
        return None
    name = {"character varying": "varchar", "int": "integer", "decimal": "numeric", "datetime": "timestamp"}.get(
        match[1], match[1]
    )
    zone = "tz" if match[4] == " with time zone" else ""
    return name + zone, int(match[2]) if match[2] else None, int(match[3] or 0)
