"""Snapshots of a schema: read from a catalog, kept as files, compared, and turned into DDL."""

from app.migrations.snapshots.comparison import (
    Comparison,
    as_spelt,
    compare_with_models,
    compare_with_snapshot,
    without_spelling,
)
from app.migrations.snapshots.ddl import Plan, goal, plan
from app.migrations.snapshots.ddl_postgresql_types import quote
from app.migrations.snapshots.ddl_sqlite import column as column_of_sqlite
from app.migrations.snapshots.ddl_sqlite import declaration
from app.migrations.snapshots.differences import NAME, Difference, as_former, differences, raw_differences
from app.migrations.snapshots.models import NoScratchModels, schemas_of, take_with
from app.migrations.snapshots.partitioned import Declared, in_plain_form, is_widened_key, none_declared
from app.migrations.snapshots.read_sqlite import quote as quote_of_sqlite
from app.migrations.snapshots.store import (
    NOT_READ,
    PARTS,
    Facts,
    Snapshot,
    Snapshots,
    address_of,
    as_json,
    in_order,
    kind_of,
    of_kind,
    own_name,
    owner_of,
    take,
)

__all__ = [
    "NAME",
    "NOT_READ",
    "PARTS",
    "Comparison",
    "Declared",
    "Difference",
    "Facts",
    "NoScratchModels",
    "Plan",
    "Snapshot",
    "Snapshots",
    "address_of",
    "as_former",
    "as_json",
    "as_spelt",
    "column_of_sqlite",
    "compare_with_models",
    "compare_with_snapshot",
    "declaration",
    "differences",
    "goal",
    "in_order",
    "in_plain_form",
    "is_widened_key",
    "kind_of",
    "none_declared",
    "of_kind",
    "own_name",
    "owner_of",
    "plan",
    "quote",
    "quote_of_sqlite",
    "raw_differences",
    "schemas_of",
    "take",
    "take_with",
    "without_spelling",
]
