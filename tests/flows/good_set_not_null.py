"""The NULLs are filled, and the column becomes NOT NULL."""

import sqlalchemy as sa
from alembic import op


def upgrade() -> None:
    op.execute("UPDATE users SET email = '' WHERE email IS NULL")
    op.alter_column("users", "email", nullable=False, existing_type=sa.Text)


def downgrade() -> None:
    op.alter_column("users", "email", nullable=True, existing_type=sa.Text)
