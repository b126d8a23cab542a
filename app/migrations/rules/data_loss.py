"""The rules: what would lose data or fail, what to do instead, and the words for it."""

from collections.abc import Callable
from dataclasses import dataclass

from app.migrations.rules import dependents
from app.migrations.rules.casts import widens
from app.migrations.rules.questions import Question, Verdict, Words
from app.migrations.sql.effects import ONLY, Effect, Kind

COUNTED = 1000


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

    ask: Callable[[Effect, Words], Question] | None
    harm: str
    instead: str
    mend: str = ""

    @property
    def loses(self) -> bool:
        """Whether data would be lost; else the revision would only fail."""
        return not self.mend


def _rows_where(condition: Callable[[Effect, Words], str], doubt: Verdict) -> Callable[[Effect, Words], Question]:
    def ask(effect: Effect, words: Words) -> Question:
        alone = "ONLY " if ONLY in effect.to else ""
        rows = f"SELECT 1 FROM {alone}{words.quote(effect.table)} WHERE {condition(effect, words)} LIMIT {COUNTED + 1}"
        return Question(f"SELECT count(*) FROM ({rows}) AS at_risk", doubt)

    return ask


def _any(_effect: Effect, words: Words) -> str:
    return "true" if words.dialect == "postgresql" else "1"


def _set(effect: Effect, words: Words) -> str:
    # To PostgreSQL a composite value with a NULL in it isn't "NOT NULL".
    given = "IS DISTINCT FROM NULL" if words.dialect == "postgresql" else "IS NOT NULL"
    return " OR ".join(f"{words.column(column)} {given}" for column in effect.columns)


def _unset(effect: Effect, words: Words) -> str:
    return " OR ".join(f"{words.column(column)} IS NULL" for column in effect.columns)


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
        dependents.of_schema,
        "dropping the schema {what} would take its tables along.",
        "drop its tables one by one, so that each can be looked at.",
    ),
    Kind.CASCADE: Rule(
        dependents.of_cascade,
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
    dependents.of_delete,
    "a DELETE from {what} would take along rows that refer to it, ON DELETE CASCADE ({rows}).",
    "delete those first, in a statement that says which.",
)


def rule_of(effect: Effect) -> Rule | None:
    """The rule for an effect; None where there is nothing to ask or to say."""
    return CASCADING if effect.kind is Kind.DELETE and not effect.whole else RULES.get(effect.kind)
