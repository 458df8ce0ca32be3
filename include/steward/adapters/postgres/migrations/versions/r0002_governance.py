"""Who changed a model last, answers bound to the evidence they were given on, and quick views of one model's record."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CHANGES = """
ALTER TABLE approval_requests ADD COLUMN editor text;
ALTER TABLE approval_answers DROP CONSTRAINT approval_answers_one_per_person;
ALTER TABLE approval_answers ADD CONSTRAINT approval_answers_one_per_person PRIMARY KEY (request, "by", evidence);
CREATE INDEX events_by_model_and_type ON events (model, type, seq);
"""


def upgrade() -> None:
    op.execute(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("a person may have answered twice since: restore a backup to go back")
