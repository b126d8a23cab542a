"""Changes of columns, as the facts ask for them."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops

from app.migrations.autogenerate.facts.sides import Subject
from app.migrations.operations import CreateTriggerOp, NamedType
from app.migrations.snapshots import Difference, Facts, kind_of, own_name, owner_of, quote

_ZONE = " with time zone"


class AlterColumn(ops.AlterColumnOp):
    """A change of a column with a `USING` for PostgreSQL, there and back."""

    def __init__(self, *args: Any, using: str | None = None, using_back: str | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.using, self.using_back = using, using_back

    def reverse(self) -> ops.AlterColumnOp:
        """Returns the change back."""
        back = super().reverse()
        if self.modify_type is None:
            return back
        options = {name: value for name, value in vars(back).items() if name.startswith(("existing_", "modify_"))}
        options |= {"using": self.using_back, "using_back": self.using, "schema": self.schema}
        result = AlterColumn(self.table_name, self.column_name, **options)
        result.kw = dict(back.kw)
        return result


@renderers.dispatch_for(AlterColumn)
def _render(context: AutogenContext, operation: AlterColumn) -> str:
    plain = renderers.dispatch(ops.AlterColumnOp("", ""))(context, operation)
    text = str(plain)
    if operation.using is None or operation.modify_type is None:
        return text
    return f"{text[:-1]},\n           postgresql_using={operation.using!r})"


def alter_columns(subject: Subject, upgrade_ops: ops.UpgradeOps) -> None:
    """Gives each column that differs the operation that ends it, and takes out what no fact asks for."""
    wanted: dict[str, dict[str, Difference]] = {}
    for difference in subject.own.differences:
        if kind_of(difference.name) == "column" and difference.attribute:
            wanted.setdefault(difference.name, {})[difference.attribute] = difference
    _alter_existing(subject, upgrade_ops, wanted)
    for name, differences in wanted.items():
        column = subject.column(name)
        if column is not None:
            operation = _changed(subject, name, column, differences)
            if operation is not None:
                changes = changes_of_table(upgrade_ops, owner_of(name))
                columns = [op for op in changes.ops if isinstance(op, ops.AddColumnOp | ops.AlterColumnOp)]
                changes.ops.insert(len(columns), operation)


def changes_of_table(upgrade_ops: ops.UpgradeOps, table: str) -> ops.ModifyTableOps:
    """Returns the container of a table's changes; makes one where Alembic would, in the order of names."""
    for operation in upgrade_ops.ops:
        if isinstance(operation, ops.ModifyTableOps) and operation.table_name == table:
            return operation
    made = ops.ModifyTableOps(table, [])
    place = len(upgrade_ops.ops)
    new = {operation.table_name for operation in upgrade_ops.ops if isinstance(operation, ops.CreateTableOp)}
    for index, operation in enumerate(upgrade_ops.ops):
        is_later = isinstance(operation, ops.ModifyTableOps) and table < operation.table_name not in new
        if is_later or isinstance(operation, CreateTriggerOp):
            place = index
            break
    upgrade_ops.ops.insert(place, made)
    return made


def _alter_existing(subject: Subject, container: ops.OpContainer, wanted: dict[str, dict[str, Difference]]) -> None:
    for operation in [*container.ops]:
        if isinstance(operation, ops.OpContainer):
            _alter_existing(subject, operation, wanted)
            if operation.is_empty():
                container.ops.remove(operation)
        elif isinstance(operation, ops.AlterColumnOp) and operation.modify_name is None:
            name = f"column {operation.table_name}.{operation.column_name}"
            column = subject.column(name)
            new = _changed(subject, name, column, wanted.pop(name, {}), operation) if column is not None else None
            place = container.ops.index(operation)
            container.ops[place : place + 1] = [new] if new is not None else []


def is_altered(facts: Facts, old: Facts, difference: Difference) -> bool:
    """Returns whether an ALTER of Alembic's ends a difference of a column."""
    if difference.attribute in ("generated", "identity") or "generated" in facts or "generated" in old:
        return False
    if difference.attribute == "type":
        return _is_convertible(str(old["type"]), str(facts["type"])) and _is_convertible(
            str(facts["type"]), str(old["type"])
        )
    if difference.attribute == "default":
        return not any("nextval(" in str(side.get("default", "")) for side in (facts, old))
    return True


def _is_convertible(before: str, after: str) -> bool:
    """Returns whether values of a type have a meaning in another: an array has none as a number."""
    is_array = before.endswith("[]"), after.endswith("[]")
    if before.upper() == before or is_array == (True, True):  # types of SQLite have no meaning at all
        return True
    if any(is_array):
        return _base(after) in _FAMILIES[1] or _base(before) in _FAMILIES[1]
    spans, moments = {"interval"}, {"date", "timestamp without time zone", "timestamp with time zone"}
    pair = _base(before), _base(after)
    return not any(pair[one] in spans and pair[1 - one] in moments for one in (0, 1))


