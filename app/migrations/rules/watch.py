"""Follows the statements of a run, and finds those that a rule of stalls matches."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from app.migrations.rules.indexes import Index, indexes_of
from app.migrations.rules.matches import MATCHES
from app.migrations.rules.releases import DeployOrder
from app.migrations.rules.stalls import Stall
from app.migrations.sql import REPEATABLE, Statement
from app.migrations.sql.work import Work, texts_in, without_null, work_of
from app.sql_text import bare

_LOCKS_NOBODY_OUT = {
    *("create_table", "create_view", "create_index", "drop_index", "validate"),
    *("update", "delete", "insert", "attach", "read", "revoke"),
}
# request_logs_p20261130, request_logs_until_20261130, logs_2026_11, logs_y2026m11, logs_default
_PART = re.compile(r"(.+?)_(?:p|y|until_)?(?:\d[\d_]*(?:m\d+)?(?:d\d+)?|default)")
_UNREADABLE = Work("unreadable", "", "SQL unknown to PostgreSQL's grammar")


@dataclass
class Revision:
    """A revision, as far as it has been followed.

    Attributes:
        facts: the snapshot of PostgreSQL before it.
        vouched: it says that it can be run again.
        outside: the last statement was in no transaction.
        locked: tables whose lock the transaction holds.
        added: constraints that the transaction has added, with their tables.
        values: values that the transaction has added to enumerations, with the work that did.
        staying: what the transaction has done that can't be done twice, and where.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    vouched: bool = False
    outside: bool = False
    locked: set[str] = field(default_factory=set)
    added: set[tuple[str, str]] = field(default_factory=set)
    values: dict[str, Work] = field(default_factory=dict)
    staying: list[tuple[Work, str]] = field(default_factory=list)

    @cached_property
    def indexes(self) -> list[Index]:
        """Returns the indexes and keys before it."""
        return [*indexes_of(self.facts)]

    def begin_transaction(self, *, outside: bool = False) -> None:
        """Begins another transaction, or leaves one."""
        self.outside, self.locked, self.added, self.values = outside, set(), set(), {}


