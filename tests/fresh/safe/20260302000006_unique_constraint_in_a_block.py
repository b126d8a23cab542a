"""SAFE. The block builds an index CONCURRENTLY that is then declared the constraint."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000006"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "contract"


def upgrade() -> None:
    with op.concurrently():
        op.create_unique_constraint("uq_model_target", "model_mapping_providers", ["provider_id", "target_model_name"])
