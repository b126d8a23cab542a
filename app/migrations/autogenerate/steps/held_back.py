"""Contract steps that are held back: the released code, as alembic.ini names it, would run into them.

Nothing is written for one, and no comparison counts it as drift; one line says what has to be released first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from alembic.config import Config
from alembic.operations import ops
from alembic.script import ScriptDirectory

from app.migrations.autogenerate.naming import offered_name
from app.migrations.autogenerate.new_columns import RefillColumnOp
from app.migrations.autogenerate.steps.edit import Edit
from app.migrations.autogenerate.steps.keys import key_of, refers_to, table_of
from app.migrations.autogenerate.stretches import Part
from app.migrations.phases import Phase, phase_of
from app.migrations.releases import Release, read_release
from app.migrations.snapshots import Snapshot, Snapshots


@dataclass(frozen=True)
class Released:
    """The released code.

    Attributes:
        release: its revision, and what it doesn't map.
        snapshot: the schema of PostgreSQL at that revision.
        awaited: the first revision after it that its successor needs, with its phase; empty if there is none.
    """

    release: Release
    snapshot: Snapshot
    awaited: str

    @classmethod
    def read(cls, config: Config, history: ScriptDirectory) -> "Released | None":
        """Returns the released code; None if alembic.ini doesn't name it.

        Raises:
            HistoryError: its revision has no snapshot of PostgreSQL.
        """
        release = read_release(config)
        if release is None:
            return None
        snapshot = Snapshots(config).of("postgresql", release.revision)
        later = [*history.iterate_revisions("head", release.revision)][::-1]
        phases = [(script.revision, phase_of(script.module, script.path)) for script in later]
        awaited = [f"{revision} ({phase})" for revision, phase in phases if phase in (Phase.EXPAND, Phase.MIGRATE)]
        return cls(release, snapshot, next(iter(awaited), ""))

    def hold_back(self, parts: list[Part]) -> tuple[list[Part], list[str]]:
        """Returns the parts that may be written, and a line for each change that may not."""
        contracts = [part for part in parts if part.stretch.phase is Phase.CONTRACT]
        awaited = self.awaited or ("this revision" if len(contracts) < len(parts) else "")
        if awaited:
            lines = [self._awaiting(change, awaited) for part in contracts for change in _changes(part.up)]
            return [part for part in parts if part not in contracts], lines
        lines, kept = [], []
        used = {name for part in parts for op in part.up for name in self._used(op)}
        for part in parts:
            held = {key_of(op, upgrade=True): op for op in part.up if _concerns(op, part.edit, used)}
            early = {key_of(op, upgrade=True): op for op in part.up if self._is_early(op)}
            lines += [self._awaiting(change, "its column") for change in _changes([*early.values()])]
            up = [op for op in part.up if key_of(op, upgrade=True) not in held | early]
            down = [op for op in part.down if key_of(op, upgrade=False) not in held | early]
            kept += [replace(part, up=up, down=down)] if up or down else []
        return kept, [*map(self._mapping, sorted(used)), *lines]

    def _is_early(self, operation: Any) -> bool:
        """Returns whether a column becomes NOT NULL that the released code doesn't know."""
        if not isinstance(operation, ops.AlterColumnOp) or operation.modify_nullable is not False:
            return False
        table, column = f"table {operation.table_name}", f"column {operation.table_name}.{operation.column_name}"
        return table in self.snapshot and column not in self.snapshot

    def _used(self, operation: Any) -> Iterator[str]:
        """Yields the table or the column that goes, if the released code uses it."""
        match operation:
            case ops.DropTableOp():
                kind, name = "table", operation.table_name
            case ops.DropColumnOp():
                kind, name = "column", f"{operation.table_name}.{operation.column_name}"
            case _:
                return
        if f"{kind} {name}" in self.snapshot and name not in self.release.unmapped:
            yield name

    def _mapping(self, name: str) -> str:
        way = "map it as sqlalchemy.orm.unmapped_column" if "." in name else "take it out of the models"
        return (
            f"Held back until the release: drop {name}. The released code ({self.release.revision}) still uses it. "
            f"Now {way}, release that code, and record it; the next autogenerate writes the rest: schema release"
        )

    def _awaiting(self, change: str, awaited: str) -> str:
        return (
            f"Held back until the release: {change}. The released code ({self.release.revision}) doesn't have "
            f"{awaited} yet. Release the code that goes with it, and record it; the next autogenerate writes the rest: "
            "schema release"
        )


def _changes(operations: list[Any]) -> list[str]:
    said = [op for op in operations if not isinstance(op, RefillColumnOp)]
    return list(dict.fromkeys(offered_name([diff]) for diff in ops.UpgradeOps(said).as_diffs()))


def _concerns(operation: Any, edit: Edit, used: set[str]) -> bool:
    """Returns whether an operation is about something that stays."""
    tables = {table_of(operation), *refers_to(edit.creation(operation))}
    columns = {f"{table}.{column}" for table, column in edit.columns(operation) or ()}
    return bool((tables | columns) & used)
