"""Enumerations, native and checked; booleans that are checked; domains."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Enum
from sqlalchemy.dialects import postgresql as pg

from tests.support.model_features.feature import POSTGRESQL, Build, Feature, add_table, table

LABELS = ("new", "it's", "50%:a")


def _native(table: str, *labels: str, **options: Any) -> Build:
    kind = {"name": f"{table}_mood", **options}
    return lambda m: add_table(m, table, Column("mood", Enum(*labels, **kind)))


def _with_default(default: str | None, *labels: str) -> Build:
    name = "enum_default"
    return lambda m: add_table(m, name, Column("mood", Enum(*labels, name=f"{name}_mood"), server_default=default))


def _later(kind: sa.types.TypeEngine[Any] | None) -> Build:
    return lambda m: add_table(m, "enum_later", *([Column("mood", kind)] if kind is not None else []))


def _in_array(*labels: str) -> Build:
    return lambda m: add_table(m, "enum_array", Column("moods", pg.ARRAY(Enum(*labels, name="enum_array_mood"))))


def _shared(*labels: str, tables: int = 2) -> Build:
    def build(metadata: sa.MetaData) -> None:
        mood = Enum(*labels, name="enum_shared_mood", metadata=metadata)
        for number in range(tables):
            add_table(metadata, f"enum_shared_{number}", Column("mood", mood), Column("moods", pg.ARRAY(mood)))

    return build


def _checked(name: str, *labels: str, **options: Any) -> Build:
    kind = {"name": "mood", "native_enum": False, "create_constraint": True, "length": 20, **options}
    return lambda m: add_table(m, name, Column("mood", Enum(*labels, **kind)))


def _boolean(name: str, *, checked: bool) -> Build:
    return lambda m: add_table(m, name, Column("flag", Boolean(create_constraint=checked, name="flag")))


def _domain(name: str, base: Any = sa.Text, **options: Any) -> Build:
    checks = {"check": sa.text("VALUE LIKE '%@%'"), "constraint_name": "at", **options}
    return lambda m: add_table(m, name, Column("value", pg.DOMAIN(f"{name}_email", base, **checks)))


_PG: dict[str, Any] = {"dialects": POSTGRESQL}

FEATURES: list[Feature] = [
    Feature(
        "enum",
        _native("enum", *LABELS),
        {
            "value added": _native("enum", *LABELS, "done"),
            "value added between": _native("enum", LABELS[0], "a 'b'", *LABELS[1:]),
            "value removed": _native("enum", *LABELS[:2]),
            "value renamed": _native("enum", "newer", *LABELS[1:]),
            "other order": _native("enum", *reversed(LABELS)),
            "a string": lambda m: add_table(m, "enum", Column("mood", sa.String(20))),
            "other name": _native("enum", *LABELS, name="enum_humour"),
            "removed": lambda m: add_table(m, "enum"),
        },
        seen=dict.fromkeys(
            ["value added", "value added between", "value renamed", "other order", "other name"],
            POSTGRESQL,
        ),
    ),
    Feature(
        "enum_length",
        _native("enum_length", "a", "b"),
        {"longer value": _native("enum_length", "a", "b", "a longer one")},
    ),
    Feature(
        "enum_default",
        _with_default("new", *LABELS),
        {
            "other default": _with_default("it's", *LABELS),
            "value added": _with_default("new", *LABELS, "done"),
            "new value as default": _with_default("done", *LABELS, "done"),
            "no default": _with_default(None, *LABELS),
        },
        seen={"value added": POSTGRESQL},
    ),
    Feature("enum_later", _later(None), {"added": _later(Enum(*LABELS, name="enum_later_mood"))}),
    table(
        "enum_from_string",
        lambda: [Column("mood", sa.String(20))],
        {"an enum": lambda: [Column("mood", Enum("a", "b", name="enum_from_string_mood"))]},
    ),
    Feature("enum_array", _in_array("a", "b"), {"value added": _in_array("a", "b", "c")}, **_PG),
    Feature(
        "enum_shared",
        _shared("a", "b"),
        {
            "value added": _shared("a", "b", "c"),
            "in one table more": _shared("a", "b", tables=3),
            "in one table less": _shared("a", "b", tables=1),
        },
        **_PG,
    ),
    Feature(
        "enum_pg",
        lambda m: add_table(m, "enum_pg", Column("mood", pg.ENUM("a", "b", name="enum_pg_mood"))),
        {"value added": lambda m: add_table(m, "enum_pg", Column("mood", pg.ENUM("a", "b", "c", name="enum_pg_mood")))},
        **_PG,
    ),
    Feature(
        "enum_elsewhere",
        _native("enum_elsewhere", "a", "b", schema="elsewhere"),
        {"value added": _native("enum_elsewhere", "a", "b", "c", schema="elsewhere")},
        needs=("SCHEMA elsewhere",),
        **_PG,
    ),
    Feature(
        "enum_text",
        _native("enum_text", *LABELS, native_enum=False, length=20),
        {
            "value added": _native("enum_text", *LABELS, "done", native_enum=False, length=20),
            "longer": _native("enum_text", *LABELS, native_enum=False, length=30),
        },
        seen={"value added": ()},
    ),
    Feature(
        "enum_checked",
        _checked("enum_checked", *LABELS),
        {
            "value added": _checked("enum_checked", *LABELS, "done"),
            "value removed": _checked("enum_checked", *LABELS[:2]),
            "value renamed": _checked("enum_checked", "newer", *LABELS[1:]),
            "not checked": _checked("enum_checked", *LABELS, create_constraint=False),
        },
    ),
    Feature(
        "enum_checked_later",
        lambda m: add_table(m, "enum_checked_later"),
        {"added": _checked("enum_checked_later", *LABELS)},
    ),
    Feature(
        "enum_to_be_checked",
        _checked("enum_to_be_checked", *LABELS, create_constraint=False),
        {"checked": _checked("enum_to_be_checked", *LABELS)},
    ),
    Feature(
        "boolean_checked",
        _boolean("boolean_checked", checked=True),
        {"not checked": _boolean("boolean_checked", checked=False)},
        seen={"not checked": ("sqlite",)},
    ),
    Feature(
        "boolean_to_be_checked",
        _boolean("boolean_to_be_checked", checked=False),
        {"checked": _boolean("boolean_to_be_checked", checked=True)},
        seen={"checked": ("sqlite",)},
    ),
    Feature(
        "domain",
        _domain("domain"),
        {
            "check": _domain("domain", check=sa.text("VALUE LIKE '%_@%'")),
            "not null": _domain("domain", not_null=True),
            "default": _domain("domain", default="it's@home"),
            "base type": _domain("domain", sa.String(80)),
            "its type": lambda m: add_table(m, "domain", Column("value", sa.Text)),
        },
        **_PG,
    ),
    Feature(
        "domain_in",
        _domain("domain_in", sa.String(9), check=sa.text("VALUE IN ('a', 'b')")),
        {"values": _domain("domain_in", sa.String(9), check=sa.text("VALUE IN ('a', 'c')"))},
        **_PG,
    ),
    Feature("domain_later", lambda m: add_table(m, "domain_later"), {"added": _domain("domain_later")}, **_PG),
    Feature(
        "domain_collated",
        _domain("domain_collated", collation="C"),
        {"other": _domain("domain_collated", collation="POSIX")},
        **_PG,
    ),
]
