"""The linter: what revisions would make a busy PostgreSQL wait for, found without a database."""

from app.migrations.lint.findings import Finding, Linted, lint
from app.migrations.lint.formats import FORMATS, formatted

__all__ = ["FORMATS", "Finding", "Linted", "formatted", "lint"]
