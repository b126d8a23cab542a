"""Tables as wholes: schemas, inheritance, mixins, comments, options, triggers."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, String
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

from app.encryption import EncryptedText, encrypted, encrypted_check
from app.triggers import UpdatedAtTrigger
from tests.support.model_features.feature import POSTGRESQL, SQLITE, Build, Feature, add_table
from tests.support.model_features.types import SECRETS


def base_of(metadata: sa.MetaData) -> type[DeclarativeBase]:
    """Returns a declarative base whose models join the tables of `metadata`."""
    return type("ModelBase", (DeclarativeBase,), {"metadata": metadata})


def _elsewhere(length: int = 9, *, indexed: bool = True) -> Build:
    def build(metadata: sa.MetaData) -> None:
        add_table(metadata, "elsewhere_parent", Column("s", String(length), index=indexed), schema="elsewhere")
        key = ForeignKey("elsewhere.elsewhere_parent.id")
        add_table(metadata, "elsewhere_child", Column("parent_id", Integer, key), schema="elsewhere")
        add_table(
            metadata, "elsewhere_at_home", Column("parent_id", Integer, ForeignKey("elsewhere.elsewhere_parent.id"))
        )

    return build


def _named_public(metadata: sa.MetaData, length: int = 9) -> None:
    add_table(metadata, "named_public", Column("s", String(length), index=True), schema="public")


def _joined(metadata: sa.MetaData, length: int = 9, *, grandchild: bool = False) -> None:
    base: Any = base_of(metadata)

    class Animal(base):  # type: ignore[misc]
        __tablename__ = "joined_animals"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(9))
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012

    class Dog(Animal):
        __tablename__ = "joined_dogs"
        id: Mapped[int] = mapped_column(ForeignKey("joined_animals.id", ondelete="CASCADE"), primary_key=True)
        name: Mapped[str] = mapped_column(String(length))
        __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012

    if grandchild:

        class Poodle(Dog):
            __tablename__ = "joined_poodles"
            id: Mapped[int] = mapped_column(ForeignKey("joined_dogs.id"), primary_key=True)
            __mapper_args__ = {"polymorphic_identity": "poodle"}  # noqa: RUF012


def _single(metadata: sa.MetaData, *, more: bool = False) -> None:
    base: Any = base_of(metadata)

    class Vehicle(base):  # type: ignore[misc]
        __tablename__ = "single_vehicles"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str] = mapped_column(String(9), server_default="car")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "vehicle"}  # noqa: RUF012

    class Car(Vehicle):
        doors: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "car"}  # noqa: RUF012

    if more:

        class Lorry(Vehicle):
            load: Mapped[int | None]
            __mapper_args__ = {"polymorphic_identity": "lorry"}  # noqa: RUF012


def _mixin(metadata: sa.MetaData, *, stamped: bool = True) -> None:
    base: Any = base_of(metadata)

    class Stamped:
        created_at: Mapped[Any] = mapped_column(sa.DateTime, server_default=sa.func.now(), sort_order=10)

    class Owned:
        @declared_attr
        def owner_id(self) -> Mapped[int]:
            return mapped_column(ForeignKey("mixin_owners.id"), index=True)

    class Owner(base):  # type: ignore[misc]
        __tablename__ = "mixin_owners"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Thing(*(Owned, *((Stamped,) if stamped else ()), base)):  # type: ignore[misc]
        __tablename__ = "mixin_things"
        id: Mapped[int] = mapped_column(primary_key=True)


def _association(metadata: sa.MetaData, ondelete: str | None = None, *, position: bool = False) -> None:
    base: Any = base_of(metadata)
    table = sa.Table(
        "association",
        metadata,
        Column("left_id", ForeignKey("association_left.id", ondelete=ondelete), primary_key=True),
        Column("right_id", ForeignKey("association_right.id"), primary_key=True, index=True),
        *([Column("position", Integer, nullable=False, server_default="0")] if position else []),
    )

    class Right(base):  # type: ignore[misc]
        __tablename__ = "association_right"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Left(base):  # type: ignore[misc]
        __tablename__ = "association_left"
        id: Mapped[int] = mapped_column(primary_key=True)
        rights: Mapped[list[Right]] = relationship(Right, secondary=table)


def _encrypted(metadata: sa.MetaData, *, checked: bool = False, required: bool = False) -> None:
    base: Any = base_of(metadata)

    class Account(base):  # type: ignore[misc]
        __tablename__ = "encrypted_accounts"
        __table_args__ = (encrypted_check("api_key", SECRETS),) if checked else ()
        id: Mapped[int] = mapped_column(primary_key=True)
        _api_key: Mapped[str | None] = mapped_column("api_key", EncryptedText(SECRETS), nullable=not required)
        api_key = encrypted(_api_key, SECRETS)


def _trigger(metadata: sa.MetaData, *, declared: bool = True, length: int = 9) -> None:
    made = add_table(
        metadata,
        "triggered",
        Column("updated_at", sa.DateTime, server_default=sa.func.now()),
        Column("s", String(length)),
    )
    if declared:
        UpdatedAtTrigger(made)


def _options(name: str, *items: Any, **options: Any) -> Build:
    return lambda m: add_table(m, name, *items, **options)


def _partitioned(by: str, *, default: str = "0") -> Build:
    def build(metadata: sa.MetaData) -> None:
        columns: list[Column[Any]] = [Column("id", Integer, primary_key=True), Column("day", sa.Date, primary_key=True)]
        more = [Column("a", Integer, server_default=sa.text(default), index=True)]
        sa.Table("partitioned", metadata, *columns, *more, postgresql_partition_by=by)

    return build


def _renamed(name: str) -> Build:
    info = {} if name == "renamed_table" else {"info": {"renamed_from": "renamed_table"}}
    return lambda m: add_table(m, name, Column("a", Integer, index=True), **info)


_PG: dict[str, Any] = {"dialects": POSTGRESQL}

FEATURES: list[Feature] = [
    Feature(
        "elsewhere",
        _elsewhere(),
        {"longer": _elsewhere(12), "not indexed": _elsewhere(indexed=False)},
        needs=("SCHEMA elsewhere",),
        **_PG,
    ),
    Feature("named_public", _named_public, {"longer": lambda m: _named_public(m, 12)}, **_PG),
    Feature("joined", _joined, {"longer": lambda m: _joined(m, 12), "one more": lambda m: _joined(m, grandchild=True)}),
    Feature("single", _single, {"one more": lambda m: _single(m, more=True)}, subject="single_vehicles"),
    Feature("mixin", _mixin, {"one less": lambda m: _mixin(m, stamped=False)}),
    Feature(
        "association",
        _association,
        {"on delete": lambda m: _association(m, "CASCADE"), "position": lambda m: _association(m, position=True)},
    ),
    Feature(
        "encrypted",
        _encrypted,
        {"checked": lambda m: _encrypted(m, checked=True), "required": lambda m: _encrypted(m, required=True)},
    ),
    Feature(
        "encrypted_checked",
        lambda m: _encrypted(m, checked=True),
        {"not checked": _encrypted},
        subject="encrypted_accounts",
    ),
    Feature(
        "triggered",
        _trigger,
        {"no longer": lambda m: _trigger(m, declared=False), "other column": lambda m: _trigger(m, length=12)},
    ),
    Feature("triggered_later", lambda m: _trigger(m, declared=False), {"declared": _trigger}, subject="triggered"),
    Feature(
        "table_comment",
        _options("table_comment", comment="a table"),
        {
            "other": _options("table_comment", comment='it\'s 50% "of"\n\\ :all'),
            "removed": _options("table_comment"),
        },
        seen={"other": POSTGRESQL, "removed": POSTGRESQL},
    ),
    Feature(
        "table_more",
        _options("table_more"),
        {"one more": lambda m: (add_table(m, "table_more"), add_table(m, "table_more_2", comment="two"))},
    ),
    Feature(
        "table_less",
        lambda m: (
            add_table(m, "table_less"),
            add_table(
                m,
                "table_less_2",
                Column("a", sa.JSON, server_default="{}"),
                Column("t", sa.DateTime(timezone=True), index=True),
            ),
        ),
        {"one less": _options("table_less")},
    ),
    Feature(
        "renamed_table", _renamed("renamed_table"), {"renamed": _renamed("renamed_table_now")}, traces=("renamed",)
    ),
    Feature(
        "table_without_columns",
        lambda m: sa.Table("table_without_columns", m),
        {"a column": lambda m: sa.Table("table_without_columns", m, Column("a", Integer))},
        **_PG,
    ),
    Feature(
        "table_info",
        _options("table_info"),
        {"info": _options("table_info", info={"a": 1}), "prefixes": _options("table_info", implicit_returning=False)},
        seen={"info": (), "prefixes": ()},
    ),
    Feature(
        "strict", _options("strict", sqlite_strict=True), {"lenient": _options("strict")}, seen={"lenient": SQLITE}
    ),
    Feature(
        "without_rowid",
        _options("without_rowid", sqlite_with_rowid=False),
        {"with": _options("without_rowid")},
        seen={"with": SQLITE},
    ),
    Feature(
        "fillfactor",
        _options("fillfactor", postgresql_with={"fillfactor": 70}),
        {
            "other": _options("fillfactor", postgresql_with={"fillfactor": 80}),
            "default": _options("fillfactor"),
            "one more": _options("fillfactor", postgresql_with={"fillfactor": 70, "autovacuum_enabled": False}),
        },
        **_PG,
    ),
    Feature("unlogged", _options("unlogged", prefixes=["UNLOGGED"]), {"logged": _options("unlogged")}, **_PG),
    Feature(
        "partitioned",
        _partitioned("RANGE (day)"),
        {"by another key": _partitioned("LIST (day)"), "default": _partitioned("RANGE (day)", default="1")},
        **_PG,
    ),
    Feature(
        "inherited",
        lambda m: (
            add_table(m, "inherited_parent"),
            sa.Table("inherited", m, Column("a", Integer, primary_key=True), postgresql_inherits="inherited_parent"),
        ),
        {
            "on its own": lambda m: (
                add_table(m, "inherited_parent"),
                sa.Table("inherited", m, Column("a", Integer, primary_key=True), Column("id", Integer, nullable=False)),
            )
        },
        **_PG,
    ),
    Feature(
        "tablespace",
        _options("tablespace"),
        {"default named": _options("tablespace", postgresql_tablespace="pg_default")},
        seen={"default named": ()},
        **_PG,
    ),
]
