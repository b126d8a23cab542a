"""Follows the statements of a run, and finds those that a rule of stalls matches."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.migrations.rules.casts import keeps_table
from app.migrations.rules.releases import DeployOrder
from app.migrations.rules.stalls import Stall
from app.migrations.sql.work import Work, functions_in, work_of
from app.sql_text import bare

# What doesn't change within a transaction; another function may give each row something else.
_STABLE = {"now", "transaction_timestamp", "statement_timestamp", "timezone", "current_setting", "lower", "upper"}
_LOCKS_NOBODY_OUT = {
    "create_table",
    "create_index",
    "drop_index",
    "validate",
    "update",
    "delete",
    "insert",
    "lock",
    "create_view",
}


@dataclass
class Watch:
    """A run, as far as it has been followed.

    Attributes:
        facts: the snapshot of PostgreSQL before it.
        made: tables that the run has made: nobody waits for these.
        outside: the last statement was in no transaction.
        locked: tables whose lock the transaction holds.
        added: constraints that the transaction has added, with their tables.
        order: what running code may use; None if it doesn't matter.
        checks: the conditions of CHECKs that are NOT VALID, and `proved` the columns that valid ones have no NULL in.
    """

    facts: Mapping[str, Any]
    made: set[str] = field(default_factory=set)
    outside: bool = False
    locked: set[str] = field(default_factory=set)
    added: set[tuple[str, str]] = field(default_factory=set)
    order: DeployOrder | None = None
    checks: dict[tuple[str, str], str] = field(default_factory=dict)
    proved: set[tuple[str, str]] = field(default_factory=set)

    def begin_revision(self) -> None:
        """Begins another transaction."""
        self.outside, self.locked, self.added = False, set(), set()

    def see(self, statement: str, where: str) -> Iterator[Stall]:
        """Yields what a statement makes others wait for."""
        first = statement.partition(";")[0].strip().upper()
        if first in ("BEGIN", "COMMIT"):
            self.begin_revision()
            self.outside = first == "COMMIT"
            return
        works = work_of(statement)
        if works is None:
            yield Stall("unreadable", Work("unreadable", ""), where)
            return
        for work in works:
            yield from (Stall(rule, work, where) for rule in self._rules(work))
            self._note(work)

    def _rules(self, work: Work) -> Iterator[str]:
        table = bare(work.table)
        if "concurrently" in work.options and not self.outside:
            yield "concurrent-in-transaction"
        if table in self.made and work.table:
            return
        if work.kind in _MATCHES:
            yield from filter(None, (match(self, work) for match in _MATCHES[work.kind]))
        if self.order is not None:
            yield from self.order.rules(work, self._fact(work, "default"))
        holds_another = not self.outside and self.locked - {table}
        if holds_another and work.table and work.kind not in _LOCKS_NOBODY_OUT:
            yield "second-lock"

    def _note(self, work: Work) -> None:
        table = bare(work.table)
        if self.order is not None:
            self.order.note(work)
        match work.kind:
            case "create_table":
                self.made.add(table)
            case "rename_table" if table in self.made:
                self.made.add(work.to)
            case "add_check":
                self.checks[table, work.name] = work.to
                if "not_valid" not in work.options:
                    self._prove(table, work.name)
            case "validate":
                self._prove(table, work.name)
        if work.kind.startswith("add_") and work.name:
            self.added.add((table, work.name))
        if not self.outside and table and table not in self.made and work.kind not in _LOCKS_NOBODY_OUT:
            self.locked.add(table)

    def _prove(self, table: str, constraint: str) -> None:
        column, _, rest = self.checks.get((table, constraint), "").rpartition(" IS NOT NULL")
        if column and not rest:
            self.proved.add((table, column.strip('"')))

    def type_of(self, work: Work) -> str:
        """Returns the type that a column has before the run."""
        return self._fact(work, "type")

    def _fact(self, work: Work, name: str) -> str:
        """Returns a fact of a column before the run."""
        return str(self.facts.get(f"column {bare(work.table)}.{work.name}", {}).get(name) or "")

    def index_beginning_with(self, work: Work) -> str | None:
        """Returns an index, or a key, whose first columns are those of a piece of work."""
        wanted = [*work.columns]
        for name, facts in self.facts.items():
            kind, _, address = name.partition(" ")
            if kind not in ("index", "constraint") or not address.startswith(f"{bare(work.table)}."):
                continue
            if _columns(kind, str(facts.get("definition", "")))[: len(wanted)] == wanted and all(wanted):
                return address.partition(".")[2]
        return None


def _columns(kind: str, definition: str) -> list[str]:
    if kind == "index":
        return [column for work in work_of(definition) or [] for column in work.columns]
    if not definition.startswith(("PRIMARY KEY (", "UNIQUE (")):
        return []
    inside = definition[definition.index("(") + 1 : definition.index(")")]
    return [column.strip(' "') for column in inside.split(",")]


def _unless(option: str, rule: str) -> "_Match":
    return lambda _watch, work: None if option in work.options else rule


def _of_new_column(_watch: Watch, work: Work) -> str | None:
    if "stored" in work.options:
        return "stored-column"
    if "counts" in work.options:
        return "counting-column"
    if work.to and functions_in(work.to) - _STABLE:
        return "volatile-default"
    return "required-column" if "required" in work.options and not work.to else None


def _of_its_constraint(_watch: Watch, work: Work) -> str | None:
    built = work.options & {"unique", "checked"} or ("refers" in work.options and work.to)
    return "column-with-constraint" if built else None


def _of_not_null(watch: Watch, work: Work) -> str | None:
    return None if (bare(work.table), work.name) in watch.proved else "not-null"


def _of_validation(watch: Watch, work: Work) -> str | None:
    return "validate-in-transaction" if (bare(work.table), work.name) in watch.added and not watch.outside else None


def _of_type(watch: Watch, work: Work) -> str | None:
    return None if keeps_table(watch.type_of(work), work.to) else "rewrite-type"


def _of_rows(watch: Watch, work: Work) -> str | None:
    return "rows-in-transaction" if bare(work.table) in watch.locked else None


def _of_missing_index(watch: Watch, work: Work) -> str | None:
    return "unindexed-foreign-key" if watch.index_beginning_with(work) is None else None


def _of_prefix(watch: Watch, work: Work) -> str | None:
    is_served = "unique" not in work.options and watch.index_beginning_with(work) is not None
    return "prefix-index" if is_served else None


_Match = Callable[[Watch, Work], str | None]
_MATCHES: dict[str, list[_Match]] = {
    "create_index": [_unless("concurrently", "index"), _of_prefix],
    "drop_index": [_unless("concurrently", "drop-index")],
    "add_unique": [_unless("using_index", "unique")],
    "add_primary": [_unless("using_index", "primary-key")],
    "add_exclusion": [_unless("not_valid", "exclude")],
    "add_foreign": [_unless("not_valid", "foreign-key"), _of_missing_index],
    "add_check": [_unless("not_valid", "check")],
    "set_not_null": [_of_not_null],
    "validate": [_of_validation],
    "alter_type": [_of_type],
    "add_column": [_of_new_column, _of_its_constraint],
    "rewrite": [_unless("concurrently", "rewrite")],
    "reindex": [_unless("concurrently", "rewrite")],
    "refresh": [_unless("concurrently", "rewrite")],
    "update": [_of_rows],
    "delete": [_of_rows],
}
