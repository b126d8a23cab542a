"""Remove model provider unique constraint.

A provider may serve a model under several names.

Revision: 20260123000000
Parent:   20260121000000
"""

from alembic import op

revision = "20260123000000"
down_revision = "20260121000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint("uq_model_provider", "model_mapping_providers", type_="unique")


def downgrade() -> None:
    op.create_unique_constraint("uq_model_provider", "model_mapping_providers", ["requested_model", "provider_id"])
