"""What `schema` adds to `alembic`, as functions that a program can call."""

from app.migrations.commands.deploy import (
    Deployment,
    backup_sqlite,
    deploy,
    pg_dump_line,
    read_status,
    resolve,
    script,
    write_docs,
)
from app.migrations.commands.dev import Development, develop
from app.migrations.drift import Adopted, accept, adopt, check, plan_revert, revert
from app.migrations.run.scratch import snapshot, stale_snapshots

__all__ = [
    "Adopted",
    "Deployment",
    "Development",
    "accept",
    "adopt",
    "backup_sqlite",
    "check",
    "deploy",
    "develop",
    "pg_dump_line",
    "plan_revert",
    "read_status",
    "resolve",
    "revert",
    "script",
    "snapshot",
    "stale_snapshots",
    "write_docs",
]
