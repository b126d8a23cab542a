"""Server defaults, with every character that some layer reads as its own."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, String
from sqlalchemy.dialects import postgresql as pg

from app.dialect_text import DialectText
from app.models.base import FALSE, TRUE, UTC_NOW
from tests.support.model_features.feature import POSTGRESQL, Feature, MakeColumn, column

_TEXTS = {
    "quote": "it's",
    "quotes": "''",
    "double_quote": 'say "so"',
    "backslash": "a\\b",
    "backslash_quote": "\\'",
    "percent": "100 %",
    "percent_s": "%s %(a)s %%",
    "colon": "a:b :c",
    "two_colons": "a::text",
    "newline": "a\nb",
    "tab": "a\tb",
    "unicode": "é ß 名前 🙂",
    "empty": "",
    "blank": " ",
    "braces": "{}",
    "json": '{"a": [1, "b"]}',
    "number": "0",
    "negative": "-1.50",
    "word": "null",
    "function": "now()",
    "brackets": "(a)",
    "comment": "a -- b /* c */ ; d",
    "dollar": "$$ $1 $a$",
    "question": "a ? b @ c",
}


def _of(kind: Any, default: Any) -> MakeColumn:
    return lambda name: Column(name, kind, server_default=default)


def _text(label: str, text: str) -> Feature:
    changes = {"other": _of(String(80), f"{text}a")}
    return column(f"default_{label}", _of(String(80), text), changes)


def _sql(label: str, kind: Any, before: Any, other: Any, **options: Any) -> Feature:
    before, other = (sa.text(text) if isinstance(text, str) else text for text in (before, other))
    changes = {"other": _of(kind, other), "removed": _of(kind, None)}
    return column(f"default_{label}", _of(kind, before), changes, **options)


def _pg(label: str, kind: Any, before: Any, other: Any, **options: Any) -> Feature:
    return _sql(f"pg_{label}", kind, before, other, dialects=POSTGRESQL, **options)


FEATURES: list[Feature] = [
    *(_text(label, text) for label, text in _TEXTS.items()),
    _sql("integer", sa.Integer(), "0", "1"),
    _sql("integer_as_text", sa.Integer(), sa.DefaultClause("0"), sa.DefaultClause("1")),
    _sql("negative_integer", sa.Integer(), "-1", "(-2)"),
    _sql("decimal", sa.Numeric(10, 2), "1.50", "1.75"),
    _sql("true", sa.Boolean(), sa.true(), sa.false()),
    _sql("true_as_text", sa.Boolean(), TRUE, FALSE),
    _sql("now", sa.DateTime(), sa.func.now(), UTC_NOW, seen={"other": POSTGRESQL}),
    _sql("current_timestamp", sa.DateTime(), "CURRENT_TIMESTAMP", sa.func.current_date()),
    _sql("current_date", sa.Date(), "CURRENT_DATE", DialectText(postgresql="'2020-01-01'", sqlite="'2020-01-01'")),
    _sql("date", sa.Date(), "'2020-01-01'", "'2020-01-02'"),
    _sql("expression", sa.Integer(), "(1 + 2)", "(1 + 3)"),
    _sql("called", sa.String(20), "(lower('A'))", "(upper('a'))"),
    _sql("concatenated", sa.String(20), "('a' || 'b')", "('a' || 'c')"),
    _sql("literal", sa.String(20), sa.literal("it's", literal_execute=True), sa.literal("its", literal_execute=True)),
    _sql("null", sa.Integer(), "NULL", "1", seen={"removed": ("sqlite",)}),
    _sql("json_object", sa.JSON(), "'{}'", "'{\"a\": 1}'"),
    _sql(
        "per_dialect",
        sa.String(9),
        DialectText(postgresql="'p:a'", sqlite="'s:a'"),
        DialectText(postgresql="'q'", sqlite="'s:a'"),
        seen={"other": POSTGRESQL},
    ),
    _sql(
        "per_dialect_percent",
        sa.String(9),
        DialectText(postgresql="'5 %'", sqlite="'5 %'"),
        DialectText(postgresql="'6 %'", sqlite="'6 %'"),
    ),
    _pg("jsonb", pg.JSONB(), "'{}'::jsonb", '\'{"a": 1, "b": "it\'\'s"}\'::jsonb'),
    _pg("json", pg.JSON(), "'[]'::json", "'[1]'::json"),
    _pg("jsonb_as_text", pg.JSONB(), sa.DefaultClause("{}"), sa.DefaultClause('{"a": 1}')),
    _pg("uuid", pg.UUID(), "gen_random_uuid()", "'00000000-0000-0000-0000-000000000000'"),
    _pg("array", pg.ARRAY(sa.Text()), "'{}'", "'{a,\"b c\"}'"),
    _pg("array_expression", pg.ARRAY(sa.Text()), "ARRAY[]::text[]", "ARRAY['a', 'it''s']"),
    _pg("interval", pg.INTERVAL(), "'1 day'", "interval '2 days'"),
    _pg("now_minus", sa.DateTime(timezone=True), "now() - interval '1 day'", "now() - interval '2 days'"),
    _pg("zone", sa.DateTime(), "timezone('utc', now())", "(now() AT TIME ZONE 'Europe/Berlin')"),
    _pg("epoch", sa.BigInteger(), "extract(epoch FROM now())::bigint", "(extract(epoch FROM now()) * 1000)::bigint"),
    _pg("cast", sa.String(20), "'a'::varchar", "'b'::text"),
    _pg("inet", pg.INET(), "'127.0.0.1'", "'::1'"),
    _pg("range", pg.INT4RANGE(), "'[1,10)'", "'empty'"),
    _pg("bits", pg.BIT(4), "B'0101'", "B'0000'"),
    _pg("bytea", pg.BYTEA(), "'\\x00ff'", "'\\x'"),
    _pg("escape_string", sa.Text(), "E'a\\nb'", "E'a\\tb'"),
    _pg("current_user", sa.Text(), "CURRENT_USER", "session_user"),
    _pg("function", sa.Text(), "md5(random()::text)", "substr(md5(random()::text), 1, 8)"),
]
