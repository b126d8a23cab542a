"""Types of PostgreSQL, and of its extensions."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tests.support.model_features.feature import NOWHERE, POSTGRESQL, Feature, typed


class Point(sa.types.UserDefinedType[Any]):
    """A type of the server that SQLAlchemy has no class for."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "point"


class Tree(sa.types.UserDefinedType[Any]):
    """A type of an extension that SQLAlchemy has no class for."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "ltree"


def _typed(name: str, before: Any, changes: dict[str, Any] | None = None, **options: Any) -> Feature:
    return typed(name, before, changes, dialects=POSTGRESQL, **options)


FEATURES: list[Feature] = [
    _typed("pg_jsonb", pg.JSONB(), {"json": pg.JSON(), "a text": sa.Text()}),
    _typed("pg_json", pg.JSON(), {"jsonb": pg.JSONB(), "generic": sa.JSON()}, seen={"generic": NOWHERE}),
    _typed(
        "pg_array",
        pg.ARRAY(sa.Integer()),
        {
            "of big ones": pg.ARRAY(sa.BigInteger()),
            "two dimensions": pg.ARRAY(sa.Integer(), dimensions=2),
            "an integer": sa.Integer(),
        },
        seen={"two dimensions": NOWHERE},
    ),
    _typed("pg_array_generic", sa.ARRAY(sa.Text()), {"of strings": sa.ARRAY(sa.String(20))}),
    _typed("pg_array_of_strings", pg.ARRAY(sa.String(20)), {"longer": pg.ARRAY(sa.String(40))}),
    _typed(
        "pg_array_two_dimensions",
        pg.ARRAY(sa.Text(), dimensions=2),
        {"of numbers": pg.ARRAY(sa.Integer(), dimensions=2)},
    ),
    _typed("pg_array_of_jsonb", pg.ARRAY(pg.JSONB()), {"of json": pg.ARRAY(pg.JSON())}),
    _typed("pg_array_of_numerics", pg.ARRAY(sa.Numeric(10, 2)), {"scale": pg.ARRAY(sa.Numeric(10, 4))}),
    _typed("pg_inet", pg.INET(), {"cidr": pg.CIDR(), "a text": sa.Text()}),
    _typed("pg_macaddr", pg.MACADDR(), {"of eight": pg.MACADDR8()}),
    _typed("pg_tsvector", pg.TSVECTOR(), {"a text": sa.Text()}),
    _typed("pg_tsquery", pg.TSQUERY(), {"a text": sa.Text()}),
    _typed("pg_int4range", pg.INT4RANGE(), {"big": pg.INT8RANGE()}),
    _typed("pg_numrange", pg.NUMRANGE(), {"several": pg.NUMMULTIRANGE()}),
    _typed("pg_tstzrange", pg.TSTZRANGE(), {"without time zone": pg.TSRANGE()}),
    _typed("pg_daterange", pg.DATERANGE(), {"several": pg.DATEMULTIRANGE()}),
    _typed("pg_bit", pg.BIT(8), {"longer": pg.BIT(16), "varying": pg.BIT(8, varying=True)}),
    _typed("pg_bit_varying", pg.BIT(varying=True), {"limited": pg.BIT(8, varying=True)}),
    _typed("pg_money", pg.MONEY(), {"numeric": sa.Numeric(12, 2)}),
    _typed("pg_oid", pg.OID(), {"a number": sa.BigInteger()}),
    _typed("pg_regclass", pg.REGCLASS(), {"an oid": pg.OID()}),
    _typed(
        "pg_interval",
        pg.INTERVAL(fields="DAY TO SECOND", precision=3),
        {"fields": pg.INTERVAL(fields="HOUR"), "plain": pg.INTERVAL()},
    ),
    _typed(
        "pg_timestamp",
        pg.TIMESTAMP(precision=3),
        {"precision": pg.TIMESTAMP(precision=0), "zoned": pg.TIMESTAMP(timezone=True, precision=3)},
    ),
    _typed(
        "pg_time",
        pg.TIME(precision=3),
        {"precision": pg.TIME(precision=0), "zoned": pg.TIME(timezone=True, precision=3)},
    ),
    _typed("pg_bytea", pg.BYTEA(), {"a text": sa.Text()}),
    _typed("pg_double", pg.DOUBLE_PRECISION(), {"real": pg.REAL()}),
    _typed("pg_jsonpath", pg.JSONPATH(), {"a text": sa.Text()}),
    _typed("pg_point", Point(), {"a text": sa.Text()}),
    _typed(
        "pg_collated",
        sa.Text(collation="C"),
        {"other": sa.Text(collation="POSIX"), "unicode": sa.Text(collation="ucs_basic")},
    ),
    _typed("pg_hstore", pg.HSTORE(), {"jsonb": pg.JSONB()}, needs=("EXTENSION hstore",)),
    _typed("pg_citext", pg.CITEXT(), {"a text": sa.Text()}, needs=("EXTENSION citext",)),
    _typed("pg_array_of_citext", pg.ARRAY(pg.CITEXT()), {"of texts": pg.ARRAY(sa.Text())}, needs=("EXTENSION citext",)),
    _typed("pg_ltree", Tree(), {"a text": sa.Text()}, needs=("EXTENSION ltree",)),
]
