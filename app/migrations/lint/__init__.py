"""The linter: what revisions would make a busy PostgreSQL wait for, found without a database."""

from app.migrations.lint.findings import Finding, Linted, lint
from app.migrations.lint.formats import FORMATS, formatted
from app.migrations.lint.hook import show_findings
from app.migrations.lint.live import Live, read_live

__all__ = ["FORMATS", "Finding", "Linted", "Live", "formatted", "lint", "read_live", "show_findings"]