@dataclass
class Watch:
    """A run, as far as it has been followed.

    Attributes:
        utc: sessions of the run are in UTC.
        order: what running code may use; None if it doesn't matter.
        now: the revision that is followed.
        made: tables that the run has made: nobody waits for these.
        types: types that the run has made, and whether each is a domain that refuses values.
        checks: the conditions of CHECKs, and `proved` the columns that valid ones have no NULL in.
        indexes: those that the run has made, and `gone` the names of those that it has dropped.
        partitioned: tables that may be partitioned, as their models say.
        parts: partitions that a database has, each with its table; `detached` those that the run has detached.
    """

    utc: bool = False
    order: DeployOrder | None = None
    now: Revision = field(default_factory=Revision)
    made: set[str] = field(default_factory=set)
    types: dict[str, bool] = field(default_factory=dict)
    checks: dict[tuple[str, str], str] = field(default_factory=dict)
    proved: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    indexes: list[Index] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    partitioned: Collection[str] = ()
    parts: Mapping[str, str] = field(default_factory=dict)
    detached: set[str] = field(default_factory=set)

    def begin(self, facts: Mapping[str, Any], *, vouched: bool = False) -> None:
        """Begins a revision.

        Args:
            facts: the snapshot of PostgreSQL before it.
            vouched: it says that it can be run again.
        """
        self.now = Revision(facts, vouched)
        for name, values in facts.items():
            definition = str(values.get("definition", ""))
            if name.startswith("constraint ") and definition.startswith("CHECK "):
                table, _, constraint = name.removeprefix("constraint ").partition(".")
                self.checks[table, constraint] = definition.removeprefix("CHECK ")
                if values.get("valid"):
                    self._prove(table, constraint)

    def see(self, statement: str, where: str) -> Iterator[Stall]:
        """Yields what a statement makes others wait for."""
        first = statement.partition(";")[0].strip().upper()
        if first in ("BEGIN", "COMMIT"):
            self.now.begin_transaction(outside=first == "COMMIT")
            return
        works = work_of(statement)
        if works is None:
            yield Stall("unreadable", _UNREADABLE, where)
            return
        by_engine = Statement("postgresql", statement, None).repeatable
        yield from self._lasting(statement, works, where, by_engine=by_engine)
        for value in self.now.values.keys() & texts_in(statement) if self.now.values else ():
            yield Stall("enum-value-used", self.now.values[value], where)
        for work in works:  # PostgreSQL does the drops of a statement first
            if work.kind == "drop_constraint":
                self.proved.pop((bare(work.table), work.name), None)
                self.checks.pop((bare(work.table), work.name), None)
        marked = {"by_engine"} if statement.startswith(REPEATABLE) else set[str]()
        for work in (self._located(replace(work, options=work.options | marked)) for work in works):
            for rule in self._rules(work, by_engine=by_engine):
                name, to = rule if isinstance(rule, tuple) else (rule, work.to)
                yield Stall(name, replace(work, to=to), where)
            self._note(work)
            self.detached |= {bare(work.to)} if work.kind == "detach" else set()

    def _lasting(self, statement: str, works: list[Work], where: str, *, by_engine: bool) -> Iterator[Stall]:
        """Yields what stays done outside of a transaction, or before it is left, and can't be done twice."""
        if self.now.vouched or any(work.kind == "detach" and "concurrently" in work.options for work in works):
            return  # PostgreSQL has no other form of the second
        done = [] if by_engine else [(Work("other", "", " ".join(statement.split()[:6])), where)]
        if not self.now.outside:
            self.now.staying += done
            return
        yield from (Stall("not-repeatable", work, place) for work, place in [*self.now.staying, *done])
        self.now.staying = []

    def _located(self, work: Work) -> Work:
        """Returns the drop of an index with its table."""
        if work.kind != "drop_index":
            return work
        known = [*self.indexes, *self.now.indexes]
        return replace(work, table=next((index.table for index in known if index.name == bare(work.name)), ""))

    def _rules(self, work: Work, *, by_engine: bool) -> Iterator[str | tuple[str, str]]:
        table = bare(work.table)
        if "concurrently" in work.options and not self.now.outside:
            yield "concurrent-in-transaction"
        is_new = bool(work.table) and table in self.made
        for match in MATCHES.get(work.kind, ()):
            rule = match(self, work)
            if rule == "long-backfill" and by_engine:  # page by page
                continue
            if rule is not None and (not is_new or rule == "column-order"):
                yield rule
        is_part = work.kind == "drop_table" and (table in self.detached or self.parent_of(table) is not None)
        if self.order is not None and not is_new and not is_part:  # code names the table, not its partitions
            yield from self.order.rules(work, self.now.facts)
        holds_another = not self.now.outside and self.now.locked - {table}
        if holds_another and table and not is_new and _locks(work):
            yield "second-lock"

    def _note(self, work: Work) -> None:
        table = bare(work.table)
        if self.order is not None:
            self.order.note(work)
        match work.kind:
            case "create_table":
                self.made.add(table)
            case "rename_table" if table in self.made:
                self.made.add(bare(work.to))
            case "create_type" | "create_domain":
                self.types[bare(work.name)] = "constrained" in work.options
            case "add_value" if bare(work.name) not in self.types and not self.now.outside:
                self.now.values[work.to] = work
            case "create_index" | "add_unique" | "add_primary" if work.columns:
                self.indexes.append(Index.of(work, table))
                self.gone.discard(work.name)
            case "drop_index" | "drop_constraint":
                self.gone.add(bare(work.name))
            case "add_check":
                self.checks[table, work.name] = work.to
                if "not_valid" not in work.options:
                    self._prove(table, work.name)
            case "validate":
                self._prove(table, work.name)
        if work.kind.startswith("add_") and work.name:
            self.now.added.add((table, work.name))
        if not self.now.outside and table and table not in self.made and _locks(work):
            self.now.locked.add(table)

    def _prove(self, table: str, constraint: str) -> None:
        self.proved[table, constraint] = without_null(self.checks.get((table, constraint), ""))

    def is_proved(self, table: str, column: str) -> bool:
        """Returns whether a valid CHECK, or the column itself, lets no NULL in."""
        if self.now.facts.get(f"column {table}.{column}", {}).get("nullable") is False:
            return True
        return any(column in columns for (of, _), columns in self.proved.items() if of == table)

    def is_partitioned(self, table: str) -> bool:
        """Returns whether a table is partitioned, or may be."""
        facts = self.now.facts.get(f"table {table}", {})
        return table in self.partitioned or "partitioned_by" in facts or table in self.parts.values()

    def parent_of(self, table: str) -> str | None:
        """Returns the table that another one is a partition of.

        No snapshot has partitions: without a database it is told by the name, as ours and other tools give it.
        """
        if table in self.detached or table in self.parts:
            return None if table in self.detached else self.parts[table]
        match = _PART.fullmatch(table)
        is_part = match is not None and f"table {table}" not in self.now.facts and self.is_partitioned(match[1])
        return match[1] if is_part and match is not None else None

    def known_indexes(self, table: str) -> list[Index]:
        """Returns the indexes and keys of a table, those that the run has made too."""
        known = (*self.now.indexes, *self.indexes)
        return [index for index in known if index.table == table and index.name not in self.gone]


def _locks(work: Work) -> bool:
    """Returns whether work takes a lock that keeps readers or writers out."""
    return work.kind not in _LOCKS_NOBODY_OUT and (work.kind != "lock" or "strong" in work.options)
