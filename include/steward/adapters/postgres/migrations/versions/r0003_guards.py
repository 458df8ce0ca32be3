"""The record's guards hold in every session, and nobody has a right that was not granted to them by name.

An ordinary trigger is skipped where `session_replication_role` is `replica`; one that is enabled `ALWAYS` is not.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE events ENABLE ALWAYS TRIGGER events_append_only;
ALTER TABLE evidence ENABLE ALWAYS TRIGGER evidence_append_only;
ALTER TABLE routes ENABLE ALWAYS TRIGGER routes_epoch_rises;
ALTER TABLE rollouts ENABLE ALWAYS TRIGGER rollouts_epoch_rises;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
"""


def upgrade() -> None:
    op.execute(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("guards are not taken away: restore a backup to go back")
