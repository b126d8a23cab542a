"""What a statement does by way of others: the functions that it calls, and the triggers of the tables it writes to.

PostgreSQL keeps their source, so it is read like a revision's own statements. What can't be read, a function in another
language or one that puts SQL together, is said to be so when it is called by name; of triggers, which nobody calls,
only what is certain is told.
"""

from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa

from app.migrations import sql
from app.migrations.data_loss.made_so_far import Run
from app.migrations.data_loss.queries import Questions
from app.migrations.rules import text_of
from app.migrations.sql.effects import Effect, Kind, parts_of

_SOURCE = """
SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.prokind IN ('f', 'p') AND l.lanname NOT IN ('c', 'internal')
  AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) AND {which}
"""
_FIRES = "p.oid IN (SELECT tgfoid FROM pg_trigger WHERE {of} AND tgenabled <> 'D' AND tgtype & {event} <> 0)"
_EVENTS = {Kind.FILL: 4, Kind.DELETE: 8, Kind.UPDATE: 16, Kind.TRUNCATE: 32}
_MOST_AT_ONCE = 50


class Routines:
    """The functions of a database.

    Args:
        questions: to ask it.
    """

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._known: dict[str, list[tuple[str, str]]] = {}

    def forget(self) -> None:
        """To be called when functions or triggers may have changed."""
        self._known = {}

    def follow(self, effect: Effect, run: Run, connection: sa.Connection) -> Iterator[Effect]:
        """An effect, then those of what it sets off."""
        yield effect
        try:
            yield from self._set_off(effect, run, connection)
        except _NotToldError:
            what = f"what {effect.name()} sets off, which the server didn't tell in time"
            yield Effect(Kind.OPAQUE, what, where=effect.where)

    def _set_off(self, effect: Effect, run: Run, connection: sa.Connection) -> Iterator[Effect]:
        waiting = list(self._sources(effect, run, connection))
        seen: set[str] = set()
        while waiting and len(seen) < _MOST_AT_ONCE:
            name, source, by_trigger = waiting.pop(0)
            if source in seen:
                continue
            seen.add(source)
            where = f"{effect.where} by way of {name}()".strip()
            for inner in sql.effects_of_function(source, name):
                if not (by_trigger and inner.kind is Kind.OPAQUE):
                    yield replace(inner, where=where)
                waiting += [(n, s, by_trigger or t) for n, s, t in self._sources(inner, run, connection)]

    def _sources(self, effect: Effect, run: Run, connection: sa.Connection) -> Iterator[tuple[str, str, bool]]:
        """Name and source of each function, and whether a trigger calls it."""
        if connection.dialect.name != "postgresql":  # whose authorizer tells of triggers, and which has no functions
            return
        if effect.kind is Kind.CALL:
            name = parts_of(effect.table)[-1]
            yield from ((name, source, False) for source in run.functions.get(name, ()))
            where = " AND ".join(
                [
                    f"p.proname = {text_of(name)}",
                    *(f"p.pronamespace = to_regnamespace({text_of(s)})" for s in parts_of(effect.table)[:-1]),
                ]
            )
            yield from ((name, source, False) for name, source in self._ask(where, connection))
        elif effect.kind in _EVENTS and (concerned := run.old_name(effect.table)):
            table = text_of(self._questions.words(connection).quote(concerned))
            fires = _FIRES.format(of=f"tgrelid = to_regclass({table}) AND NOT tgisinternal", event=_EVENTS[effect.kind])
            yield from ((name, source, True) for name, source in self._ask(fires, connection))

    def _ask(self, which: str, connection: sa.Connection) -> list[tuple[str, str]]:
        if which not in self._known:
            found = self._questions.rows(connection, _SOURCE.format(which=which))
            if found is None:
                raise _NotToldError
            self._known[which] = found
        return self._known[which]


class _NotToldError(Exception):
    """The server didn't say in time which functions there are."""
