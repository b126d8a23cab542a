"""Finishes a new revision before it is written: its id, its message, and what the models say of its columns."""

import logging
from typing import Any

from alembic import util
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext

from app.migrations.autogenerate import split_checks
from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.naming import next_id
from app.migrations.errors import MigrationError
from app.migrations.session import Session

log = logging.getLogger("app.migrations")


def process_revision_directives(
    context: MigrationContext, _revision: Any, directives: list[ops.MigrationScript]
) -> None:
    """Finishes the directives of `alembic revision`; Alembic's option of that name.

    Drops a revision that would change nothing, and splits one that adds a CHECK.

    Raises:
        MigrationError: a requested id isn't a time, or there is no message to name the file by.
    """
    script, config, history = directives[0], context.config, context.script
    assert config is not None
    assert history is not None
    assert script.upgrade_ops is not None
    session = Session.of(config)
    autogenerate = context.opts["revision_context"].command_args["autogenerate"]
    if autogenerate and context.dialect.name == "sqlite" and not session.adopts:
        from app.migrations.autogenerate import postgresql_only

        log.info(postgresql_only.add(context, script))
    if autogenerate and script.upgrade_ops.is_empty():
        util.msg("Nothing has changed: no revision was written.")
        directives[:] = []
        return
    if autogenerate:
        _fill_in_from_models(context, script)
    if session.name_revision is not None and not script.message:
        script.message = session.name_revision(script.upgrade_ops.as_diffs())
    if not (script.message or "").strip():
        raise MigrationError('A revision needs a message, which names its file: alembic revision -m "add user quotas"')
    script.rev_id = next_id(history, script.rev_id)
    if autogenerate and not session.adopts:
        directives += split_checks.split(script)


def _fill_in_from_models(context: MigrationContext, script: ops.MigrationScript) -> None:
    """Fills `existing_*` from the models, so the revision is the same whichever database it was compared with."""
    metadata = context.opts["target_metadata"]
    containers = [container for container in (script.upgrade_ops, script.downgrade_ops) if container is not None]
    for operation in flat(containers):
        if isinstance(operation, ops.AlterColumnOp) and operation.modify_name is None:
            columns = metadata.tables[operation.table_name].columns
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
            # PostgreSQL reports its default options as well.
            operation.kw = {name: value for name, value in operation.kw.items() if value is not False and value != []}
