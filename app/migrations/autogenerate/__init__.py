"""New revisions: the comparison of a database with the models, renames, names and formatting."""

from app.migrations.autogenerate import tidy  # noqa: F401 - registers the write hook
from app.migrations.autogenerate.diffs import changes_of, describe, flat
from app.migrations.autogenerate.directives import PLUGINS, options, refuse_differences
from app.migrations.autogenerate.naming import ID_FORMAT, offered_name
from app.migrations.autogenerate.unmanaged import Unmanaged

__all__ = [
    "ID_FORMAT",
    "PLUGINS",
    "Unmanaged",
    "changes_of",
    "describe",
    "flat",
    "offered_name",
    "options",
    "refuse_differences",
]
