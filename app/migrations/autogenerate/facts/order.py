"""The order of a revision's operations: each finds the tables that it needs."""

from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from app.migrations.autogenerate.facts.sides import Subject


def put_in_order(subject: Subject, upgrade_ops: ops.UpgradeOps) -> None:
    """Creates a table before those that inherit from it, and foreign keys of a cycle after the tables."""
    _put_parents_first(subject, upgrade_ops)
    _put_cycles_last(upgrade_ops)


def _put_parents_first(subject: Subject, upgrade_ops: ops.UpgradeOps) -> None:
    # Alembic's order knows foreign keys alone.
    for kind, wanted in ((ops.CreateTableOp, True), (ops.DropTableOp, False)):
        found = [operation for operation in upgrade_ops.ops if isinstance(operation, kind)]
        tables: dict[str, Any] = {operation.table_name: operation for operation in found}
        parents = {name: subject.own.facts_of(f"table {name}", wanted=wanted).get("inherits", ()) for name in tables}
        if any(parents.values()):
            within = {name: [parent for parent in of if parent in tables] for name, of in parents.items()}
            order = [tables[name] for name in TopologicalSorter(within).static_order()]
            moved = iter(order if wanted else reversed(order))
            upgrade_ops.ops[:] = [next(moved) if op in found else op for op in upgrade_ops.ops]


def _put_cycles_last(upgrade_ops: ops.UpgradeOps) -> None:
    tables = [operation for operation in upgrade_ops.ops if isinstance(operation, ops.CreateTableOp)]
    made = [key for place, table in enumerate(tables) for key in _to_later_ones(table, tables[place + 1 :])]
    if made:
        place = upgrade_ops.ops.index(tables[-1]) + 1
        upgrade_ops.ops[place:place] = [ops.ModifyTableOps(key.source_table, [key]) for key in made]


def _to_later_ones(table: ops.CreateTableOp, later: list[ops.CreateTableOp]) -> Iterator[ops.CreateForeignKeyOp]:
    """Takes out the foreign keys to tables that are made later, and yields them as operations of their own."""
    missing = {".".join(filter(None, (other.schema, other.table_name))) for other in later}
    for key in [item for item in table.columns if isinstance(item, sa.ForeignKeyConstraint)]:
        if key.use_alter or key.elements[0].target_fullname.rpartition(".")[0] in missing:
            table.columns = [item for item in table.columns if item is not key]
            made = ops.CreateForeignKeyOp.from_constraint(key)
            made.kw.pop("use_alter", None)
            yield made
