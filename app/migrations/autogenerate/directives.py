"""Options of Alembic's comparison, and the finish of a new revision before it is written."""

import logging
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import util
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin
from alembic.util import DispatchPriority, PriorityDispatchResult

from app.migrations.autogenerate import postgresql_only
from app.migrations.autogenerate.compare_triggers import compare_triggers
from app.migrations.autogenerate.diffs import describe, flat
from app.migrations.autogenerate.facts.compare_facts import compare_facts, setup_default
from app.migrations.autogenerate.facts.finish import finish
from app.migrations.autogenerate.facts.unwritten import taken_out
from app.migrations.autogenerate.model_names import require_names
from app.migrations.autogenerate.naming import next_id
from app.migrations.autogenerate.renames import compare_renames
from app.migrations.autogenerate.rendering import render_item
from app.migrations.autogenerate.steps.files import hold_back, in_files, unindexed
from app.migrations.autogenerate.steps.retyped import take_out_impossible
from app.migrations.autogenerate.unmanaged import Unmanaged
from app.migrations.errors import DriftDetected, MigrationError
from app.migrations.operations import PLAIN
from app.migrations.project import OWN_TABLES
from app.migrations.session import Session
from app.migrations.snapshots import Snapshot

log = logging.getLogger("app.migrations")

_STOOD_IN = "Compared on a throw-away PostgreSQL, which was made from the snapshot of {}."

_PARTITIONS = sa.text(
    "SELECT nullif(n.nspname, current_schema()), c.relname FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relispartition"
)


