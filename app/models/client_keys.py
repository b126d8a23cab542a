"""The gateway's own clients and the keys that they present."""

import datetime as dt

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.models import gateway_columns as columns
from app.models.base import FALSE, TRUE, Base, UtcDateTime


class ApiKey(Base):
    """A client of the gateway."""

    __tablename__ = "api_keys"
    __table_args__ = ({"comment": "Clients of the gateway."},)

    id: Mapped[int] = mapped_column(primary_key=True, comment="Key of the row.")
    key_name: Mapped[str] = mapped_column(sa.String(100), unique=True, comment="Name of the client.")
    key_value: Mapped[str] = mapped_column(sa.String(100), unique=True, comment="The key that the client presents.")
    is_active: Mapped[bool] = columns.is_active()
    record_details: Mapped[bool] = mapped_column(
        server_default=TRUE, comment="Whether bodies and headers of its requests are logged."
    )
    is_mcp_admin: Mapped[bool] = mapped_column(
        server_default=FALSE, comment="Whether it may administer the gateway through MCP."
    )
    created_at: Mapped[dt.datetime] = columns.created_at()
    last_used_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime(), comment="When it was last used, UTC.")
