"""Versions beside the ones that answer: a shadow, and one that stands by.

Both may be null, so servers and tasks of the release before keep working on the new form.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE routes ADD COLUMN shadow integer;
ALTER TABLE routes ADD COLUMN standby integer;
"""


def upgrade() -> None:
    op.execute(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("routes may name versions that the form before cannot hold: restore a backup to go back")