def _changed(
    subject: Subject,
    name: str,
    column: sa.Column[Any],
    differences: dict[str, Difference],
    proposed: ops.AlterColumnOp | None = None,
) -> ops.AlterColumnOp | None:
    """Returns the operation that ends the differences; None if it would change nothing."""
    new, old = subject.own.facts_of(name, wanted=True), subject.own.facts_of(name)
    attributes = {a for a, difference in differences.items() if is_altered(new, old, difference)}
    if not attributes:
        return None
    existing = proposed or _described(subject, name, column)
    schema = column.table.schema
    operation = AlterColumn(owner_of(name), own_name(name), existing_nullable=bool(old["nullable"]), schema=schema)
    operation.kw = dict(existing.kw)
    operation.existing_type, operation.existing_comment = existing.existing_type, old.get("comment")
    operation.existing_server_default = existing.existing_server_default
    if isinstance(existing.existing_type, sa.types.NullType):  # no type of SQLAlchemy's
        operation.existing_type = NamedType(str(old["type"]), str(old["type"]))
    if attributes & {"type", "collation"}:
        operation.modify_type = column.type
        if subject.own.dialect == "postgresql":
            operation.using, operation.using_back = using(name, old, new), using(name, new, old)
    if "nullable" in attributes:
        operation.modify_nullable = bool(new["nullable"])
    if "default" in attributes:
        operation.modify_server_default = column.server_default if "default" in new else None
    if "comment" in attributes:
        operation.modify_comment = column.comment
    return operation


def alter_on_other_side(
    subject: Subject, upgrade_ops: ops.UpgradeOps, name: str, differences: dict[str, Difference]
) -> None:
    """Adds to a column's operation, or to a new one, what differs on the other database alone."""
    column = subject.column(name)
    if column is None:
        return
    changes = changes_of_table(upgrade_ops, owner_of(name))
    present = [op for op in changes.ops if isinstance(op, ops.AlterColumnOp) and op.column_name == own_name(name)]
    operation = present[0] if present else _described(subject, name, column)
    if differences.keys() & {"type", "collation"}:
        operation.modify_type = column.type
    if "default" in differences:
        operation.modify_server_default = column.server_default
    if not present and operation.has_changes():
        operation.existing_nullable = bool(column.nullable)
        changes.ops.append(operation)
    if not changes.ops:
        upgrade_ops.ops.remove(changes)


def _described(subject: Subject, name: str, column: sa.Column[Any]) -> ops.AlterColumnOp:
    """Returns an operation that says what the database has."""
    former = next(
        (old.rpartition(".")[2] for old, new in subject.renames if _is_column(old, new, name)), own_name(name)
    )
    found = subject.reflected(owner_of(name)).columns[former]
    operation = ops.AlterColumnOp(owner_of(name), own_name(name), existing_type=found.type)
    operation.existing_server_default = found.server_default
    if column.table.autoincrement_column is column:
        operation.kw["autoincrement"] = True
    return operation


def _is_column(old: str, new: str, name: str) -> bool:
    return old.startswith("column ") and new == own_name(name) and owner_of(old) == owner_of(name)


def using(name: str, old: Facts, new: Facts) -> str | None:
    """Returns the conversion that keeps what values mean; None where PostgreSQL's own does."""
    before, after, column = str(old["type"]), str(new["type"]), quote(own_name(name))
    if before == after:
        return None
    if before.startswith("time") and after.startswith("time") and (_ZONE in before) != (_ZONE in after):
        return f"{column} AT TIME ZONE 'UTC'"
    if _casts_itself(before, after):
        return None
    through = "::text" if _base(after) not in _KNOWN and _base(before) not in _FAMILIES[1] else ""
    return f"{column}{through}::{after}"


_FAMILIES = (
    {"smallint", "integer", "bigint", "numeric", "real", "double precision"},
    {"text", "character varying", "character", "citext"},
    {"json", "jsonb"},
    {"date", "timestamp without time zone", "timestamp with time zone"},
)


_KNOWN = set().union(*_FAMILIES, {"boolean", "uuid", "bytea", "interval", "inet", "cidr", "macaddr", "date"})


def _casts_itself(before: str, after: str) -> bool:
    """Returns whether an assignment casts the one type to the other."""
    one, other = (_base(text) for text in (before, after))
    is_text = other in _FAMILIES[1] and not before.endswith("[]")
    return one == other or is_text or any({one, other} <= family for family in _FAMILIES)


def _base(kind: str) -> str:
    head, _, tail = kind.partition("(")
    return (head + tail.partition(")")[2]) if tail else head


def remaining_of(subject: Subject) -> Iterator[Difference]:
    """Yields the differences of columns that no ALTER of Alembic's ends."""
    for difference in subject.own.differences:
        if kind_of(difference.name) == "column" and difference.attribute:
            name = difference.name
            new, old = subject.own.facts_of(name, wanted=True), subject.own.facts_of(name)
            if not is_altered(new, old, difference):
                yield difference
