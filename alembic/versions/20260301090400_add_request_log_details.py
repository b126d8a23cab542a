"""Add request log details.

Bodies are large and are removed after days, the log stays for months: each has a table of its own.

No row moves. The gateway writes new bodies here and leaves the log's own columns NULL. It moves old bodies itself, at its
start. A partitioned request_logs has no unique id, so the foreign key is left out there.
Back: the bodies that were stored here are lost.

Revision: 20260301090400
Parent:   20260301090300
"""

import sqlalchemy as sa
from alembic import op

revision = "20260301090400"
down_revision = "20260301090300"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.create_table(
        "request_log_details",
        sa.Column(
            "log_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
            comment="The log that it belongs to.",
        ),
        sa.Column(
            "request_body",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="Body of the client's request, as it came.",
        ),
        sa.Column(
            "request_headers", sa.JSON(none_as_null=True), nullable=True, comment="Headers of the client's request."
        ),
        sa.Column("response_headers", sa.JSON(none_as_null=True), nullable=True, comment="Headers of the response."),
        sa.Column(
            "converted_request_body",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="Body of the request after protocol conversion.",
        ),
        sa.Column(
            "usage_details",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="Token counts as the provider reported them.",
        ),
        sa.Column("response_body", sa.Text(), nullable=True, comment="Body of the response, as the client got it."),
        sa.Column(
            "upstream_response_body",
            sa.Text(),
            nullable=True,
            comment="Body of the response before protocol conversion.",
        ),
        sa.Column("error_info", sa.Text(), nullable=True, comment="What went wrong, if anything did."),
        sa.ForeignKeyConstraint(
            ["log_id"], ["request_logs.id"], name=op.f("request_log_details_log_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("log_id", name=op.f("request_log_details_pkey")),
        comment="Bodies and headers of requests, at most one row per log.",
    )


def downgrade() -> None:
    op.drop_table("request_log_details")
