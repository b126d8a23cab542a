"""Foreign keys, with every option."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Integer, String, UniqueConstraint

from tests.support.model_features.feature import POSTGRESQL, Build, Feature, add_table


def _key(table: str, target: str | None = "id", **options: Any) -> Build:
    def build(metadata: sa.MetaData) -> None:
        add_table(metadata, f"{table}_parent", Column("code", Integer, unique=True))
        key = [ForeignKey(f"{table}_parent.{target}", **options)] if target else []
        add_table(metadata, table, Column("parent_id", Integer, *key))

    return build


def _composite(name: str, *columns: str, **options: Any) -> Build:
    def build(metadata: sa.MetaData) -> None:
        parents = [Column("x", Integer), Column("y", Integer), UniqueConstraint("x", "y"), UniqueConstraint("y", "x")]
        add_table(metadata, f"{name}_parent", *parents)
        made = add_table(metadata, name, Column("a", Integer), Column("b", Integer))
        if columns:
            targets = [f"{name}_parent.x", f"{name}_parent.y"]
            made.append_constraint(ForeignKeyConstraint(columns, targets, **options))

    return build


def _to_itself(**options: Any) -> Build:
    return lambda m: add_table(
        m, "key_to_itself", Column("parent_id", Integer, ForeignKey("key_to_itself.id", **options))
    )


def _cycle(**options: Any) -> Build:
    def build(metadata: sa.MetaData) -> None:
        one = ForeignKey("key_cycle_two.id", use_alter=True, name="key_cycle_one_two")
        add_table(metadata, "key_cycle_one", Column("two_id", Integer, one))
        add_table(metadata, "key_cycle_two", Column("one_id", Integer, ForeignKey("key_cycle_one.id", **options)))

    return build


def _cycle_plain(metadata: sa.MetaData) -> None:
    add_table(metadata, "key_cycle_plain_one", Column("two_id", Integer, ForeignKey("key_cycle_plain_two.id")))
    add_table(metadata, "key_cycle_plain_two", Column("one_id", Integer, ForeignKey("key_cycle_plain_one.id")))


def _to_text(length: int) -> Build:
    def build(metadata: sa.MetaData) -> None:
        sa.Table("key_to_text_parent", metadata, Column("code", String(length), primary_key=True))
        add_table(metadata, "key_to_text", Column("code", String(length), ForeignKey("key_to_text_parent.code")))

    return build


def _family(name: str) -> Build:
    def build(metadata: sa.MetaData) -> None:
        add_table(metadata, name)
        add_table(metadata, f"{name}_child", Column("parent_id", Integer, ForeignKey(f"{name}.id"), index=True))

    return build


FEATURES: list[Feature] = [
    Feature(
        "key",
        _key("key"),
        {
            "on delete": _key("key", ondelete="CASCADE"),
            "on delete set null": _key("key", ondelete="SET NULL"),
            "on update": _key("key", onupdate="CASCADE"),
            "deferrable": _key("key", deferrable=True),
            "initially": _key("key", deferrable=True, initially="DEFERRED"),
            "named": _key("key", name="key_to_parent"),
            "to another column": _key("key", "code"),
            "removed": _key("key", None),
            "commented": _key("key", comment="the parent"),
        },
        seen={"commented": POSTGRESQL},
    ),
    Feature("key_later", _key("key_later", None), {"added": _key("key_later", ondelete="RESTRICT")}),
    Feature(
        "key_with_options",
        _key("key_with_options", ondelete="CASCADE", onupdate="SET NULL", deferrable=True, initially="DEFERRED"),
        {
            "no on delete": _key("key_with_options", onupdate="SET NULL", deferrable=True, initially="DEFERRED"),
            "immediate": _key("key_with_options", ondelete="CASCADE", onupdate="SET NULL", deferrable=True),
            "not deferrable": _key("key_with_options", ondelete="CASCADE", onupdate="SET NULL"),
        },
    ),
    Feature(
        "key_no_action",
        _key("key_no_action", ondelete="NO ACTION"),
        {"restrict": _key("key_no_action", ondelete="RESTRICT"), "default": _key("key_no_action")},
        seen={"default": ()},
    ),
    Feature(
        "key_match",
        _composite("key_match", "a", "b", match="FULL"),
        {"simple": _composite("key_match", "a", "b")},
    ),
    Feature(
        "key_composite",
        _composite("key_composite", "a", "b"),
        {
            "other order": _composite("key_composite", "b", "a"),
            "removed": _composite("key_composite"),
            "on delete": _composite("key_composite", "a", "b", ondelete="SET DEFAULT"),
        },
    ),
    Feature(
        "key_set_null_columns",
        _composite("key_set_null_columns", "a", "b", ondelete="SET NULL (a)"),
        {"all columns": _composite("key_set_null_columns", "a", "b", ondelete="SET NULL")},
        dialects=POSTGRESQL,
        since=15,
    ),
    Feature("key_to_itself", _to_itself(), {"on delete": _to_itself(ondelete="CASCADE")}),
    Feature("key_cycle", _cycle(), {"on delete": _cycle(ondelete="CASCADE")}),
    Feature("key_cycle_plain", _cycle_plain),
    Feature("key_to_text", _to_text(9), {"longer": _to_text(12)}),
    Feature(
        "key_with_table",
        lambda m: add_table(m, "key_with_table"),
        {"a child": _family("key_with_table")},
    ),
    Feature(
        "key_without_table",
        _family("key_without_table"),
        {"no child": lambda m: add_table(m, "key_without_table")},
    ),
    Feature(
        "key_not_valid",
        _key("key_not_valid", postgresql_not_valid=True),
        {"valid": _key("key_not_valid")},
        seen={"valid": ()},  # of an empty table nothing is left to validate
        dialects=POSTGRESQL,
    ),
]
