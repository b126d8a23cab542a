"""The migration engine, for any project: `run_env` is what `env.py` calls, with the project that it is for.

A model is edited; `alembic revision --autogenerate` compares, names the file after the time and tidies it
(`autogenerate`). `alembic upgrade head` takes the lock, checks what must be in order and runs each revision in a
transaction of its own (`run`), refuses what would lose rows (`data_loss`), and copies tables on SQLite (`operations`).
"""

from typing import TYPE_CHECKING

from app.migrations.project import Limits, Project

if TYPE_CHECKING:
    from alembic.runtime.environment import EnvironmentContext

__all__ = ["Limits", "Project", "run_env"]


def run_env(context: "EnvironmentContext", project: Project) -> None:
    """Runs the Alembic command that `context` stands for; see `run.environment.run`."""
    from app.migrations.run import environment  # an application that only asks for its revisions loads no Alembic

    environment.run(context, project)
