"""CHECK, UNIQUE and EXCLUDE constraints, with every option."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, Integer, String, UniqueConstraint
from sqlalchemy.dialects import postgresql as pg

from tests.support.model_features.feature import POSTGRESQL, SQLITE, Feature, Items, add_table, table


def _check(text: str | None, **options: Any) -> Items:
    def items() -> list[Any]:
        columns = [Column("a", Integer), Column("b", Integer), Column("s", String(20))]
        return [*columns, *([CheckConstraint(text, **{"name": "known", **options})] if text else [])]

    return items


def _unique(*columns: str, **options: Any) -> Items:
    def items() -> list[Any]:
        made = [UniqueConstraint(*columns, **options)] if columns else []
        return [Column("a", Integer), Column("b", Integer), Column("s", String(20)), *made]

    return items


def _texts(name: str, before: str, after: str, **options: Any) -> Feature:
    return table(f"check_{name}", _check(before), {"text": _check(after)}, **options)


def _at_column(text: str | None) -> Items:
    return lambda: [Column("a", Integer, *([CheckConstraint(text, name="positive")] if text else []))]


def _expression(*values: str) -> Any:
    def build(metadata: sa.MetaData) -> None:
        column = Column("s", String(20))
        add_table(metadata, "check_expression", column, CheckConstraint(column.in_(values), name="known"))

    return build


def _exclude(table: str, operator: str = "&&", **options: Any) -> Any:
    def build(metadata: sa.MetaData) -> None:
        made = add_table(metadata, table, Column("room", Integer), Column("during", pg.TSTZRANGE))
        described = {"name": f"{table}_once", "using": "gist", **options}
        made.append_constraint(pg.ExcludeConstraint((made.c.during, operator), **described))

    return build


def _exclude_rooms(metadata: sa.MetaData, *operators: str) -> None:
    made = add_table(metadata, "exclude_rooms", Column("room", Integer), Column("during", pg.TSTZRANGE))
    pairs = zip((made.c.room, made.c.during), operators, strict=False)
    made.append_constraint(pg.ExcludeConstraint(*pairs, name="exclude_rooms_once", using="gist"))


_BOX: dict[str, Any] = {"dialects": POSTGRESQL}

FEATURES: list[Feature] = [
    table(
        "check",
        _check("a > 0"),
        {
            "text": _check("a > 1"),
            "removed": _check(None),
            "renamed": _check("a > 0", name="positive"),
            "commented": _check("a > 0", comment="never negative"),
        },
        seen={"commented": POSTGRESQL},
    ),
    table("check_later", _check(None), {"added": _check("a > 0 AND s LIKE '50%'")}),
    table("check_at_column", _at_column("a > 0"), {"text": _at_column("a > 1"), "removed": _at_column(None)}),
    table("check_at_column_later", _at_column(None), {"added": _at_column("a > 0")}),
    table(
        "check_with_column",
        lambda: [Column("b", Integer)],
        {"added": lambda: [Column("b", Integer), Column("a", Integer, CheckConstraint("a > 0", name="positive"))]},
    ),
    _texts("in", "s IN ('a', 'b')", "s IN ('a', 'b', 'c')"),
    _texts("not_in", "s NOT IN ('a', 'b')", "s NOT IN ('a')"),
    _texts("in_numbers", "a IN (1, 5)", "a IN (1, 6)"),
    _texts("between", "a BETWEEN 1 AND 5", "a BETWEEN 1 AND 6"),
    _texts("percent", "a % 2 = 0 AND s LIKE '50%'", "a % 3 = 0 AND s LIKE '50%'"),
    _texts("quotes", "s <> 'it''s' AND s <> '\"'", "s <> 'it''s'"),
    _texts("colon", "s <> 'a:b' AND s <> ':c'", "s <> 'a:b'"),
    _texts("backslash", "s <> 'a\\b'", "s <> 'a\\\\b'"),
    _texts("case_of_literal", "s <> 'A b'", "s <> 'a  b'"),
    _texts("brackets", "(a > 0 OR b > 0) AND s IS NOT NULL", "a > 0 OR (b > 0 AND s IS NOT NULL)"),
    _texts("function", "length(s) > 3", "length(lower(s)) > 3"),
    _texts("case", "CASE WHEN a > 0 THEN b > 0 ELSE true END", "CASE WHEN a > 1 THEN b > 0 ELSE true END"),
    _texts("null_safe", "(a IS NULL) = (b IS NULL)", "(a IS NULL) <> (b IS NULL)"),
    _texts("pg_regex", "s ~ '^[a-z]+:\\d{2}$'", "s ~ '^[a-z]+:\\d{3}$'", dialects=POSTGRESQL),
    _texts("pg_cast", "a::text <> s::text", "s::varchar(3) <> a::text", dialects=POSTGRESQL),
    _texts("pg_any", "s = ANY (ARRAY['a', 'b'])", "s = ANY (ARRAY['a', 'c'])", dialects=POSTGRESQL),
    Feature("check_expression", _expression("a", "it's"), {"values": _expression("a", "it's", "c%")}),
    table(
        "unique_columns",
        _unique("a", "b"),
        {
            "other columns": _unique("a", "s"),
            "other order": _unique("b", "a"),
            "removed": _unique(),
            "named": _unique("a", "b", name="unique_columns_once"),
            "commented": _unique("a", "b", comment="only once"),
        },
        seen={"commented": POSTGRESQL},
    ),
    table("unique_later", _unique(), {"added": _unique("a", "b")}),
    table(
        "unique_deferrable",
        _unique("a", deferrable=True),
        {"initially": _unique("a", deferrable=True, initially="DEFERRED"), "no longer": _unique("a")},
        dialects=POSTGRESQL,
    ),
    table(
        "unique_nulls",
        _unique("a", postgresql_nulls_not_distinct=True),
        {"distinct": _unique("a")},
        dialects=POSTGRESQL,
        since=15,
    ),
    table(
        "unique_include",
        _unique("a", postgresql_include=["b"]),
        {"more": _unique("a", postgresql_include=["b", "s"]), "none": _unique("a")},
        dialects=POSTGRESQL,
    ),
    table(
        "unique_on_conflict",
        _unique("a", sqlite_on_conflict="IGNORE"),
        {"abort": _unique("a")},
        seen={"abort": SQLITE},
    ),
    Feature(
        "named_key",
        lambda m: sa.Table("named_key", m, Column("a", Integer), sa.PrimaryKeyConstraint("a", name="named_key_first")),
        {
            "other name": lambda m: sa.Table(
                "named_key", m, Column("a", Integer), sa.PrimaryKeyConstraint("a", name="named_key_second")
            )
        },
    ),
    Feature(
        "deferrable_key",
        lambda m: sa.Table("deferrable_key", m, Column("a", Integer), sa.PrimaryKeyConstraint("a", deferrable=True)),
        {"at once": lambda m: sa.Table("deferrable_key", m, Column("a", Integer), sa.PrimaryKeyConstraint("a"))},
        dialects=POSTGRESQL,
    ),
    Feature(
        "exclude",
        _exclude("exclude"),
        {
            "operator": _exclude("exclude", "="),
            "predicate": _exclude("exclude", where=sa.text("room > 1")),
            "deferrable": _exclude("exclude", deferrable=True, initially="DEFERRED"),
            "renamed": _exclude("exclude", name="exclude_twice"),
            "removed": lambda m: add_table(m, "exclude", Column("room", Integer), Column("during", pg.TSTZRANGE)),
        },
        **_BOX,
    ),
    Feature(
        "exclude_rooms",
        lambda m: _exclude_rooms(m, "=", "&&"),
        {"operators": lambda m: _exclude_rooms(m, "<>", "&&"), "columns": lambda m: _exclude_rooms(m, "=")},
        needs=("EXTENSION btree_gist",),
        **_BOX,
    ),
    Feature(
        "exclude_later",
        lambda m: add_table(m, "exclude_later", Column("room", Integer), Column("during", pg.TSTZRANGE)),
        {"added": _exclude("exclude_later", where=sa.text("room IN (1, 2)"))},
        **_BOX,
    ),
]
