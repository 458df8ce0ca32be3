"""The ledger and the state it accounts for.

What the tables refuse by themselves, whoever writes them: a change of an event or of evidence, a second
champion, a second running rollout, a second unresolved incident of one cause, a second answer of one person,
an older epoch.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

RECORD = """
CREATE TABLE events (
    seq bigint NOT NULL PRIMARY KEY,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    type text NOT NULL,
    model text NOT NULL,
    version integer,
    actor text NOT NULL,
    reason text NOT NULL,
    evidence text,
    body json NOT NULL,
    previous_hash text NOT NULL,
    hash text NOT NULL,
    CONSTRAINT events_seq_positive CHECK (seq > 0),
    CONSTRAINT events_one_successor UNIQUE (previous_hash)
);
CREATE INDEX events_by_model ON events (model, seq);
CREATE INDEX events_by_type ON events (type, seq);
CREATE TABLE evidence (
    digest text NOT NULL PRIMARY KEY,
    kind text NOT NULL,
    model text NOT NULL,
    body json NOT NULL
);
CREATE TABLE operations (key text NOT NULL PRIMARY KEY, inputs text NOT NULL, answer json NOT NULL);
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    body json NOT NULL,
    delivered_at timestamptz
);
CREATE INDEX outbox_pending ON outbox (id) WHERE delivered_at IS NULL;
"""

RELEASE = """
CREATE TABLE versions (
    model text NOT NULL,
    number integer NOT NULL,
    state text NOT NULL,
    author text NOT NULL,
    spec_digest text NOT NULL,
    run_id text NOT NULL,
    artefact_uri text NOT NULL,
    artefact_digest text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    evidence json NOT NULL,
    profile text,
    params json NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (model, number)
);
CREATE UNIQUE INDEX versions_one_champion ON versions (model) WHERE state = 'champion';
CREATE TABLE approval_requests (
    id text NOT NULL PRIMARY KEY,
    model text NOT NULL,
    version integer NOT NULL,
    evidence text NOT NULL,
    author text NOT NULL,
    requester text NOT NULL,
    owner text NOT NULL,
    policy json NOT NULL,
    requested_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    state text NOT NULL,
    door json
);
CREATE INDEX approval_requests_by_model ON approval_requests (model, version);
CREATE TABLE approval_answers (
    request text NOT NULL REFERENCES approval_requests (id),
    by text NOT NULL,
    approved boolean NOT NULL,
    reason text NOT NULL,
    evidence text NOT NULL,
    at timestamptz NOT NULL,
    via text NOT NULL,
    CONSTRAINT approval_answers_one_per_person PRIMARY KEY (request, by)
);
CREATE TABLE rollouts (
    id text NOT NULL PRIMARY KEY,
    model text NOT NULL,
    version integer NOT NULL,
    previous integer,
    state text NOT NULL,
    percent integer NOT NULL,
    epoch bigint NOT NULL,
    started_at timestamptz NOT NULL,
    step_at timestamptz NOT NULL,
    step_wall_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT rollouts_percent_is_a_share CHECK (percent BETWEEN 0 AND 100)
);
CREATE UNIQUE INDEX rollouts_one_running ON rollouts (model) WHERE state = 'running';
CREATE TABLE routes (
    model text NOT NULL PRIMARY KEY,
    champion integer,
    canary integer,
    percent integer NOT NULL,
    epoch bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT routes_percent_is_a_share CHECK (percent BETWEEN 0 AND 100)
);
"""

WATCH = """
CREATE TABLE windows (
    model text NOT NULL,
    version integer NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    outcome text NOT NULL,
    causes json NOT NULL,
    evidence text NOT NULL,
    judged_at timestamptz NOT NULL,
    PRIMARY KEY (model, version, window_start, window_end)
);
CREATE INDEX windows_by_end ON windows (model, window_end);
CREATE TABLE incidents (
    id text NOT NULL PRIMARY KEY,
    model text NOT NULL,
    version integer NOT NULL,
    cause text NOT NULL,
    severity text NOT NULL,
    state text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    opened_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    windows integer NOT NULL,
    evidence text NOT NULL,
    report text,
    resolved_at timestamptz,
    detail json
);
CREATE UNIQUE INDEX incidents_one_unresolved ON incidents (model, version, cause) WHERE state <> 'resolved';
CREATE INDEX incidents_by_model ON incidents (model, opened_at);
"""

# A trigger, because a grant does not bind a table's owner for long; a grant too, because it refuses earlier.
APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'insufficient_privilege',
        MESSAGE = TG_TABLE_NAME || ' is append-only: ' || TG_OP || ' refused',
        HINT = 'write a new event that corrects the earlier one';
END $$;
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER evidence_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON evidence
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON events, evidence FROM PUBLIC, CURRENT_USER;
"""

FENCING = """
CREATE FUNCTION refuse_older_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.epoch < OLD.epoch OR (TG_TABLE_NAME = 'routes' AND NEW.epoch = OLD.epoch) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            CONSTRAINT = TG_TABLE_NAME || '_epoch_rises',
            MESSAGE = TG_TABLE_NAME || ': epoch ' || NEW.epoch || ' is not newer than ' || OLD.epoch;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER routes_epoch_rises BEFORE UPDATE ON routes
    FOR EACH ROW EXECUTE FUNCTION refuse_older_epoch();
CREATE TRIGGER rollouts_epoch_rises BEFORE UPDATE ON rollouts
    FOR EACH ROW EXECUTE FUNCTION refuse_older_epoch();
"""


def upgrade() -> None:
    for statements in (RECORD, RELEASE, WATCH, APPEND_ONLY, FENCING):
        op.execute(statements)


def downgrade() -> None:
    raise NotImplementedError("there is no state before the ledger: restore a backup to go back")
