"""The rule table: effects that lose data or fail, what to do instead, and the code for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.migrations.rules import dependents
from app.migrations.rules.casts import widens
from app.migrations.rules.question import Question, Verdict, Words
from app.migrations.session import Direction, Step
from app.migrations.sql import effects
from app.sql_text import literal

COUNTED = 1000  # rows at risk are counted so far

Ask = Callable[[effects.Effect, Words], Question]


@dataclass(frozen=True)
class Rule:
    """A rule for one kind of effect.

    Attributes:
        harm: what would happen, with `{what}`, `{table}`, `{rows}` and `{to}`.
        instead: what to do.
        ask: gives the question that finds rows at risk; without one, they always are.
        code: puts the data in order, for an effect that only fails. Without it data is lost, which needs a consent.
    """

    harm: str
    instead: str
    ask: Ask | None = None
    code: str = ""

    @property
    def loses(self) -> bool:
        """Returns whether data would be lost; else the revision would only fail."""
        return not self.code


def _rows_where(condition: Callable[[effects.Effect, Words], str], doubt: Verdict) -> Ask:
    def ask(effect: effects.Effect, words: Words) -> Question:
        only = "ONLY " if isinstance(effect, effects.ChangeRows) and effect.only else ""
        rows = f"SELECT 1 FROM {only}{words.quote(effect.target)} WHERE {condition(effect, words)}"
        return Question(f"SELECT count(*) FROM ({rows} LIMIT {COUNTED + 1}) AS at_risk", doubt)

    return ask


def _any(_effect: effects.Effect, words: Words) -> str:
    return "true" if words.dialect == "postgresql" else "1"


def _set(effect: effects.Effect, words: Words) -> str:
    # To PostgreSQL a composite value with a NULL in it isn't "NOT NULL".
    given = "IS DISTINCT FROM NULL" if words.dialect == "postgresql" else "IS NOT NULL"
    return " OR ".join(f"{words.column(column)} {given}" for column in effect.columns)


def _unset(effect: effects.Effect, words: Words) -> str:
    return " OR ".join(f"{words.column(column)} IS NULL" for column in effect.columns)


def _changed(effect: effects.Effect, words: Words) -> Question:
    """Asks for values that another type changes; without a cast back from it, for those that it spells otherwise."""
    question = _rows_where(_changed_by_cast, Verdict.AT_RISK)(effect, words)
    return replace(question, otherwise=_rows_where(_spelt_otherwise, Verdict.AT_RISK)(effect, words))


def _spelt_otherwise(effect: effects.Effect, words: Words) -> str:
    assert isinstance(effect, effects.AlterType)
    name = words.column(effect.columns[0])
    return f"(({effect.using or name})::{effect.to})::text IS DISTINCT FROM {name}::text"


def _changed_by_cast(effect: effects.Effect, words: Words) -> str:
    assert isinstance(effect, effects.AlterType)
    (column,) = effect.columns
    name, to, now = words.column(column), effect.to, words.type_of(effect.target, column)
    as_it_is = effect.using in ("", name, f"{name}::{to}")  # any other expression may give every row something else
    if now is None or (as_it_is and widens(now, to)):
        return "false" if words.dialect == "postgresql" else "0"
    if words.dialect == "sqlite":
        # Alembic copies the text of a JSON column as it is.
        return "0" if to.upper() == "JSON" else f"CAST(CAST({name} AS {to}) AS TEXT) IS NOT CAST({name} AS TEXT)"
    return f"{name} IS NOT NULL AND (({effect.using or name})::{to})::{now}::text IS DISTINCT FROM {name}::text"


def _duplicates(effect: effects.Effect, words: Words) -> Question:
    columns = ", ".join(words.column(column) for column in effect.columns)
    given = " AND ".join(f"{words.column(column)} IS NOT NULL" for column in effect.columns)
    # One pair is enough: which of the rows is to stay, only a person can say.
    groups = f"SELECT 1 FROM {words.quote(effect.target)} WHERE {given} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1"
    return Question(f"SELECT count(*) FROM ({groups}) AS duplicates", Verdict.UNKNOWN)


def _refers_to_nothing(effect: effects.Effect, words: Words) -> str:
    assert isinstance(effect, effects.AddForeignKey)
    table, columns = words.quote(effect.target), [words.column(column) for column in effect.columns]
    pairs = zip(map(words.column, effect.referred), columns, strict=True)
    same = " AND ".join(f"referred.{to} = {table}.{column}" for to, column in pairs)
    given = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    return f"{given} AND NOT EXISTS (SELECT 1 FROM {words.quote(effect.to)} AS referred WHERE {same})"


def _refused_by_check(effect: effects.Effect, _words: Words) -> str:
    assert isinstance(effect, effects.AddCheck)
    return f"NOT ({effect.to})"


def values_other_than(labels: tuple[str, ...], effect: effects.Effect, words: Words) -> Question:
    """Returns the question for values of a column that an enumeration with these labels hasn't."""
    (column,) = effect.columns
    condition = f"{words.column(column)}::text NOT IN ({', '.join(map(literal, labels)) or chr(39) * 2})"
    return _rows_where(lambda *_: condition, Verdict.AT_RISK)(effect, words)


