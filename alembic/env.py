"""Hands Alembic's context to the engine, with the project that it is for; decides nothing."""

from alembic import context

from app.migrations import run_env
from app.project import PROJECT

run_env(context, PROJECT)
