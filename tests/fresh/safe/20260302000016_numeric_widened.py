"""SAFE. More digits at the same scale keep the rows as they are."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000016"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    for column in ("total_cost", "input_cost", "output_cost"):
        op.alter_column(
            "request_logs", column, type_=sa.Numeric(18, 4), existing_type=sa.Numeric(12, 4), existing_nullable=True
        )
