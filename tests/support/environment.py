"""Keeps the developer's own settings out of the tests."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("ALEMBIC_", "DATABASE_URL", "ENCRYPTION_", "GATEWAY_SCHEMA_", "GITHUB_TOKEN_", "PG")


def variables(url: str) -> dict[str, str]:
    """The variables of a process: ours are those of a test alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return inherited | {"DATABASE_URL": url, "GATEWAY_SCHEMA_ENV_FILE": ""}
