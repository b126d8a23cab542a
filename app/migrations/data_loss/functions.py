"""Code in a PostgreSQL database that a statement sets off: functions that it calls, triggers of what it writes to.

A function of the database's own isn't read: calling it may do anything. A trigger function, which no statement names,
is read, and only certain losses count. SQLite has no functions, and its authorizer covers triggers.
"""

from collections.abc import Iterator
from dataclasses import replace

from app.migrations.data_loss.made_so_far import MadeSoFar
from app.migrations.data_loss.queries import Questions
from app.migrations.sql import effects, effects_of_trigger
from app.sql_text import literal, parts_of

_OWN = """
SELECT 1 FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname NOT IN ('c', 'internal') AND p.prokind IN ('f', 'p') AND p.proname = {name}
  AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace){schema} LIMIT 1
"""
_TRIGGERS = """
SELECT p.proname, p.prosrc FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE l.lanname = 'plpgsql' AND p.oid IN (
    SELECT tgfoid FROM pg_trigger
    WHERE tgrelid = to_regclass({table}) AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & {event} <> 0
)
"""
_EVENTS: dict[type, int] = {effects.Fill: 4, effects.Delete: 8, effects.Update: 16, effects.Truncate: 32}
_MOST_TRIGGERS = 50  # they may set off each other


class Functions:
    """The functions of a database.

    Args:
        questions: asks the database.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._answers: dict[str, list[tuple[str, str]]] = {}

    def forget(self) -> None:
        """Asks anew: functions or triggers may have changed."""
        self._answers = {}

    def follow(self, effect: effects.Effect, made: MadeSoFar) -> Iterator[effects.Effect]:
        """Returns an effect, and those that it sets off."""
        yield effect
        if self._questions.dialect.name == "postgresql":
            try:
                yield from self._set_off(effect, made)
            except _NotToldError:
                what = f"what {effect.name()} sets off, which the server didn't tell in time"
                yield effects.Opaque(what, where=effect.where)

    def _set_off(self, effect: effects.Effect, made: MadeSoFar) -> Iterator[effects.Effect]:
        waiting, seen = [effect], set[str]()
        while waiting and len(seen) < _MOST_TRIGGERS:
            cause = waiting.pop(0)
            if isinstance(cause, effects.Call) and self._is_own(cause, made):
                yield effects.Opaque(f"function {cause.target}", where=cause.where)
            for name, body in self._triggers(cause, made):
                if body not in seen:
                    seen.add(body)
                    where = f"{cause.where} by way of {name}()".strip()
                    inner = [replace(each, where=where) for each in effects_of_trigger(body, name)]
                    # A trigger with EXECUTE is no reason to refuse every INSERT into its table.
                    yield from (each for each in inner if not isinstance(each, effects.Opaque))
                    waiting += inner

    def _is_own(self, call: effects.Call, made: MadeSoFar) -> bool:
        *schema, name = parts_of(call.target)
        inside = "".join(f" AND p.pronamespace = to_regnamespace({literal(part)})" for part in schema)
        return name in made.functions or bool(self._ask(_OWN.format(name=literal(name), schema=inside)))

    def _triggers(self, effect: effects.Effect, made: MadeSoFar) -> list[tuple[str, str]]:
        if type(effect) not in _EVENTS:
            return []
        table = literal(self._questions.words.quote(made.old_name(effect.target)))
        return self._ask(_TRIGGERS.format(table=table, event=_EVENTS[type(effect)]))

    def _ask(self, sql: str) -> list[tuple[str, str]]:
        if sql not in self._answers:
            rows = self._questions.rows(sql)
            if rows is None:
                raise _NotToldError
            self._answers[sql] = rows
        return self._answers[sql]


class _NotToldError(Exception):
    """The server named its functions too late."""
