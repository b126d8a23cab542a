"""The commands of `schema`, as functions that a program can call.

Each takes a project, and an engine or none for the project's database. Each returns its result and prints nothing;
progress goes to the logger `app.migrations`. An expected error is raised as a `SchemaError` of one line.
"""

from app.migrations.adopt import Adoption, adopt, plan_adoption
from app.migrations.commands.deploy import Deployment, backup_sqlite, deploy, pg_dump_line, script
from app.migrations.commands.dev import Development, develop
from app.migrations.commands.lint import lint
from app.migrations.commands.release import Released, release
from app.migrations.commands.schema_page import write_page
from app.migrations.commands.status import read_status, resolve
from app.migrations.drift import WrittenRevision, accept, check, plan_revert, revert, write_revision
from app.migrations.partitions import Maintenance, PartitionAdoption, adopt_partitions, maintain, plan_enable, plan_undo
from app.migrations.partitions import enable as enable_partitions
from app.migrations.partitions import undo as undo_partitions
from app.migrations.run import snapshot, stale_snapshots

__all__ = [
    "Adoption",
    "Deployment",
    "Development",
    "Maintenance",
    "PartitionAdoption",
    "Released",
    "WrittenRevision",
    "accept",
    "adopt",
    "adopt_partitions",
    "backup_sqlite",
    "check",
    "deploy",
    "develop",
    "enable_partitions",
    "lint",
    "maintain",
    "pg_dump_line",
    "plan_adoption",
    "plan_enable",
    "plan_revert",
    "plan_undo",
    "read_status",
    "release",
    "resolve",
    "revert",
    "script",
    "snapshot",
    "stale_snapshots",
    "undo_partitions",
    "write_page",
    "write_revision",
]
