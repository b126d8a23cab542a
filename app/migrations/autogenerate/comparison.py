"""Options of Alembic's comparison of a database with the models."""

from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.runtime.plugins import Plugin

from app.migrations.autogenerate import compare_triggers, renames
from app.migrations.autogenerate.diffs import describe
from app.migrations.autogenerate.directives import process_revision_directives
from app.migrations.autogenerate.rendering import render_item
from app.migrations.autogenerate.unmanaged import Unmanaged
from app.migrations.errors import DriftDetected
from app.migrations.project import OWN_TABLES

# Alembic's own comparators, then ours. Registered here, once in a process: registering twice is an error.
PLUGINS = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname", "app.triggers", "app.renames"]
Plugin.setup_plugin_from_module(compare_triggers, "app.triggers")
Plugin.setup_plugin_from_module(renames, "app.renames")


def options(config: Config, metadata: sa.MetaData, *, writes_revision: bool) -> dict[str, Any]:
    """Returns the options of `context.configure()` for a comparison."""
    return {
        "target_metadata": metadata,
        "autogenerate_plugins": PLUGINS,
        "compare_type": True,
        "compare_server_default": _compare_server_default,
        "include_name": _include_name,
        "include_object": Unmanaged(config).include_object,
        "render_item": render_item,
        "process_revision_directives": process_revision_directives if writes_revision else None,
        "writes_revision": writes_revision,
    }


def refuse_differences(revision_context: Any) -> None:
    """Ends `alembic check`.

    Raises:
        DriftDetected: the database differs from the models; the message describes each difference.
    """
    script = revision_context.generated_revisions[-1]
    diffs = [diff for upgrade_ops in script.upgrade_ops_list for diff in upgrade_ops.as_diffs()]
    if diffs:
        raise DriftDetected(
            f"The models and the database differ: {'; '.join(map(describe, diffs))}. If the models are right, write a "
            'revision: alembic revision --autogenerate -m "…"',
            revision_context,
            diffs,
        )


def _include_name(name: str | None, kind: str, _parents: Any) -> bool:
    return not (kind == "table" and name in OWN_TABLES)


def _compare_server_default(context: MigrationContext, inspected: sa.Column[Any], *_: object) -> bool | None:
    # PostgreSQL has no `=` for json, and Alembic would ask it to compare. None leaves a default to Alembic.
    return False if context.dialect.name == "postgresql" and isinstance(inspected.type, sa.JSON) else None
