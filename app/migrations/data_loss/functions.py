"""Code in the database that a statement sets off: the functions that it calls, the triggers of what it writes to.

A function of the database's own isn't read: calling it may do anything. Trigger functions, which nobody calls by name,
are read one level deep, and only what is certain counts.
"""

from collections.abc import Iterator
from dataclasses import replace

from app.migrations.data_loss.made_so_far import MadeSoFar
from app.migrations.data_loss.queries import Questions
from app.migrations.sql import Effect, effects, effects_of_trigger
from app.migrations.sql.text import literal, parts_of

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
_EVENTS: dict[type[Effect], int] = {effects.Fill: 4, effects.Delete: 8, effects.Update: 16, effects.Truncate: 32}
_MOST_TRIGGERS = 50


class Functions:
    """The functions of a PostgreSQL database; SQLite has none, and its authorizer tells of triggers.

    Args:
        questions: asks the database.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._answers: dict[str, list[tuple[str, str]] | None] = {}

    def forget(self) -> None:
        """Asks anew: functions or triggers may have changed."""
        self._answers = {}

    def follow(self, effect: Effect, made: MadeSoFar) -> Iterator[Effect]:
        """Returns an effect, and those that it sets off."""
        yield effect
        if self._questions.dialect.name != "postgresql":
            return
        if isinstance(effect, effects.Call):
            yield from self._called(effect, made)
            return
        waiting, seen = [effect], set[str]()
        while waiting and len(seen) < _MOST_TRIGGERS:
            cause = waiting.pop(0)
            triggers = self._triggers(cause, made)
            if triggers is None:
                yield self._unanswered(effect)
                return
            for name, body in triggers:
                if body not in seen:
                    seen.add(body)
                    for inner in effects_of_trigger(body, name):
                        inner = replace(inner, where=f"{cause.where} by way of {name}()".strip())
                        waiting.append(inner)
                        if isinstance(inner, effects.Call):
                            yield from self._called(inner, made)
                        elif not isinstance(inner, effects.Opaque):
                            yield inner

    def _called(self, call: effects.Call, made: MadeSoFar) -> Iterator[Effect]:
        *schema, name = parts_of(call.target)
        inside = "".join(f" AND p.pronamespace = to_regnamespace({literal(part)})" for part in schema)
        answer = self._ask(_OWN.format(name=literal(name), schema=inside))
        if answer is None:
            yield self._unanswered(call)
        elif answer or name in made.functions:
            yield effects.Opaque(f"function {call.target}", where=call.where)

    def _triggers(self, effect: Effect, made: MadeSoFar) -> list[tuple[str, str]] | None:
        event = _EVENTS.get(type(effect))
        if event is None:
            return []
        table = literal(self._questions.words.quote(made.old_name(effect.target)))
        return self._ask(_TRIGGERS.format(table=table, event=event))

    def _unanswered(self, effect: Effect) -> Effect:
        what = f"what {effect.name()} sets off, which the server didn't tell in time"
        return effects.Opaque(what, where=effect.where)

    def _ask(self, sql: str) -> list[tuple[str, str]] | None:
        if sql not in self._answers:
            self._answers[sql] = self._questions.rows(sql)
        return self._answers[sql]
