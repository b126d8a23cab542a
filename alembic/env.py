"""Hands Alembic's context to app.migrations; decides nothing."""

import sqlalchemy as sa
from alembic import context

from app.migrations.run import environment


def target_metadata() -> sa.MetaData:
    """The models' metadata, imported by the commands that compare with it and by no other."""
    from app.models import Base

    return Base.metadata


environment.run(context, target_metadata)
