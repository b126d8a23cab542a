"""Differences for which no operation is written: they are named, wherever a comparison ends."""

from collections.abc import Iterator

from alembic.operations import MigrateOperation, ops

from app.migrations.snapshots import Difference


class UnwrittenOp(MigrateOperation):
    """A difference that is named, and not written into the revision."""

    def __init__(self, difference: Difference) -> None:
        self.difference = difference

    def reverse(self) -> "UnwrittenOp":
        """Returns the same: a downgrade has nothing to undo."""
        return self

    def to_diff_tuple(self) -> tuple[str, list[Difference]]:
        """Returns the difference."""
        return ("unwritten", [self.difference])


def taken_out(container: ops.OpContainer) -> Iterator[Difference]:
    """Removes the operations of unwritten differences, and yields the differences."""
    for operation in [*container.ops]:
        if isinstance(operation, UnwrittenOp):
            container.ops.remove(operation)
            yield operation.difference
        elif isinstance(operation, ops.OpContainer):
            yield from taken_out(operation)
