"""Keeps the developer's own settings out of the tests."""

import os
from pathlib import Path

from app import settings
from app.migrations.run import ledger
from app.models import keys

ROOT = Path(__file__).parents[2]
OURS = (
    "ALEMBIC_",
    "API_KEY_HASH_",
    "DATABASE_URL",
    "ENCRYPTION_",
    "GATEWAY_SCHEMA_",
    "GITHUB_TOKEN_",
    "PG",
    "SCHEMA_PARTITIONS_",
)


def variables(url: str) -> dict[str, str]:
    """The variables of a process: ours are those of a test alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return inherited | {"DATABASE_URL": url, "GATEWAY_SCHEMA_ENV_FILE": ""}


def format_as_here(folder: Path) -> None:
    """Lets revisions in a folder be formatted as ours; else the configuration above the folder counts, if any."""
    settings_ = (ROOT / "pyproject.toml").as_posix()
    (folder / "ruff.toml").write_text(f'extend = "{settings_}"\n', encoding="utf-8")


def forget_settings() -> None:
    """Lets settings, keys and the code's version be read again, from the variables there are now."""
    for value in (*vars(settings).values(), *vars(ledger).values()):
        if hasattr(value, "cache_clear"):
            value.cache_clear()
    keys.API_KEYS.forget()
    keys.GITHUB_TOKENS.forget()
    keys.CLIENT_KEY_HASHES.forget()
