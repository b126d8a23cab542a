"""Writes revisions: compares, renders, names and tidies them."""

from alembic.runtime.plugins import Plugin

from app.migrations.autogenerate import compare_triggers, renames

# Alembic's own comparators, then ours. Registered here, once in a process: registering twice is an error.
PLUGINS = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname", "app.triggers", "app.renames"]
Plugin.setup_plugin_from_module(compare_triggers, "app.triggers")
Plugin.setup_plugin_from_module(renames, "app.renames")
