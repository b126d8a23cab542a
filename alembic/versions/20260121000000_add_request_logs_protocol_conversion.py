"""Add request logs protocol conversion.

The gateway converts between protocols; the log keeps both sides.

Revision: 20260121000000
Parent:   20260112000000
"""

import sqlalchemy as sa
from alembic import op

revision = "20260121000000"
down_revision = "20260112000000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "request_logs",
        sa.Column(
            "request_protocol",
            sa.String(length=50),
            nullable=True,
            comment="Protocol of the client: openai or anthropic.",
        ),
    )
    op.add_column(
        "request_logs",
        sa.Column(
            "supplier_protocol",
            sa.String(length=50),
            nullable=True,
            comment="Protocol of the provider: openai or anthropic.",
        ),
    )
    op.add_column(
        "request_logs",
        sa.Column(
            "converted_request_body",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="Body of the request after protocol conversion.",
        ),
    )
    op.add_column(
        "request_logs",
        sa.Column(
            "upstream_response_body",
            sa.Text(),
            nullable=True,
            comment="Body of the response before protocol conversion.",
        ),
    )


def downgrade() -> None:
    op.drop_column("request_logs", "upstream_response_body")
    op.drop_column("request_logs", "converted_request_body")
    op.drop_column("request_logs", "supplier_protocol")
    op.drop_column("request_logs", "request_protocol")
