"""Two revisions for a new CHECK, so that writers don't wait while the rows are checked.

The first adds it `NOT VALID`, which takes a moment; the second checks the rows, while writers go on. In one
transaction the lock of the first would last until the end of the second. On SQLite the first checks the rows as it
copies the table.
"""

from alembic.operations import ops

from app.migrations.autogenerate.diffs import flat
from app.migrations.autogenerate.naming import following_id
from app.migrations.operations import ValidateConstraintOp


def split(script: ops.MigrationScript) -> list[ops.MigrationScript]:
    """Adds the CHECKs of a new revision `NOT VALID`; returns the revision that validates them, if there are any."""
    operations = flat(script.upgrade_ops.ops if script.upgrade_ops is not None else [])
    checks = [op for op in operations if isinstance(op, ops.CreateCheckConstraintOp) and op.constraint_name]
    if not checks:
        return []
    for check in checks:
        check.kw["postgresql_not_valid"] = True
    validations = [ValidateConstraintOp(str(check.constraint_name), check.table_name) for check in checks]
    return [
        ops.MigrationScript(
            following_id(str(script.rev_id)),
            ops.UpgradeOps([*validations]),
            ops.DowngradeOps([]),
            message=f"validate {', '.join(validation.name for validation in validations)}",
            head=script.rev_id,
        )
    ]