RULES: dict[type[effects.Effect], Rule] = {
    effects.DropTable: Rule(
        "dropping the table {what} would lose {rows}.",
        "stop using it in one release and drop it in the next; keep a copy until then (pg_dump --table, or a backup).",
        _rows_where(_any, Verdict.AT_RISK),
    ),
    effects.DetachPartition: Rule(
        "detaching {what} would take {rows} out of {to}: whoever reads that finds them no more.",
        "let schema partitions maintain take away what its model keeps no longer; copy anything else first.",
        _rows_where(_any, Verdict.AT_RISK),
    ),
    effects.DropColumn: Rule(
        "dropping the column {what} would lose its values in {rows}.",
        "in one release map it as sqlalchemy.orm.unmapped_column, so that nothing uses it; drop it in the next.",
        _rows_where(_set, Verdict.AT_RISK),
    ),
    effects.AlterType: Rule(
        "changing {what} to {to} would change or refuse the values of {rows}.",
        "add a column of the new type, copy what fits, look at what doesn't, then swap them.",
        _changed,
    ),
    effects.SetNotNull: Rule(
        "{what} can't become NOT NULL: it is NULL in {rows}.",
        "fill the NULLs first, in a revision before this one (Backfill of app.revision_api for a large table).",
        _rows_where(_unset, Verdict.UNKNOWN),
        'op.execute("UPDATE {table} SET {column} = … WHERE {column} IS NULL")',
    ),
    effects.AddColumn: Rule(
        "{what} is NOT NULL without a server default, and {table} has {rows}.",
        "give it a server_default, or add it nullable, fill it, and make it NOT NULL in a later revision.",
        _rows_where(_any, Verdict.UNKNOWN),
        'op.add_column("{table}", sa.Column("{column}", …, server_default=…, nullable=False))',
    ),
    effects.AddUnique: Rule(
        "{what} can't become unique: the same values stand in several rows.",
        "find them, decide which row stays, and remove the others before this revision runs.",
        _duplicates,
        "SELECT {columns}, count(*) FROM {table} GROUP BY {columns} HAVING count(*) > 1",
    ),
    effects.AddForeignKey: Rule(
        "{what} can't refer to {to}, which has no such row for {rows}.",
        "give these a row to refer to, or NULL, or delete them, in a revision before this one.",
        _rows_where(_refers_to_nothing, Verdict.UNKNOWN),
        "SELECT {columns}, count(*) FROM {table} WHERE NOT EXISTS (SELECT 1 FROM {to} WHERE …) GROUP BY {columns}",
    ),
    effects.AddCheck: Rule(
        "{what} can't get CHECK ({to}), which {rows} would break.",
        "correct these rows, in a revision before this one.",
        _rows_where(_refused_by_check, Verdict.UNKNOWN),
        "SELECT * FROM {table} WHERE NOT ({to})",
    ),
    effects.Truncate: Rule(
        "TRUNCATE would lose {rows} of {what}.",
        "delete what is meant to go, with a WHERE.",
        _rows_where(_any, Verdict.AT_RISK),
    ),
    effects.Delete: Rule(
        "a DELETE without a WHERE would lose {rows} of {what}.",
        "say in a WHERE which rows are meant to go.",
        _rows_where(_any, Verdict.AT_RISK),
    ),
    effects.Update: Rule(
        "an UPDATE without a WHERE would write over {what} in {rows}.",
        "say in a WHERE which rows are meant, or write to a new column.",
        _rows_where(_set, Verdict.AT_RISK),
    ),
    effects.DropSchema: Rule(
        "dropping the schema {what} would take its tables along.",
        "drop its tables one by one, so that each can be looked at.",
        dependents.of_schema,
    ),
    effects.Cascade: Rule(
        "CASCADE ({what}) would take along what nobody has looked at.",
        "name what is meant to go, without CASCADE.",
        dependents.of_cascade,
    ),
    effects.Opaque: Rule(
        "{what} can't be looked into, so nobody can tell whether it loses data.",
        "write it with op.… or as plain SQL statements.",
    ),
}
DELETE_OF_PARENTS = Rule(
    "a DELETE from {what} would take along rows that refer to it, ON DELETE CASCADE ({rows}).",
    "delete those first, in a statement that says which.",
    dependents.of_delete,
)


