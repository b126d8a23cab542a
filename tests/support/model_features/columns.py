"""Options of columns."""

import sqlalchemy as sa
from sqlalchemy import Column, Integer, String

from tests.support.model_features.feature import NOWHERE, POSTGRESQL, SQLITE, Feature, add_table, column, table

AWKWARD = 'it\'s 50% of "all"\n\\ :name {x} $$ é'


FEATURES = [
    column(
        "plain",
        lambda name: Column(name, String(20)),
        {
            "required": lambda name: Column(name, String(20), nullable=False),
            "indexed": lambda name: Column(name, String(20), index=True),
            "unique": lambda name: Column(name, String(20), unique=True),
            "uniquely indexed": lambda name: Column(name, String(20), index=True, unique=True),
            "commented": lambda name: Column(name, String(20), comment="a word"),
            "given a default": lambda name: Column(name, String(20), server_default="a"),
            "given a checked default": lambda name: Column(name, String(20), server_default="a", nullable=False),
        },
        seen={"commented": POSTGRESQL},
    ),
    column(
        "required",
        lambda name: Column(name, Integer, nullable=False, server_default="1"),
        {
            "nullable": lambda name: Column(name, Integer, server_default="1"),
            "without default": lambda name: Column(name, Integer, nullable=False),
        },
    ),
    column(
        "comment",
        lambda name: Column(name, Integer, comment="a number"),
        {
            "other": lambda name: Column(name, Integer, comment="another number"),
            "awkward": lambda name: Column(name, Integer, comment=AWKWARD),
            "removed": lambda name: Column(name, Integer),
        },
        seen=dict.fromkeys(["other", "awkward", "removed"], POSTGRESQL),
    ),
    column(
        "awkward_comment",
        lambda name: Column(name, Integer, comment=AWKWARD),
        {"cut": lambda name: Column(name, Integer, comment=AWKWARD[:-1])},
        seen={"cut": POSTGRESQL},
    ),
    column(
        "python_side",
        lambda name: Column(name, Integer, default=3),
        {
            "default": lambda name: Column(name, Integer, default=4),
            "function": lambda name: Column(name, Integer, default=lambda: 4),
            "onupdate": lambda name: Column(name, Integer, default=3, onupdate=4),
            "insert_default": lambda name: Column(name, Integer, insert_default=5),
            "info": lambda name: Column(name, Integer, default=3, info={"a": 1}),
            "doc": lambda name: Column(name, Integer, default=3, doc="a number"),
            "sql expression": lambda name: Column(name, Integer, default=sa.func.abs(-3)),
        },
        seen=dict.fromkeys(
            ["default", "function", "onupdate", "insert_default", "info", "doc", "sql expression"], NOWHERE
        ),
    ),
    column(
        "fetched",
        lambda name: Column(name, Integer),
        {
            "server side": lambda name: Column(name, Integer, server_default=sa.FetchedValue()),
            "on update": lambda name: Column(name, Integer, server_onupdate=sa.FetchedValue()),
        },
        seen={"server side": NOWHERE, "on update": NOWHERE},
    ),
    column(
        "key_and_name",
        lambda name: Column(name, Integer, key="attribute", index=True),
        {
            "other key": lambda name: Column(name, Integer, key="other", index=True),
            "without key": lambda name: Column(name, Integer, index=True),
            "not indexed": lambda name: Column(name, Integer, key="attribute"),
        },
        seen={"other key": NOWHERE, "without key": NOWHERE},
    ),
    column(
        "indexed",
        lambda name: Column(name, Integer, index=True),
        {
            "not indexed": lambda name: Column(name, Integer),
            "unique": lambda name: Column(name, Integer, index=True, unique=True),
        },
    ),
    column(
        "unique",
        lambda name: Column(name, Integer, unique=True),
        {
            "not unique": lambda name: Column(name, Integer),
            "an index": lambda name: Column(name, Integer, unique=True, index=True),
        },
    ),
    table(
        "columns",
        lambda: [Column("a", Integer), Column("b", String(20))],
        {
            "one more": lambda: [Column("a", Integer), Column("b", String(20)), Column("c", sa.Date)],
            "one more, required": lambda: [
                Column("a", Integer),
                Column("b", String(20)),
                Column("c", String(9), nullable=False, server_default="it's"),
            ],
            "one less": lambda: [Column("a", Integer)],
            "another order": lambda: [Column("b", String(20)), Column("a", Integer)],
            "renamed": lambda: [Column("a", Integer), Column("c", String(20), info={"renamed_from": "b"})],
        },
        seen={"another order": NOWHERE},
    ),
    Feature(
        "keyed_by_text",
        lambda m: sa.Table("keyed_by_text", m, Column("code", String(9), primary_key=True)),
        {"longer": lambda m: sa.Table("keyed_by_text", m, Column("code", String(12), primary_key=True))},
    ),
    Feature(
        "composite_key",
        lambda m: sa.Table(
            "composite_key", m, Column("a", Integer, primary_key=True), Column("b", Integer, primary_key=True)
        ),
        {
            "other order": lambda m: sa.Table(
                "composite_key",
                m,
                Column("a", Integer),
                Column("b", Integer),
                sa.PrimaryKeyConstraint("b", "a"),
            ),
            "of one": lambda m: sa.Table(
                "composite_key", m, Column("a", Integer, primary_key=True), Column("b", Integer, nullable=False)
            ),
            "of three": lambda m: sa.Table(
                "composite_key",
                m,
                *(Column(name, Integer, primary_key=True) for name in "abc"),
            ),
        },
    ),
    Feature(
        "without_key",
        lambda m: sa.Table("without_key", m, Column("a", Integer, nullable=False)),
        {"with one": lambda m: sa.Table("without_key", m, Column("a", Integer, primary_key=True, autoincrement=False))},
    ),
    Feature(
        "big_key",
        lambda m: sa.Table(
            "big_key", m, Column("id", sa.BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
        ),
        {"small again": lambda m: sa.Table("big_key", m, Column("id", Integer, primary_key=True))},
        seen={"small again": POSTGRESQL},
    ),
    Feature(
        "small_key",
        lambda m: sa.Table("small_key", m, Column("id", Integer, primary_key=True), Column("a", Integer)),
        {
            "widened": lambda m: sa.Table(
                "small_key",
                m,
                Column("id", sa.BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
                Column("a", Integer),
            ),
            "without autoincrement": lambda m: sa.Table(
                "small_key", m, Column("id", Integer, primary_key=True, autoincrement=False), Column("a", Integer)
            ),
        },
        seen={"widened": POSTGRESQL, "without autoincrement": POSTGRESQL},
    ),
    Feature(
        "counting_key",
        lambda m: add_table(m, "counting_key", sqlite_autoincrement=True),
        {"not counting": lambda m: add_table(m, "counting_key")},
        seen={"not counting": SQLITE},
    ),
]
