"""SAFE. The trigger fills a new column and refuses nothing; its lock lasts a moment."""

import sqlalchemy as sa
from alembic import op

revision = "20260302000025"
down_revision = "20260228000000"
branch_labels = None
depends_on = None
phase = "expand"


def upgrade() -> None:
    op.execute("ALTER TABLE service_registry ADD COLUMN label text")
    op.execute("""
        CREATE FUNCTION copy_label() RETURNS trigger LANGUAGE plpgsql AS $fn$
        BEGIN
            NEW.label := NEW.service_identifier;
            RETURN NEW;
        END $fn$
    """)
    op.execute("""
        CREATE TRIGGER service_registry_label BEFORE INSERT OR UPDATE ON service_registry
        FOR EACH ROW EXECUTE FUNCTION copy_label()
    """)
