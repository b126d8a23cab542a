"""Drop request logs provider id foreign key.

No index begins with provider_id, so deleting a provider read the whole log under a lock.

provider_id keeps its values; after a provider is deleted they name nothing, and provider_name remains.
Back: fails while logs name providers that are gone; set these to NULL first.

Revision: 20260425090000
Parent:   20260402090001
"""

from alembic import op

revision = "20260425090000"
down_revision = "20260402090001"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    with op.concurrently():
        op.drop_constraint("request_logs_provider_id_fkey", "request_logs", type_="foreignkey")


def downgrade() -> None:
    with op.concurrently():
        op.create_foreign_key(
            "request_logs_provider_id_fkey", "request_logs", "service_providers", ["provider_id"], ["id"]
        )
