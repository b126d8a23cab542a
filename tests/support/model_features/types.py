"""Types that both databases have, each in its own spelling."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.encryption import ENC, EncryptedText, FieldCipher, Keyring, RawKey
from app.models.base import BIG_ID, TEXT_ARRAY, UtcDateTime
from tests.support.model_features.feature import NOWHERE, POSTGRESQL, Feature, typed

SECRETS = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, RawKey.generate()))


class Tags(sa.types.TypeDecorator[list[str]]):
    """A list, kept as text with a comma between."""

    impl = sa.String(50)
    cache_ok = True


class LongTags(Tags):
    """The same, with more room."""

    impl = sa.String(80)
    cache_ok = True


class PerDialect(sa.types.TypeDecorator[Any]):
    """Another type on each database."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return dialect.type_descriptor(postgresql.JSONB() if dialect.name == "postgresql" else sa.Text())


class Money(sa.types.UserDefinedType[Any]):
    """A type that SQLAlchemy doesn't know."""

    cache_ok = True

    def __init__(self, digits: int) -> None:
        self.digits = digits

    def get_col_spec(self, **_: Any) -> str:
        return f"NUMERIC({self.digits}, 2)"


def _collated(on_postgresql: str | None, on_sqlite: str | None) -> Any:
    return sa.String(20, collation=on_postgresql).with_variant(sa.String(20, collation=on_sqlite), "sqlite")


def _only(*names: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(names, POSTGRESQL)


FEATURES: list[Feature] = [
    typed(
        "integer",
        sa.Integer(),
        {"big": sa.BigInteger(), "small": sa.SmallInteger(), "a number": sa.Numeric(10), "a text": sa.String(20)},
    ),
    typed(
        "big_integer", sa.BigInteger(), {"small": sa.Integer(), "by variant": BIG_ID}, seen={"by variant": ("sqlite",)}
    ),
    typed("string", sa.String(20), {"longer": sa.String(40), "shorter": sa.String(10), "a text": sa.Text()}),
    typed("string_unlimited", sa.String(), {"limited": sa.String(40), "a text": sa.Text()}),
    typed(
        "text_collation",
        _collated("C", "NOCASE"),
        {"other": _collated("POSIX", "RTRIM"), "none": _collated(None, None)},
    ),
    typed("char", sa.CHAR(3), {"longer": sa.CHAR(4), "a string": sa.String(3)}),
    typed("unicode", sa.Unicode(20), {"a string": sa.String(20), "longer": sa.Unicode(30)}, seen={"a string": NOWHERE}),
    typed(
        "text",
        sa.Text(),
        {
            "a string": sa.String(20),
            "collated": sa.Text(collation="C").with_variant(sa.Text(collation="NOCASE"), "sqlite"),
        },
    ),
    typed(
        "numeric",
        sa.Numeric(10, 2),
        {"precision": sa.Numeric(12, 2), "scale": sa.Numeric(10, 4), "plain": sa.Numeric(), "a float": sa.Float()},
    ),
    typed("decimal", sa.DECIMAL(8, 3), {"precision": sa.DECIMAL(9, 3)}),
    typed(
        "float",
        sa.Float(),
        {"double": sa.Double(), "real": sa.REAL(), "precise": sa.Float(24)},
        seen={"double": ("sqlite",), "precise": POSTGRESQL},
    ),
    typed("double", sa.Double(), {"float": sa.Float(), "numeric": sa.Numeric(10, 2)}, seen={"float": ("sqlite",)}),
    typed("boolean", sa.Boolean(), {"an integer": sa.Integer()}),
    typed("date", sa.Date(), {"a time": sa.DateTime()}),
    typed(
        "datetime",
        sa.DateTime(),
        {"with time zone": sa.DateTime(timezone=True), "timestamp": sa.TIMESTAMP(), "a date": sa.Date()},
        seen={"with time zone": POSTGRESQL, "timestamp": ("sqlite",)},
    ),
    typed("time", sa.Time(), {"with time zone": sa.Time(timezone=True)}, seen=_only("with time zone")),
    typed(
        "interval",
        sa.Interval(second_precision=3),
        {"precision": sa.Interval(second_precision=6), "plain": sa.Interval(), "not native": sa.Interval(native=False)},
        seen=_only("precision", "plain", "not native"),
    ),
    typed("binary", sa.LargeBinary(), {"a text": sa.Text(), "limited": sa.LargeBinary(16)}, seen={"limited": NOWHERE}),
    typed("uuid", sa.Uuid(), {"as text": sa.Uuid(native_uuid=False)}, seen=_only("as text")),
    typed("uuid_uppercase", sa.UUID(), {"camel case": sa.Uuid()}, seen={"camel case": ("sqlite",)}),
    typed(
        "json",
        sa.JSON(),
        {
            "binary": sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            "none_as_null": sa.JSON(none_as_null=True),
            "a text": sa.Text(),
        },
        seen={"binary": POSTGRESQL, "none_as_null": NOWHERE},
    ),
    typed("pickled", sa.PickleType(), {"a binary": sa.LargeBinary()}, seen={"a binary": NOWHERE}),
    typed("decorated", Tags(), {"longer": LongTags(), "its type": sa.String(50)}, seen={"its type": NOWHERE}),
    typed("decorated_by_dialect", PerDialect(), {"a text": sa.Text(), "json": sa.JSON()}, seen=_only("a text")),
    typed("user_defined", Money(10), {"more digits": Money(12)}),
    typed("utc", UtcDateTime(), {"with time zone": UtcDateTime(timezone=True)}, seen=_only("with time zone")),
    typed("utc_zoned", UtcDateTime(timezone=True), {"without": UtcDateTime()}, seen=_only("without")),
    typed(
        "encrypted_text",
        EncryptedText(SECRETS),
        {"a text": sa.Text(), "a string": sa.String(80)},
        seen={"a text": NOWHERE},
    ),
    typed(
        "variant",
        sa.String(20).with_variant(postgresql.CHAR(20), "postgresql"),
        {
            "of sqlite": sa.String(20)
            .with_variant(postgresql.CHAR(20), "postgresql")
            .with_variant(sa.Text(), "sqlite"),
            "of postgresql": sa.String(20).with_variant(postgresql.CHAR(24), "postgresql"),
        },
        seen={"of sqlite": ("sqlite",), "of postgresql": POSTGRESQL},
    ),
    typed("variant_array", TEXT_ARRAY, {"json everywhere": sa.JSON(none_as_null=True)}, seen=_only("json everywhere")),
    typed(
        "stored_format",
        sa.DateTime().with_variant(sqlite.DATETIME(truncate_microseconds=True), "sqlite"),  # type: ignore[no-untyped-call]
        {"plain": sa.DateTime()},
        seen={"plain": NOWHERE},
    ),
]
