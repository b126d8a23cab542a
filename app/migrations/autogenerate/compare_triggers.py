"""How autogenerate sees the triggers that are declared with the models' tables: a plugin, as Alembic documents one."""

import re
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult

from app.migrations.operations.triggers import (
    CreateTriggerFunctionOp,
    CreateTriggerOp,
    DropTriggerFunctionOp,
    DropTriggerOp,
)
from app.triggers import UPDATED_AT_FUNCTION, Function, Trigger, declared_triggers, updated_at_trigger

_POSTGRESQL_TRIGGERS = """
SELECT t.tgname, c.relname, pg_get_triggerdef(t.oid, true), p.proname, p.prosrc
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
"""
_POSTGRESQL_FUNCTION = """
SELECT prosrc FROM pg_proc WHERE proname = :name AND pronamespace = current_schema()::regnamespace
"""


def compare_triggers(
    context: AutogenContext, upgrade_ops: ops.UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Adds to `upgrade_ops` what makes the database's triggers those of the metadata.

    Looked at are triggers that bear a name of ours, `update_{table}_updated_at`: others are somebody else's, and stay.
    """
    assert context.connection is not None
    assert isinstance(context.metadata, sa.MetaData)
    wanted = declared_triggers(context.metadata)
    found = _triggers_in(context.connection)
    dialect = context.connection.dialect.name
    gone = [t for name, t in found.items() if name not in wanted and _is_managed(context, t)]
    changed = [t for name, t in found.items() if name in wanted and not _same(t, wanted[name], dialect)]
    added = [t for name, t in wanted.items() if name not in found or found[name] in changed]
    # A trigger goes before its table does, so that the downgrade, in reverse, makes the table first.
    upgrade_ops.ops[:0] = [DropTriggerOp(t.name, t.table, t) for t in gone + changed]
    upgrade_ops.ops.extend(_function_ops(context.connection, wanted, found))
    upgrade_ops.ops.extend(CreateTriggerOp(t) for t in added)
    if found and not wanted:
        upgrade_ops.ops.append(DropTriggerFunctionOp(UPDATED_AT_FUNCTION.name, UPDATED_AT_FUNCTION))
    return PriorityDispatchResult.CONTINUE


def _is_managed(context: AutogenContext, trigger: Any) -> bool:
    return context.run_object_filters(trigger, trigger.name, "trigger", True, None)  # type: ignore[arg-type]


def setup(plugin: Plugin) -> None:
    """Registers the comparator, as Alembic's plugin protocol asks."""
    plugin.add_autogenerate_comparator(compare_triggers, "schema", "triggers", priority=DispatchPriority.LAST)


def _function_ops(connection: sa.Connection, wanted: dict[str, Trigger], found: dict[str, Trigger]) -> list[Any]:
    if not wanted:
        return []
    if connection.dialect.name != "postgresql":
        # SQLite has no function to look at: it came with the first trigger.
        return [] if found else [CreateTriggerFunctionOp(UPDATED_AT_FUNCTION)]
    body = connection.execute(sa.text(_POSTGRESQL_FUNCTION), {"name": UPDATED_AT_FUNCTION.name}).scalar()
    if body is None:
        return [CreateTriggerFunctionOp(UPDATED_AT_FUNCTION)]
    if _words(body) == _words(UPDATED_AT_FUNCTION.body):
        return []
    return [CreateTriggerFunctionOp(UPDATED_AT_FUNCTION, Function(UPDATED_AT_FUNCTION.name, body))]


def _triggers_in(connection: sa.Connection) -> dict[str, Trigger]:
    if connection.dialect.name == "postgresql":
        rows = connection.execute(sa.text(_POSTGRESQL_TRIGGERS)).all()
        triggers = [Trigger(r[0], r[1], _definition(r[2], r[0]), updated_at_trigger(r[1]).sqlite) for r in rows]
    else:
        rows = connection.execute(sa.text("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        triggers = [Trigger(r[0], r[1], updated_at_trigger(r[1]).postgresql, _definition(r[2], r[0])) for r in rows]
    return {t.name: t for t in triggers if t.name == updated_at_trigger(t.table).name}


def _definition(statement: str, name: str) -> str:
    return re.sub(rf'^\s*CREATE\s+TRIGGER\s+"?{re.escape(name)}"?\s+', "", statement, flags=re.IGNORECASE)


def _same(found: Trigger, wanted: Trigger, dialect: str) -> bool:
    if dialect == "postgresql":
        return _words(found.postgresql) == _words(wanted.postgresql)
    return _words(found.sqlite) == _words(wanted.sqlite)


def _words(text: str) -> list[str]:
    return text.split()
