"""The whole life of an incident, and messages that a channel did not take.

Every new column has a default or may be null, so servers and tasks of the release before keep working on the new form.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE incidents ADD COLUMN acknowledged_at timestamptz;
ALTER TABLE incidents ADD COLUMN acknowledged_by text;
ALTER TABLE incidents ADD COLUMN passed integer NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN judged_to timestamptz;
ALTER TABLE incidents ADD COLUMN links json NOT NULL DEFAULT '[]';
ALTER TABLE outbox ADD COLUMN attempts integer NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN error text;
ALTER TABLE outbox ADD COLUMN retry_at timestamptz;
"""


def upgrade() -> None:
    op.execute(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("incidents hold what the form before cannot say: restore a backup to go back")