def rule_of(effect: effects.Effect) -> Rule | None:
    """Returns the rule that matches an effect; None for a harmless one."""
    match effect:
        case effects.AddColumn(required=False) | effects.Update(whole=False) | effects.AddRule(checked=False):
            return None
        case effects.Delete(whole=False):
            return DELETE_OF_PARENTS
    return RULES.get(type(effect))


@dataclass(frozen=True)
class Finding:
    """An effect of a revision that a rule matches, with the verdict.

    Attributes:
        note: more to say: the reason for a doubt, or the column concerned.
    """

    step: Step
    effect: effects.Effect
    verdict: Verdict
    rows: int | None = None
    note: str = ""

    @property
    def rule(self) -> Rule:
        """Returns the rule that matches."""
        rule = rule_of(self.effect)
        assert rule is not None
        return rule

    def text(self) -> str:
        """Returns the three beats of a refusal: the harm, what to do instead, the line to paste."""
        effect = self.effect
        what = ", ".join(f"{effect.shown}.{column}" for column in effect.columns) or effect.shown
        harm = self.rule.harm.format(what=what, table=effect.shown, rows=self._rows(), to=getattr(effect, "to", ""))
        note = f" [{self.note}]" if self.note else ""
        place = f"{self.step.file_name} {effect.where}".rstrip()
        return f"{self.step.revision}: {harm}{note} ({place})\n  Instead: {self.rule.instead}\n  {self._code()}"

    def _code(self) -> str:
        if not self.rule.loses:
            columns, to = self.effect.columns or ("…",), getattr(self.effect, "to", "")
            code = self.rule.code.format(table=self.effect.shown, column=columns[0], columns=", ".join(columns), to=to)
            return f"For example: {code}"
        if self.step.direction is not Direction.UPGRADE:  # consent to those isn't written into the revision
            return f"If you mean it, this time: alembic -x accept-data-loss={self.step.revision} downgrade …"
        consent = f'acknowledged = {{"{self.effect.name()}": "why, and where the data is"}}'
        return f"If you mean it, write in {self.step.file_name}: {consent}"

    def _rows(self) -> str:
        if self.rows is None:
            return "an unknown number of rows"
        if self.rows > COUNTED:
            return f"more than {COUNTED:,} rows"
        return f"{self.rows:,} row{'s' if self.rows != 1 else ''}"
