"""The counts of served days, and what every cause of a judged window came to.

A window of before has no outcomes by cause: the column may be null.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CHANGES = """
CREATE TABLE tallies (
    model text NOT NULL,
    version integer NOT NULL,
    day date NOT NULL,
    profile text NOT NULL,
    counted_at timestamptz NOT NULL,
    rows bigint NOT NULL,
    digest text NOT NULL,
    body json NOT NULL,
    sample bytea,
    PRIMARY KEY (model, version, day)
);
CREATE INDEX tallies_by_day ON tallies (model, day);
ALTER TABLE windows ADD COLUMN outcomes json;
"""


def upgrade() -> None:
    op.execute(CHANGES)


def downgrade() -> None:
    raise NotImplementedError("what a window came to by cause would be lost: restore a backup to go back")
