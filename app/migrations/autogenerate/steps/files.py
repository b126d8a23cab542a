"""Files of a new revision: what is held back, what each file says of itself, and what the model lacks."""

from collections.abc import Iterator
from textwrap import fill
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.facts.unwritten import UnwrittenOp
from app.migrations.autogenerate.new_columns import RefillColumnOp
from app.migrations.autogenerate.renames import RenameColumn
from app.migrations.autogenerate.steps.held_back import Released
from app.migrations.autogenerate.steps.places import Stretch
from app.migrations.autogenerate.stretches import Part, parts_of, split
from app.migrations.operations import PLAIN, FillColumnOp

_WIDTH = 116
PHASES, REMARKS = "phases", "remarks"  # names that the template knows: dictionaries by the revision's id


def hold_back(context: MigrationContext, script: ops.MigrationScript) -> list[str]:
    """Takes out of a revision what has to wait for a release; returns a line for each such change."""
    released = _released(context)
    if released is None:
        return []
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    parts = parts_of(script, context.opts["target_metadata"], None, plain=True)
    kept, lines = released.hold_back(parts)
    if lines:
        unwritten = [op for op in flat(script.upgrade_ops.ops) if isinstance(op, UnwrittenOp)]
        script.upgrade_ops.ops = [*(op for part in kept for op in part.up), *unwritten]
        script.downgrade_ops.ops = [op for part in kept[::-1] for op in part.down]
    return lines


def in_files(context: MigrationContext, script: ops.MigrationScript) -> tuple[list[ops.MigrationScript], list[str]]:
    """Leaves the first file of a revision to it.

    Returns:
        Revisions for the other files, each after the one before, and a line for each step that is held back.
    """
    arguments, plain = context.opts["revision_context"].template_args, bool(context.opts.get(PLAIN))
    parts = parts_of(script, context.opts["target_metadata"], context.connection, plain=plain)
    phases, lines = {part.stretch: {part.stretch.phase} for part in parts}, list[str]()
    if plain:
        labels = [part for part in parts if part.stretch is Stretch.LABELS]
        others = [part for part in parts if part not in labels]
        phases[Stretch.ADDS] = {part.stretch.phase for part in others}
        if not labels:
            of = phases[Stretch.ADDS]
            arguments[PHASES] = {script.rev_id: of.pop()} if len(of) == 1 else {}
            return [], []
        parts = [*labels, *_in_one(others)]
    elif (released := _released(context)) is not None:
        parts, lines = released.hold_back(parts)
    scripts = [*split(script, parts)]
    phase = {made.rev_id: phases[part.stretch] for made, part in scripts}
    arguments[PHASES] = {revision: of.copy().pop() for revision, of in phase.items() if len(of) == 1}
    arguments[REMARKS] = {made.rev_id: fill(" ".join(_remarks(part)), _WIDTH) for made, part in scripts}
    return [made for made, _ in scripts[1:]], lines


def _in_one(parts: list[Part]) -> Iterator[Part]:
    """Yields one part for several, in the order that the operations had before."""
    if parts:
        ups, downs = ([op for part in parts for op in getattr(part, half)] for half in ("up", "down"))
        edit = parts[0].edit
        up, down = [op for op in edit.upgrade if op in ups], [op for op in edit.downgrade if op in downs]
        yield Part(Stretch.ADDS, edit, up, down)


def unindexed(script: ops.MigrationScript, metadata: sa.MetaData) -> Iterator[str]:
    """Yields a line for each new foreign key whose columns no index of the models begins with."""
    assert script.upgrade_ops is not None
    tables = {table.name: table for table in metadata.tables.values()}
    for operation in flat(script.upgrade_ops.ops):
        keys: list[Any] = [operation] if isinstance(operation, ops.CreateForeignKeyOp) else []
        if isinstance(operation, ops.CreateTableOp):
            found = [item for item in operation.columns if isinstance(item, sa.ForeignKeyConstraint)]
            keys = [ops.CreateForeignKeyOp.from_constraint(key) for key in found]
        for key in keys:
            columns, table = [str(column) for column in key.local_cols], tables[key.source_table]
            if not any(begins[: len(columns)] == columns for begins in _indexed(table)):
                yield _advice(table.name, columns, key.referent_table)


def _advice(table: str, columns: list[str], other: str) -> str:
    where = f"{table}.{columns[0]}" if len(columns) == 1 else f"{table} ({', '.join(columns)})"
    edit = "mapped_column(..., index=True)"
    if len(columns) > 1:
        edit = f"sa.Index(None, {', '.join(map(repr, columns))}) in __table_args__"
    return (
        f"No index begins with {where}, which refers to {other}: a DELETE there reads all of {table}. If rows of "
        f"{other} are deleted, add it to the model: {edit}"
    )


def _indexed(table: sa.Table) -> Iterator[list[str]]:
    for item in (*table.indexes, *table.constraints):
        if isinstance(item, sa.Index | sa.UniqueConstraint | sa.PrimaryKeyConstraint):
            yield [str(column.name) for column in item.columns]


def _released(context: MigrationContext) -> Released | None:
    if context.opts.get(PLAIN) or context.config is None or context.script is None:
        return None
    return Released.read(context.config, context.script)


def _remarks(part: Part) -> Iterator[str]:
    """Yields the sentences of a file's docstring that say when it is run, or what is left to do in it."""
    if part.stretch is Stretch.DROPS:
        gone = [op.table_name for op in part.up if isinstance(op, ops.DropTableOp)]
        gone += [f"{op.table_name}.{op.column_name}" for op in part.up if isinstance(op, ops.DropColumnOp)]
        columns = any("." in name for name in gone)
        if gone:
            way = " (`sqlalchemy.orm.unmapped_column`, or no column of the model at all)" if columns else ""
            yield (
                f"Takes two releases. The first no longer maps {', '.join(gone)}{way}. When it runs everywhere, this "
                "revision runs with the second."
            )
    for op in part.up:
        if isinstance(op, RenameColumn):
            yield (
                f"Code that knows {op.table_name}.{op.column_name} by this name fails from then on. Both names work "
                'for a while if the model says `"both_names": True` beside `"renamed_from"`.'
            )
        if isinstance(op, ops.RenameTableOp):
            yield (
                f"Code that knows {op.table_name} by this name fails from then on, unless this revision leaves a view: "
                f'`op.execute_on("postgresql", "CREATE VIEW {op.table_name} AS SELECT * FROM {op.new_table_name}")`.'
            )
    fills = [f"{op.table}.{op.column}" for op in part.up if isinstance(op, FillColumnOp) and op.value is ...]
    again = any(isinstance(op, RefillColumnOp) for op in part.up)
    if fills and again:
        yield (
            f"Runs when the code that writes {', '.join(fills)} runs everywhere. The code before it has added rows "
            "without a value: write the same expression as in the revision that fills the column."
        )
    elif fills:
        yield f"Write the value of {', '.join(fills)} for the rows that are there in the place of the three dots."
