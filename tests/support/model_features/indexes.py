"""Indexes, with every option."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Index, Integer, String
from sqlalchemy.dialects import postgresql as pg

from tests.support.model_features.feature import POSTGRESQL, Build, Feature, add_table

Make = Callable[[sa.Table, str], object]


def _with(name: str, make: Make | None) -> Build:
    def build(metadata: sa.MetaData) -> None:
        columns: list[Column[Any]] = [Column("a", Integer), Column("b", Integer), Column("s", String(20))]
        more = [Column("j", pg.JSONB), Column("d", pg.ARRAY(sa.Text))] if name.startswith("index_pg") else []
        made = add_table(metadata, name, *columns, *more)
        if make is not None:
            make(made, f"{name}_ix")

    return build


def _index(name: str, before: Make | None, changes: dict[str, Make | None], **options: Any) -> Feature:
    name = f"index_{name}"
    return Feature(name, _with(name, before), {key: _with(name, make) for key, make in changes.items()}, **options)


def _pg(name: str, before: Make, changes: dict[str, Make | None], **options: Any) -> Feature:
    return _index(f"pg_{name}", before, changes, dialects=POSTGRESQL, **options)


def _where(text: str, **options: Any) -> Make:
    predicate = sa.text(text)
    return lambda t, n: Index(n, t.c.a, postgresql_where=predicate, sqlite_where=predicate, **options)


def _on(*columns: str, **options: Any) -> Make:
    return lambda t, n: Index(n, *(t.c[column] for column in columns), **options)


def _expression(text: str, **options: Any) -> Make:
    return lambda t, n: Index(n, sa.text(text), _table=t, **options)


FEATURES: list[Feature] = [
    _index(
        "plain",
        _on("a"),
        {
            "other column": _on("b"),
            "more columns": _on("a", "b"),
            "unique": _on("a", unique=True),
            "removed": None,
            "renamed": lambda t, _: Index("index_plain_other", t.c.a),
            "of an expression": _expression("abs(a)"),
        },
    ),
    _index("unnamed", lambda t, _: Index(None, t.c.a, t.c.b), {"other order": lambda t, _: Index(None, t.c.b, t.c.a)}),
    _index("later", None, {"added": _where("s LIKE '5%'", unique=True), "an expression": _expression("lower(s)")}),
    _index(
        "partial",
        _where("s = 'a'"),
        {"predicate": _where("s = 'it''s:%'"), "whole": _on("a"), "in": _where("s IN ('a', 'b')")},
    ),
    _index(
        "partial_unique",
        _where("b IS NULL", unique=True),
        {"not unique": _where("b IS NULL"), "predicate": _where("b > 0", unique=True)},
    ),
    _index("partial_in", _where("s IN ('a', 'b')"), {"predicate": _where("s IN ('a', 'c')")}),
    _index(
        "expression",
        lambda t, n: Index(n, sa.func.lower(t.c.s)),
        {
            "other": lambda t, n: Index(n, sa.func.upper(t.c.s)),
            "column": _on("s"),
            "unique": lambda t, n: Index(n, sa.func.lower(t.c.s), unique=True),
        },
    ),
    _index(
        "expression_unique",
        lambda t, n: Index(n, sa.func.lower(t.c.s), unique=True),
        {"not unique": lambda t, n: Index(n, sa.func.lower(t.c.s)), "removed": None},
    ),
    _index(
        "expression_and_column",
        lambda t, n: Index(n, t.c.a, sa.func.lower(t.c.s)),
        {"order": lambda t, n: Index(n, sa.func.lower(t.c.s), t.c.a)},
    ),
    _index("expression_text", _expression("(a + b)"), {"other": _expression("(a - b)")}),
    _index("expression_literal", _expression("(s || ' %:it''s')"), {"other": _expression("(s || ' %:its')")}),
    _index(
        "coalesce",
        lambda t, n: Index(n, sa.func.coalesce(t.c.s, "")),
        {"other": lambda t, n: Index(n, sa.func.coalesce(t.c.s, "-"))},
    ),
    _index(
        "descending",
        lambda t, n: Index(n, t.c.a.desc()),
        {"ascending": _on("a"), "second": lambda t, n: Index(n, t.c.a.desc(), t.c.b.desc())},
    ),
    _index("several", lambda t, n: (Index(n, t.c.a), Index(f"{n}_2", t.c.b)), {"one less": _on("a")}),
    _pg(
        "nulls",
        lambda t, n: Index(n, t.c.a.desc().nulls_last()),
        {"first": lambda t, n: Index(n, t.c.a.desc().nulls_first()), "plain": _on("a")},
    ),
    _pg("nulls_first", lambda t, n: Index(n, t.c.a.asc().nulls_first()), {"last": _on("a")}),
    _pg(
        "operators",
        _on("s", postgresql_ops={"s": "text_pattern_ops"}),
        {"plain": _on("s"), "other": _on("s", postgresql_ops={"s": "varchar_pattern_ops"})},
    ),
    _pg(
        "gin",
        _on("j", postgresql_using="gin"),
        {"operators": _on("j", postgresql_using="gin", postgresql_ops={"j": "jsonb_path_ops"})},
    ),
    _pg(
        "gin_array",
        _on("d", postgresql_using="gin"),
        {"fast update": _on("d", postgresql_using="gin", postgresql_with={"fastupdate": "off"})},
    ),
    _pg("hash", _on("a", postgresql_using="hash"), {"btree": _on("a")}),
    _pg(
        "brin",
        _on("a", postgresql_using="brin"),
        {"pages": _on("a", postgresql_using="brin", postgresql_with={"pages_per_range": 16})},
    ),
    _pg(
        "include",
        _on("a", postgresql_include=["b"]),
        {"more": _on("a", postgresql_include=["b", "s"]), "none": _on("a")},
    ),
    _pg("unique_include", _on("a", unique=True, postgresql_include=["b"]), {"none": _on("a", unique=True)}),
    _pg(
        "distinct",
        _on("a", unique=True, postgresql_nulls_not_distinct=True),
        {"nulls distinct": _on("a", unique=True)},
        since=15,
    ),
    _pg(
        "fillfactor",
        _on("a", postgresql_with={"fillfactor": 70}),
        {"other": _on("a", postgresql_with={"fillfactor": 80}), "default": _on("a")},
    ),
    _pg(
        "json_path",
        _expression("(j ->> 'a:b')"),
        {"other": _expression("(j ->> 'a')"), "deeper": _expression("(j #>> '{a,b}')")},
    ),
    _pg(
        "collation",
        lambda t, n: Index(n, sa.collate(t.c.s, "C")),
        {"other": lambda t, n: Index(n, sa.collate(t.c.s, "POSIX")), "plain": _on("s")},
    ),
    _pg(
        "expression_operators",
        lambda t, n: Index(n, sa.func.lower(t.c.s).label("low"), postgresql_ops={"low": "text_pattern_ops"}),
        {"plain": lambda t, n: Index(n, sa.func.lower(t.c.s))},
    ),
    _pg(
        "trigram",
        _on("s", postgresql_using="gin", postgresql_ops={"s": "gin_trgm_ops"}),
        {"gist": _on("s", postgresql_using="gist", postgresql_ops={"s": "gist_trgm_ops"})},
        needs=("EXTENSION pg_trgm",),
    ),
    _pg(
        "tsvector",
        _expression("to_tsvector('english'::regconfig, s)", postgresql_using="gin"),
        {"language": _expression("to_tsvector('simple'::regconfig, s)", postgresql_using="gin")},
    ),
]
