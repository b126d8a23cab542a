"""Runs the command `schema` in this process."""

import logging
import subprocess
from collections.abc import Mapping

import pytest
from typer.testing import CliRunner

from app import settings
from app.cli.main import app
from app.models import keys
from app.project import PROJECT


def schema(*args: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the command `schema` in this process, with settings of its own: a tenth of the time that a process takes."""
    logger = logging.getLogger("app.migrations")
    handlers = [*logger.handlers]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        _forget_settings()
        try:
            done = CliRunner().invoke(app, args, obj=PROJECT)
        finally:
            logger.handlers[:] = handlers
    _forget_settings()
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(args, done.exit_code, done.stdout, done.stderr)


def _forget_settings() -> None:
    settings.load.cache_clear()
    keys.API_KEYS.forget()
    keys.GITHUB_TOKENS.forget()
