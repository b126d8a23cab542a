"""Generated columns, identities and sequences."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Computed, Identity, Integer, String

from tests.support.model_features.feature import BOTH, POSTGRESQL, Feature, Items, add_table, table


def _computed(kind: Any, text: str | None, *, stored: bool | None = True) -> Items:
    def items() -> list[Any]:
        made = [Computed(text, persisted=stored)] if text else []
        return [Column("a", Integer), Column("s", String(9)), Column("value", kind, *made)]

    return items


def _identity(**options: Any) -> Items:
    return lambda: [Column("value", Integer, Identity(**options))]


def _key(**options: Any) -> Any:
    return lambda m: sa.Table("identity_key", m, Column("id", Integer, Identity(**options), primary_key=True))


def _sequence(name: str, **options: Any) -> Any:
    def build(metadata: sa.MetaData) -> None:
        sequence = sa.Sequence(f"{name}_numbers", metadata=metadata, **options)
        add_table(metadata, name, Column("value", sa.BigInteger, server_default=sequence.next_value()))

    return build


def _lone_sequence(metadata: sa.MetaData) -> None:
    sa.Sequence("lone_sequence_numbers", metadata=metadata, start=5)
    add_table(metadata, "lone_sequence")


def _python_side(metadata: sa.MetaData, **options: Any) -> None:
    sequence = sa.Sequence("python_sequence_numbers", metadata=metadata, **options)
    sa.Table("python_sequence", metadata, Column("id", Integer, sequence, primary_key=True))


_PG: dict[str, Any] = {"dialects": POSTGRESQL}

FEATURES: list[Feature] = [
    table(
        "computed_stored",
        _computed(Integer, "a + 1"),
        {
            "expression": _computed(Integer, "a * 2"),
            "no longer": _computed(Integer, None),
            "type": _computed(sa.BigInteger, "a + 1"),
        },
    ),
    table(
        "computed_later",
        lambda: [Column("a", Integer)],
        {"added": lambda: [Column("a", Integer), Column("value", Integer, Computed("a + 1", persisted=True))]},
    ),
    table(
        "computed_from_plain",
        _computed(Integer, None),
        {"computed": _computed(Integer, "a + 1")},
    ),
    table(
        "computed_text",
        _computed(String(40), "s || ' %:it''s'"),
        {"expression": _computed(String(40), "s || ' %:its'")},
    ),
    table(
        "computed_in", _computed(sa.Boolean, "s IN ('a', 'b')"), {"values": _computed(sa.Boolean, "s IN ('a', 'c')")}
    ),
    table("computed_function", _computed(String(9), "lower(s)"), {"expression": _computed(String(9), "upper(s)")}),
    table(
        "computed_virtual",
        _computed(Integer, "a + 1", stored=False),
        {
            "expression": _computed(Integer, "a * 2", stored=False),
            "stored": _computed(Integer, "a + 1"),
            "no longer": _computed(Integer, None),
        },
        since=18,
    ),
    table(
        "computed_indexed",
        lambda: [Column("a", Integer), Column("value", Integer, Computed("a + 1", persisted=True), index=True)],
        {
            "expression": lambda: [
                Column("a", Integer),
                Column("value", Integer, Computed("a * 2", persisted=True), index=True),
            ]
        },
    ),
    table(
        "identity",
        _identity(),
        {
            "always": _identity(always=True),
            "start": _identity(start=100),
            "increment": _identity(increment=10),
            "limits": _identity(minvalue=-5, maxvalue=1000),
            "cycle": _identity(cycle=True),
            "cache": _identity(cache=20),
            "no longer": lambda: [Column("value", Integer, nullable=False)],
        },
        dialects=BOTH,
        seen=dict.fromkeys(["always", "start", "increment", "limits", "cycle", "cache", "no longer"], POSTGRESQL),
    ),
    table(
        "identity_from_plain",
        lambda: [Column("value", Integer, nullable=False)],
        {"identity": _identity(always=True)},
        seen={"identity": POSTGRESQL},
    ),
    table(
        "identity_widened",
        _identity(start=7),
        {"to bigint": lambda: [Column("value", sa.BigInteger, Identity(start=7))]},
    ),
    Feature(
        "identity_key",
        _key(always=True),
        {
            "by default": _key(),
            "start": _key(always=True, start=1000),
            "serial": lambda m: sa.Table("identity_key", m, Column("id", Integer, primary_key=True)),
        },
        seen=dict.fromkeys(["by default", "start", "serial"], POSTGRESQL),
    ),
    Feature(
        "sequence",
        _sequence("sequence", start=10),
        {
            "increment": _sequence("sequence", start=10, increment=2),
            "start": _sequence("sequence", start=20),
            "limits": _sequence("sequence", start=10, minvalue=5, maxvalue=5000),
            "cycle": _sequence("sequence", start=10, cycle=True),
            "cache": _sequence("sequence", start=10, cache=50),
            "type": _sequence("sequence", start=10, data_type=Integer),
            "no longer": lambda m: add_table(m, "sequence", Column("value", sa.BigInteger)),
        },
        **_PG,
    ),
    Feature(
        "lone_sequence",
        _lone_sequence,
        {"removed": lambda m: add_table(m, "lone_sequence")},
        **_PG,
    ),
    Feature(
        "python_sequence",
        lambda m: _python_side(m, start=3),
        {
            "increment": lambda m: _python_side(m, start=3, increment=5),
            "serial": lambda m: sa.Table("python_sequence", m, Column("id", Integer, primary_key=True)),
        },
        **_PG,
    ),
    Feature(
        "sequence_later",
        lambda m: add_table(m, "sequence_later", Column("value", sa.BigInteger)),
        {"added": _sequence("sequence_later", increment=3)},
        **_PG,
    ),
]
