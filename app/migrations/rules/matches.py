"""Says which work a rule of stalls matches, as far as the run has been followed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.migrations.rules.casts import keeps_rows, keeps_table
from app.migrations.sql.work import Work, columns_in, functions_in
from app.sql_text import bare

if TYPE_CHECKING:
    from app.migrations.rules.watch import Watch

Rule = str | tuple[str, str] | None  # its name; with what else it speaks of, the `to` of its texts
_Match = Callable[["Watch", Work], Rule]

# What doesn't change within a transaction; another function may give each row something else.
_STABLE = {"now", "transaction_timestamp", "statement_timestamp", "timezone", "current_setting", "lower", "upper"}
# Functions of PostgreSQL that migrations call for what they do, which locks no table.
_HARMLESS = {"setval", "nextval", "currval", "lastval", "set_config", "current_setting", "now", "version"}


def _unless(option: str, rule: str) -> _Match:
    return lambda _watch, work: None if option in work.options else rule


def _if(option: str, rule: str) -> _Match:
    return lambda _watch, work: rule if option in work.options else None


def _of_index(_watch: "Watch", work: Work) -> str | None:
    # ON ONLY a partitioned table it is an entry in the catalog.
    return "index" if not work.options & {"concurrently", "only"} else None


def _of_same(watch: "Watch", work: Work) -> Rule:
    """Matches an index of which another one does the work."""
    if "in_part" in work.options or not (work.columns and all(work.columns)):
        return None
    others = [index for index in watch.known_indexes(bare(work.table)) if index.whole and index.name != work.name]
    if "unique" in work.options or work.kind != "create_index":
        same = [index.name for index in others if index.unique and set(index.columns) == set(work.columns)]
        return ("duplicate-index", same[0]) if same else None
    served = [index.name for index in others if index.columns[: len(work.columns)] == work.columns]
    return ("prefix-index", served[0]) if served else None


def _of_new_column(watch: "Watch", work: Work) -> Rule:
    if "stored" in work.options:
        return "stored-column"
    if "counts" in work.options:
        return "counting-column"
    if work.to and functions_in(work.to) - _STABLE:
        return "volatile-default"
    if _is_constrained(watch, work.type):
        return "constrained-domain", work.type
    return "required-column" if "required" in work.options and not work.to else None


def _is_constrained(watch: "Watch", kind: str) -> bool:
    facts = watch.now.facts.get(f"domain {bare(kind)}", {})
    return watch.types.get(bare(kind), False) or bool(facts.get("checks")) or facts.get("nullable") is False


def _of_its_constraint(_watch: "Watch", work: Work) -> str | None:
    built = work.options & {"unique", "checked"} or ("refers" in work.options and work.to)
    return "column-with-constraint" if built else None


def _of_key(watch: "Watch", work: Work) -> str | None:
    if "using_index" not in work.options:
        return "primary-key"
    table = bare(work.table)
    columns = [column for index in watch.known_indexes(table) if index.name == work.to for column in index.columns]
    return None if all(watch.is_proved(table, column) for column in columns) else "primary-key"


def _of_not_null(watch: "Watch", work: Work) -> str | None:
    proved = all(watch.is_proved(bare(work.table), column) for column in work.columns)
    return None if proved or "not_valid" in work.options else "not-null"


def _of_validation(watch: "Watch", work: Work) -> str | None:
    table = bare(work.table)
    holds = (table, work.name) in watch.now.added or table in watch.now.locked
    return "validate-in-transaction" if holds and not watch.now.outside else None


def _type_of(watch: "Watch", work: Work) -> str:
    """Returns the type that a column has before the revision."""
    return str(watch.now.facts.get(f"column {bare(work.table)}.{work.name}", {}).get("type", ""))


def _of_type(watch: "Watch", work: Work) -> str | None:
    now = _type_of(watch, work)
    if "computed" in work.options or not (keeps_table(now, work.to) or keeps_rows(now, work.to, utc=watch.utc)):
        return "rewrite-type"
    table = bare(work.table)
    indexes = watch.known_indexes(table)
    in_index = not keeps_table(now, work.to) and any(work.name in index.columns for index in indexes)
    if in_index or any(work.name in index.mentioned for index in indexes):
        return "index-rebuild"
    valid = [watch.checks.get(key, "") for key in watch.proved if key[0] == table]  # one NOT VALID is read by nobody
    return "check-rescan" if any(work.name in columns_in(f"SELECT {check}") for check in valid if check) else None


def _of_rows(watch: "Watch", work: Work) -> str | None:
    if bare(work.table) in watch.now.locked:
        return "rows-in-transaction"
    return "long-backfill" if "whole" in work.options else None


def _of_reading(watch: "Watch", work: Work) -> Rule:
    """Matches a query over a table that is there, for as long as which another lock is held."""
    held = sorted(watch.now.locked) if not watch.now.outside else []
    is_there = f"table {bare(work.table)}" in watch.now.facts
    return ("read-under-lock", ", ".join(held)) if held and is_there else None


def _of_missing_index(watch: "Watch", work: Work) -> str | None:
    served = any(index.columns[: len(work.columns)] == work.columns for index in watch.known_indexes(bare(work.table)))
    return None if served else "unindexed-foreign-key"


def _of_partition(watch: "Watch", work: Work) -> str | None:
    return None if any(table == bare(work.table) for table, _ in watch.proved) else "attach"


def _of_dropped(watch: "Watch", work: Work) -> Rule:
    parent = watch.parent_of(bare(work.table))
    return ("drop-partition", parent) if parent is not None else None


def _of_parent(watch: "Watch", work: Work) -> str | None:
    by_hand = "concurrently" in work.options and "by_engine" not in work.options
    return "index-on-parent" if by_hand and watch.is_partitioned(bare(work.table)) else None


def _of_call(watch: "Watch", work: Work) -> str | None:
    name = bare(work.name)
    ours = any(fact.startswith(f"function {name}(") for fact in watch.now.facts)
    known = name in _HARMLESS or name.startswith("pg_")
    return "unreadable" if ours or (not known and work.options & {"alone", "qualified"}) else None


def _of_order(watch: "Watch", work: Work) -> str | None:
    unlisted = "unlisted" in work.options and bare(work.table) not in watch.made
    return "column-order" if unlisted or "starred" in work.options else None


def _of_view(watch: "Watch", work: Work) -> str | None:
    stands_in = f"table {bare(work.name)}" in watch.now.facts  # for a table that was renamed
    return "column-order" if "starred" in work.options and not stands_in else None


MATCHES: dict[str, list[_Match]] = {
    "create_index": [_of_index, _of_same, _of_parent],
    "drop_index": [_unless("concurrently", "drop-index")],
    "add_unique": [_unless("using_index", "unique"), _of_same],
    "add_primary": [_of_key],
    "add_exclusion": [_unless("not_valid", "exclude")],
    "add_foreign": [_unless("not_valid", "foreign-key"), _of_missing_index],
    "add_check": [_unless("not_valid", "check")],
    "add_notnull": [_of_not_null],
    "set_not_null": [_of_not_null],
    "validate": [_of_validation],
    "alter_type": [_of_type],
    "add_column": [_of_new_column, _of_its_constraint],
    "enforce": [lambda _watch, _work: "enforced"],
    "attach": [_of_partition],
    "create_partition": [lambda _watch, _work: "create-partition"],
    "drop_table": [_of_dropped],
    "detach": [_unless("concurrently", "detach")],
    "rewrite": [_unless("concurrently", "rewrite")],
    "reindex": [_unless("concurrently", "rewrite")],
    "refresh": [_unless("concurrently", "rewrite")],
    "update": [_of_rows],
    "delete": [_of_rows],
    "insert": [_of_order],
    "read": [_of_reading],
    "create_view": [_of_view],
    "set_limit": [_if("off", "missing-lock-timeout")],
    "call": [_of_call],
    "unreadable": [lambda _watch, _work: "unreadable"],
}
