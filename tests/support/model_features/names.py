"""Names that have to be quoted, shortened or escaped."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.schema import conv

from tests.support.model_features.feature import POSTGRESQL, Feature

LONG = "a_name_that_is_as_long_as_postgresql_lets_a_name_be_and_no_long"  # 63 bytes
LONG_COLUMN = "a_column_whose_name_is_long_enough_to_be_cut_off_somewhere"


def _odd(table: str, column: str, **options: Any) -> Callable[[sa.MetaData], None]:
    """Builds a table, a column, an index, a CHECK and a foreign key of odd names."""

    def build(metadata: sa.MetaData, length: int = 20, *, indexed: bool = True, more: bool = False) -> None:
        made = sa.Table(
            table,
            metadata,
            Column("id", Integer, primary_key=True),
            Column(column, String(length), server_default="a", comment=f"of {column}"),
            **options,
        )
        if indexed:
            Index(f"{table} {column}"[:63], made.c[column])
        if more:
            made.append_column(Column(f"{column} 2", Integer, unique=True))

    return build


def _feature(name: str, table: str, column: str, **options: Any) -> Feature:
    build: Any = _odd(table, column)
    changes = {
        "longer": lambda m: build(m, 30),
        "not indexed": lambda m: build(m, indexed=False),
        "one column more": lambda m: build(m, more=True),
    }
    return Feature(name, build, changes, subject=table, **options)


def _long(metadata: sa.MetaData, length: int = 9, *, unique: bool = True) -> None:
    made = sa.Table(
        LONG,
        metadata,
        Column("id", Integer, primary_key=True),
        Column(LONG_COLUMN, String(length), index=True),
        Column("another_column_whose_name_is_rather_long", Integer),
    )
    if unique:
        made.append_constraint(UniqueConstraint(LONG_COLUMN, "another_column_whose_name_is_rather_long"))


def _long_key(metadata: sa.MetaData, kind: Any = Integer) -> None:
    sa.Table(f"{LONG[:-2]}_2", metadata, Column(LONG_COLUMN, kind, primary_key=True), Column("a", Integer))


def _constraints(metadata: sa.MetaData, number: int = 0, name: str = "Is:50%") -> None:
    sa.Table(
        "Odd Parent",
        metadata,
        Column("The Id", Integer, primary_key=True),
        Column("a.b", Integer, unique=True),
        CheckConstraint(f'"The Id" > {number}', name=name),
    )
    sa.Table(
        "Odd Child",
        metadata,
        Column("order", Integer, primary_key=True),
        Column("Parent Id", Integer, ForeignKey("Odd Parent.The Id", name=conv("to the: parent%"))),
        Column("Other", Integer, unique=True),
    )


FEATURES: list[Feature] = [
    _feature("mixed_case", "MixedCase", "camelCase"),
    _feature("upper_case", "UPPER", "SHOUTED"),
    _feature("reserved", "select", "order"),
    _feature("spaces", "a table of words", "a column of words"),
    _feature("percent_and_colon", "per%cent:colon", "per%cent :colon"),
    _feature("dots", "dots", "dotted.column"),
    _feature("quotes", 'a "quoted" table', 'it\'s "quoted"'),
    _feature("unicode_names", "größe", "名前"),
    _feature("digits_first", "2nd", "1st"),
    _feature("dollar", "dol$lar", "dol$lar"),
    _feature("brackets", "a(b)", "c[d]"),
    _feature("dashes", "a-b--c", "d-e"),
    Feature(
        "odd_constraints",
        _constraints,
        {"check": lambda m: _constraints(m, 1), "renamed": lambda m: _constraints(m, name="is not")},
        subject="Odd",
    ),
    Feature(
        "long_names",
        _long,
        {"longer": lambda m: _long(m, 12), "not unique": lambda m: _long(m, unique=False)},
        subject=LONG,
    ),
    Feature(
        "long_key", _long_key, {"big": lambda m: _long_key(m, sa.BigInteger)}, subject=LONG[:-2], dialects=POSTGRESQL
    ),
]
