"""What the schema looks like at every revision, on either database: see `store`."""

from app.migrations.snapshots.store import (
    Facts,
    Snapshot,
    Snapshots,
    in_order,
    kind_of,
    own_name,
    owner_of,
    take,
    text_of,
)

__all__ = ["Facts", "Snapshot", "Snapshots", "in_order", "kind_of", "own_name", "owner_of", "take", "text_of"]
