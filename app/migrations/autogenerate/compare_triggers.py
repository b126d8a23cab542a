"""Comparator for the triggers that are declared with the models' tables."""

import re
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, ops
from alembic.util import PriorityDispatchResult

from app.migrations.operations import CreateTriggerOp, DropTriggerOp
from app.triggers import UPDATED_AT_FUNCTION, Function, Trigger, declared_triggers, updated_at_trigger

_SCHEMA = "to_regnamespace(quote_ident(current_schema()))"  # a name may have capitals
_TRIGGERS = {
    "postgresql": f"""
        SELECT t.tgname, c.relname, pg_get_triggerdef(t.oid, true)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND NOT c.relispartition AND c.relnamespace = {_SCHEMA}""",
    "sqlite": "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'",
}
_FUNCTION = f"SELECT prosrc FROM pg_proc WHERE proname = :name AND pronamespace = {_SCHEMA}"


def compare_triggers(
    context: AutogenContext, upgrade_ops: ops.UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Adds to `upgrade_ops` the operations that make the database's triggers those of the metadata.

    Only triggers named `update_{table}_updated_at` are compared; others stay as they are.
    """
    connection = context.connection
    assert connection is not None
    assert isinstance(context.metadata, sa.MetaData)
    wanted, present = declared_triggers(context.metadata), _triggers_in(connection)

    def words(trigger: Trigger) -> list[str]:
        return trigger.definition(connection.dialect.name).split()

    def is_managed(trigger: Any) -> bool:
        return context.run_object_filters(trigger, trigger.name, "trigger", True, None)  # type: ignore[arg-type]

    changed = [t for name, t in present.items() if name in wanted and words(t) != words(wanted[name])]
    gone = [t for name, t in present.items() if name not in wanted and is_managed(t)]
    # A trigger goes before its table does, so that the downgrade, in reverse, creates the table first.
    upgrade_ops.ops[:0] = [DropTriggerOp(trigger) for trigger in gone + changed]
    upgrade_ops.ops.extend(_function_ops(connection, wanted, present))
    added = [t for name, t in wanted.items() if name not in present or present[name] in changed]
    upgrade_ops.ops.extend(CreateTriggerOp(trigger) for trigger in added)
    if present and not wanted:
        upgrade_ops.ops.append(DropTriggerOp(UPDATED_AT_FUNCTION))
    return PriorityDispatchResult.CONTINUE


def _function_ops(
    connection: sa.Connection, wanted: dict[str, Trigger], present: dict[str, Trigger]
) -> list[MigrateOperation]:
    function, body = UPDATED_AT_FUNCTION, None
    if connection.dialect.name == "postgresql":
        body = connection.execute(sa.text(_FUNCTION), {"name": function.name}).scalar()
    elif present:  # SQLite has no function to look at: the revision of the first trigger created PostgreSQL's
        body = function.body
    if not wanted or (body or "").split() == function.body.split():
        return []
    return [CreateTriggerOp(function, Function(function.name, body) if body is not None else None)]


def _triggers_in(connection: sa.Connection) -> dict[str, Trigger]:
    dialect = connection.dialect.name
    triggers = {}
    for name, table, statement in connection.execute(sa.text(_TRIGGERS[dialect])):
        expected = updated_at_trigger(table)
        if name == expected.name:
            definition = re.sub(rf'^\s*CREATE\s+TRIGGER\s+"?{re.escape(name)}"?\s+', "", statement, flags=re.IGNORECASE)
            # The text for the other database isn't known here: the present one is assumed.
            triggers[name] = replace(expected, **{dialect: definition})
    return triggers
