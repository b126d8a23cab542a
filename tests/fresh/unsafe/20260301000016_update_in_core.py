"""UNSAFE. The same UPDATE as an expression of SQLAlchemy."""

import sqlalchemy as sa
from alembic import op

revision = "20260301000016"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "migrate"


def upgrade() -> None:
    logs = sa.table("service_audit_logs", sa.column("action", sa.String), sa.column("success", sa.Boolean))
    op.execute(
        sa.update(logs).where(logs.c.success.is_(None)).values(success=False, action=sa.func.lower(logs.c.action))
    )
