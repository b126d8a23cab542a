<%
    # Autogenerate gives these for what it writes, each by the revision's id.
    phase = context.get("phases", {}).get(up_revision)
    remarks = context.get("remarks", {}).get(up_revision)
%>\
"""${(message[:1].upper() + message[1:]).rstrip(".") + "."}
% if remarks:

${remarks}
% endif

Revision: ${up_revision}
Parent:   ${down_revision | comma,n}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
% if phase:
phase = ${repr(str(phase))}
% endif


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
