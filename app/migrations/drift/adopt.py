"""Writes the revision that makes every other database like this one.

What Alembic sees is written in its operations: its comparison of the database with the models, the other way round. For
what it doesn't see, such as a view or an index's predicate, there are the statements, for this kind of database alone.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, ops
from alembic.runtime.migration import MigrationContext

from app.migrations import operations, snapshots
from app.migrations.autogenerate.renames import RenameColumn, RenameTable
from app.migrations.drift.compare import ROWS_TO_DO, Drift
from app.migrations.errors import ConfigurationError
from app.migrations.snapshots import Snapshot, ddl, kind_of, own_name, owner_of
from app.migrations.snapshots.differences import NAME, Difference, differences

_COLON = re.compile(r"(?<![:\w\\]):(?=\w)")


class StatementsFor(MigrateOperation):
    """SQL for one kind of database."""

    def __init__(self, dialect: str, statements: list[str]) -> None:
        self.dialect = dialect
        self.statements = statements


@renderers.dispatch_for(StatementsFor)
def _render_statements(_context: AutogenContext, operation: StatementsFor) -> list[str]:
    # A colon before a word would be a parameter.
    plain = [_COLON.sub(r"\:", statement) for statement in operation.statements]
    lines = [f"op.execute({statement!r})" for statement in plain]
    return [f"if op.get_context().dialect.name == {operation.dialect!r}:", *lines, ""]


class Adoption:
    """A revision that is to be written.

    Args:
        connection: the database that differs.
        found: how.

    Raises:
        ConfigurationError: there is nothing that a revision could take over.
    """

    def __init__(self, connection: sa.Connection, found: Drift) -> None:
        self._undo = [d for d in found.open if d.attribute != ROWS_TO_DO]
        if not self._undo:
            raise ConfigurationError("There is nothing to adopt: the schema is what its revision makes.")
        for difference in self._undo:
            _must_be_meant(difference)
        accepted = {name for d in found.accepted for name in (d.name, _other_name(d))}
        self._dialect = connection.dialect.name
        self.expected: Snapshot = found.expected
        self._there = snapshots.take(connection)
        # Seen from the other side: the database is what should be, and the snapshot differs from it.
        self._do = [d for d in differences(found.found, found.expected) if d.name not in accepted]
        self._names = {name.partition(" ")[2] for d in self._undo for name in (d.name, _other_name(d))}
        self._whole = {owner_of(d.name) for d in self._undo if kind_of(d.name) == "table" and not d.attribute}
        self._added: dict[str, str] = {}
        self.snapshot: Snapshot = snapshots.in_order(ddl.goal(found.expected, self._there, self._do).end)

    @property
    def not_a_rename(self) -> list[str]:
        """Columns and tables that are there and aren't others with a new name."""
        renamed = {d.name for d in self._do if d.attribute == NAME}
        return [name.partition(" ")[2] for name in self._there if name not in renamed]

    def directives(self, _context: MigrationContext, _revision: Any, scripts: list[ops.MigrationScript]) -> None:
        """Turns what Alembic found round; to be given to `command.revision`."""
        script = scripts[0]
        assert script.upgrade_ops is not None
        assert script.downgrade_ops is not None
        do, undo = (list(self._mine(container.ops)) for container in (script.downgrade_ops, script.upgrade_ops))
        settled = _settled(do)
        do += self._statements(self.expected, self._there, self._do, settled)
        undo += self._statements(self._there, self.expected, self._undo, settled)
        for operation in _flat(do):
            self._added |= _model_lines(operation)
        script.upgrade_ops, script.downgrade_ops = ops.UpgradeOps(do), ops.DowngradeOps(undo)

    def model_edits(self, where: Callable[[str], str | None]) -> list[str]:
        """What to change in the models, a line each; to be called after `directives`.

        Args:
            where: the class of a table and its file; None if no model has the table.
        """
        edits = []
        for difference in self._do:
            if kind_of(difference.name) in ("table", *ddl.OF_TABLE):
                place = where(owner_of(difference.name)) or where(str(difference.found)) or "a new model"
                line = self._added.get(difference.name) if difference.found is None else None
                edits.append(f"{place}: {f'add {line}' if line else _edit(difference)}")
        return edits

    def _mine(self, found: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
        for operation in found:
            if isinstance(operation, ops.ModifyTableOps):
                inner = list(self._mine(operation.ops))
                if inner:
                    yield ops.ModifyTableOps(operation.table_name, inner)
            elif (names := _named_by(operation)) & self._names or {n.partition(".")[0] for n in names} & self._whole:
                yield operation

    def _statements(
        self, start: Snapshot, end: Snapshot, found: list[Difference], settled: dict[str, set[str]]
    ) -> list[MigrateOperation]:
        """What the operations leave over, once they have run."""
        left = [d for d in found if not _is_settled(d, settled)]
        after = ddl.goal(start, end, [d for d in found if d not in left]).end
        plan = ddl.plan(self._dialect, ddl.goal(after, end, left))
        statements = plan.within_a_transaction
        return [StatementsFor(self._dialect, statements)] if statements else []


def _must_be_meant(difference: Difference) -> None:
    facts = difference.found if not difference.attribute else {difference.attribute: difference.found}
    if kind_of(difference.name) == "index" and (facts or {}).get("valid") is False:
        raise ConfigurationError(
            f"{difference.name} is INVALID: its build failed, and no revision would make another like it. Finish it: "
            "schema check --revert"
        )


def _other_name(difference: Difference) -> str:
    """The name that an object has on the other side."""
    if difference.attribute != NAME:
        return difference.name
    kind = kind_of(difference.name)
    return f"{kind} {difference.found}" if kind == "table" else f"{kind} {owner_of(difference.name)}.{difference.found}"


def _named_by(operation: Any) -> set[str]:
    """The objects that an operation is about, as `users.nick`."""
    table = getattr(operation, "table_name", None) or getattr(operation, "source_table", None)
    match operation:
        case RenameTable():
            return {str(operation.table_name), str(operation.new_table_name)}
        case RenameColumn():
            return {f"{table}.{operation.column_name}", f"{table}.{operation.modify_name}"}
        case ops.AddColumnOp():
            return {f"{table}.{operation.column.name}"}
        case ops.AlterColumnOp() | ops.DropColumnOp():
            return {f"{table}.{operation.column_name}"}
        case ops.CreateIndexOp() | ops.DropIndexOp():
            return {f"{table}.{operation.index_name}"}
        case ops.DropConstraintOp() | ops.AddConstraintOp():
            return {f"{table}.{getattr(operation, 'constraint_name', None)}"}
        case operations.CreateTriggerOp():
            return {f"{operation.trigger.table}.{operation.trigger.name}"}
        case operations.DropTriggerOp():
            return {f"{operation.table}.{operation.name}"}
        case operations.CreateTriggerFunctionOp():
            return {f"{operation.function.name}()"}
        case operations.DropTriggerFunctionOp():
            return {f"{operation.name}()"}
    return {str(table)}


def _settled(found: Iterable[MigrateOperation]) -> dict[str, set[str]]:
    """What operations leave nothing to do about: facts of objects."""
    settled: dict[str, set[str]] = {}
    for operation in _flat(found):
        for name in _named_by(operation):
            settled.setdefault(name, set()).update(_facts_of(operation))
    return settled


def _is_settled(difference: Difference, settled: dict[str, set[str]]) -> bool:
    names = {difference.name.partition(" ")[2], _other_name(difference).partition(" ")[2]}
    return any(difference.attribute in settled.get(name, ()) for name in names)


def _facts_of(operation: Any) -> set[str]:
    match operation:
        case RenameColumn() | RenameTable():
            return {NAME}
        case ops.CreateTableCommentOp() | ops.DropTableCommentOp():
            return {"comment"}
        case ops.AlterColumnOp():
            changes = {
                "type": operation.modify_type is not None,
                "nullable": operation.modify_nullable is not None,
                "default": operation.modify_server_default is not False,
                "comment": operation.modify_comment is not False,
            }
            return {name for name, changed in changes.items() if changed}
    return {"", NAME, "definition"}


def _flat(found: Iterable[MigrateOperation]) -> Iterator[MigrateOperation]:
    for operation in found:
        if isinstance(operation, ops.OpContainer):
            yield from _flat(operation.ops)
        else:
            yield operation


def _model_lines(operation: MigrateOperation) -> dict[str, str]:
    if isinstance(operation, ops.AddColumnOp):
        return {f"column {operation.table_name}.{operation.column.name}": _mapped(operation.column)}
    if isinstance(operation, ops.CreateIndexOp):
        parts = [operation.index_name, *operation.columns]
        unique = ", unique=True" if operation.unique else ""
        name = f"index {operation.table_name}.{operation.index_name}"
        return {name: f"sa.Index({', '.join(repr(str(part)) for part in parts)}{unique})"}
    return {}


def _mapped(column: sa.Column[Any]) -> str:
    kind = column.type.as_generic(allow_nulltype=True)
    try:
        python = kind.python_type.__name__
    except NotImplementedError:
        python = "Any"
    python = {"datetime": "dt.datetime", "date": "dt.date", "time": "dt.time", "UUID": "uuid.UUID"}.get(python, python)
    parts = [f"sa.{kind!r}"]
    default = getattr(column.server_default, "arg", None)
    parts += [f"server_default=sa.text({str(getattr(default, 'text', default))!r})"] if default is not None else []
    parts += [f"comment={column.comment!r}"] if column.comment else []
    return f"{column.name}: Mapped[{python}{' | None' if column.nullable else ''}] = mapped_column({', '.join(parts)})"


def _edit(difference: Difference) -> str:
    """What a model must say otherwise: `expected` is what the database has."""
    what = f"{kind_of(difference.name)} {own_name(difference.name)}"
    if difference.attribute == NAME:
        return f"the {kind_of(difference.name)} {difference.found} is called {difference.expected}"
    if difference.attribute:
        return f"{what}: {difference.attribute} {difference.expected!r}"
    verb = "remove" if difference.expected is None else "add"
    definition = "" if difference.expected is None else difference.expected.get("definition", "")
    return f"{verb} {what} {definition}".rstrip()