def _find_partitions(
    context: AutogenContext, _upgrade_ops: ops.UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Fills the option `partitions`: Alembic's inspector lists them as tables, and it would propose to drop them."""
    connection = context.connection
    assert connection is not None
    partitions = context.opts.get("partitions")  # None where another program compares, with options of its own
    if partitions is not None and connection.dialect.name == "postgresql":
        partitions.update(tuple(row) for row in connection.execute(_PARTITIONS))
    return PriorityDispatchResult.CONTINUE


# Alembic's own comparators, then ours. Ours are registered here, once in a process: registering twice is an error.
PLUGINS = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname", "app.migrations.autogenerate"]
_plugin = Plugin(PLUGINS[-1])
_plugin.add_autogenerate_comparator(setup_default, "column", "server_default", priority=DispatchPriority.FIRST)
_plugin.add_autogenerate_comparator(compare_facts, "autogenerate", "facts", priority=DispatchPriority.LAST)
_plugin.add_autogenerate_comparator(require_names, "schema", "names", priority=DispatchPriority.FIRST)
_plugin.add_autogenerate_comparator(_find_partitions, "schema", "partitions", priority=DispatchPriority.FIRST)
_plugin.add_autogenerate_comparator(compare_triggers, "schema", "triggers", priority=DispatchPriority.LAST)
_plugin.add_autogenerate_comparator(compare_renames, "schema", "renames", priority=DispatchPriority.LAST)


def options(config: Config, metadata: sa.MetaData, *, writes_revision: bool) -> dict[str, Any]:
    """Returns the options of `context.configure()` for a comparison with `metadata`."""
    schemas = {table.schema for table in metadata.tables.values() if table.schema is not None}
    partitions = set[tuple[str | None, str]]()
    return {
        "target_metadata": metadata,
        "autogenerate_plugins": PLUGINS,
        "compare_type": True,
        "include_name": partial(_include_name, schemas, partitions),
        "partitions": partitions,
        "include_schemas": bool(schemas),
        "include_object": Unmanaged(config).include_object,
        "render_item": render_item,
        "process_revision_directives": _process_revision_directives if writes_revision else None,
        "writes_revision": writes_revision,
    }


def refuse_differences(context: MigrationContext) -> None:
    """Ends `alembic check`; what is held back until a release is a note.

    Raises:
        DriftDetected: the database differs from the models; the message describes each difference.
    """
    assert context.config is not None
    revision_context, session = context.opts["revision_context"], Session.of(context.config)
    script = revision_context.generated_revisions[-1]
    session.held_back = hold_back(context, script) if not session.from_drift else []
    _say_notes(session)
    diffs = [diff for upgrade_ops in script.upgrade_ops_list for diff in upgrade_ops.as_diffs()]
    if diffs:
        raise DriftDetected(
            f"The models and the database differ: {'; '.join(map(describe, diffs))}. If the models are right, write a "
            'revision: alembic revision --autogenerate -m "…"',
            revision_context,
            diffs,
        )


def _process_revision_directives(
    context: MigrationContext, _revision: Any, directives: list[ops.MigrationScript]
) -> None:
    """Finishes a revision; drops one that would change nothing, and splits one that would stall others.

    Raises:
        MigrationError: a requested id isn't a time, or there is no message to name the file by.
    """
    script, config, history = directives[0], context.config, context.script
    assert config is not None
    assert history is not None
    assert script.upgrade_ops is not None
    session = Session.of(config)
    autogenerate = context.opts["revision_context"].command_args["autogenerate"]
    on_postgresql: Snapshot = {}
    if autogenerate and context.dialect.name == "sqlite" and not session.from_drift:
        on_postgresql, line = postgresql_only.add(context, script)
        log.warning("%s", line)
    elif session.facts is not None:
        compared = history.get_current_head() or "an empty schema"
        log.info("%s", _STOOD_IN.format(compared))
    unwritten = _take_out_unwritten(context, script, in_steps=autogenerate and not session.from_drift)
    session.held_back = hold_back(context, script) if autogenerate and not session.from_drift else []
    _say_notes(session)
    if autogenerate and script.upgrade_ops.is_empty():
        is_equal = not (unwritten or session.held_back)
        util.msg("Nothing has changed: no revision was written." if is_equal else "No revision was written.")
        directives[:] = []
        return
    if autogenerate:
        _fill_in_from_models(context, script)
        if not session.from_drift:
            _finish(context, script, on_postgresql)
    if session.name_revision is not None and not script.message:
        script.message = session.name_revision(script.upgrade_ops.as_diffs())
    if not (script.message or "").strip():
        raise MigrationError('A revision needs a message, which names its file: alembic revision -m "add user quotas"')
    script.rev_id = next_id(history, script.rev_id)
    if autogenerate and not session.from_drift:
        directives += _in_files(context, script, session)


def _take_out_unwritten(context: MigrationContext, script: ops.MigrationScript, *, in_steps: bool) -> list[object]:
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    unwritten: list[object] = [*taken_out(script.upgrade_ops)]
    list(taken_out(script.downgrade_ops))
    if in_steps and not context.opts.get(PLAIN):
        unwritten += take_out_impossible(script, context.opts["target_metadata"])
    for difference in unwritten:
        log.warning("Nothing was written for: %s", difference)
    return unwritten


def _in_files(context: MigrationContext, script: ops.MigrationScript, session: Session) -> list[ops.MigrationScript]:
    missing = [*unindexed(script, context.opts["target_metadata"])]
    others, held_back = in_files(context, script)
    session.held_back += held_back
    for line in (*missing, *held_back):
        log.warning("%s", line)
    return others


def _say_notes(session: Session) -> None:
    if session.answers_notes:
        return
    if session.left_out:
        log.warning("%s", session.left_out)
    for note in session.notes:
        log.info("Not a difference: %s", note)
    for line in session.held_back:
        log.warning("%s", line)


def _include_name(schemas: set[str], partitions: set[Any], name: str | None, kind: str, parents: Any) -> bool:
    if kind == "schema":
        return name is None or name in schemas
    if kind == "table" and (parents["schema_name"], name) in partitions:
        return False
    return not (kind == "table" and name in OWN_TABLES)


def _finish(context: MigrationContext, script: ops.MigrationScript, on_postgresql: Snapshot) -> None:
    subject: Any = context.opts.get("subject")
    sides = [side for side in (subject.own, subject.other) if side is not None] if subject is not None else []
    before = {side.dialect: side.comparison.present for side in sides}
    if before and on_postgresql:
        before["postgresql"] = on_postgresql
    if "postgresql" in before:
        finish(script, before, {side.dialect: side.comparison.made for side in sides})


def _fill_in_from_models(context: MigrationContext, script: ops.MigrationScript) -> None:
    """Fills `existing_*` from the models, so the revision is the same whichever database it was compared with."""
    metadata = context.opts["target_metadata"]
    for operation in flat([*script.upgrade_ops_list, *script.downgrade_ops_list]):
        if isinstance(operation, ops.AlterColumnOp) and operation.modify_name is None:
            columns = next(t for t in metadata.tables.values() if t.name == operation.table_name).columns
            model = next(column for column in columns if column.name == operation.column_name)
            if operation.modify_type is None:
                operation.existing_type = model.type
            if operation.modify_comment is False:
                operation.existing_comment = model.comment
            if operation.modify_server_default is False:
                operation.existing_server_default = model.server_default
        elif isinstance(operation, ops.AddColumnOp) and not operation.column.primary_key:
            operation.column.autoincrement = "auto"
        elif isinstance(operation, ops.CreateIndexOp | ops.CreateUniqueConstraintOp):
            # PostgreSQL reports its default options as well; how an index is built is the revision's to say.
            said = {name: value for name, value in operation.kw.items() if name != "postgresql_concurrently"}
            operation.kw = {name: value for name, value in said.items() if value is not False and value != []}
