"""The tables as SQLAlchemy sees them. `migrations/` builds them; a test keeps the two the same.

JSON lives in `json`, not `jsonb`: the text must stay what was signed, and `jsonb` rewrites numbers.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

INSTANT = DateTime(timezone=True)
DOCUMENT = JSON(none_as_null=True)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", INSTANT, nullable=False),
    Column("recorded_at", INSTANT, nullable=False),
    Column("type", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text),
    Column("body", DOCUMENT, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    CheckConstraint("seq > 0", name="events_seq_positive"),
    UniqueConstraint("previous_hash", name="events_one_successor"),
    Index("events_by_model", "model", "seq"),
    Index("events_by_type", "type", "seq"),
    Index("events_by_model_and_type", "model", "type", "seq"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("body", DOCUMENT, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("model", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("spec_digest", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("artefact_uri", Text, nullable=False),
    Column("artefact_digest", Text, nullable=False),
    Column("window_start", INSTANT, nullable=False),
    Column("window_end", INSTANT, nullable=False),
    Column("evidence", DOCUMENT, nullable=False),
    Column("profile", Text),
    Column("params", DOCUMENT, nullable=False),
    Column("created_at", INSTANT, nullable=False),
    PrimaryKeyConstraint("model", "number", name="versions_pkey"),
    Index("versions_one_champion", "model", unique=True, postgresql_where=text("state = 'champion'")),
)

approval_requests = Table(
    "approval_requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("policy", DOCUMENT, nullable=False),
    Column("requested_at", INSTANT, nullable=False),
    Column("expires_at", INSTANT, nullable=False),
    Column("state", Text, nullable=False),
    Column("door", DOCUMENT),
    Column("editor", Text),
    Index("approval_requests_by_model", "model", "version"),
)

approval_answers = Table(
    "approval_answers",
    metadata,
    Column("request", Text, ForeignKey("approval_requests.id"), nullable=False),
    Column("by", Text, nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("via", Text, nullable=False),
    PrimaryKeyConstraint("request", "by", "evidence", name="approval_answers_one_per_person"),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("previous", Integer),
    Column("state", Text, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("started_at", INSTANT, nullable=False),
    Column("step_at", INSTANT, nullable=False),
    Column("step_wall_at", INSTANT, nullable=False),
    Column("ended_at", INSTANT),
    CheckConstraint("percent BETWEEN 0 AND 100", name="rollouts_percent_is_a_share"),
    Index("rollouts_one_running", "model", unique=True, postgresql_where=text("state = 'running'")),
)

routes = Table(
    "routes",
    metadata,
    Column("model", Text, primary_key=True),
    Column("champion", Integer),
    Column("canary", Integer),
    Column("percent", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    Column("shadow", Integer),
    Column("standby", Integer),
    CheckConstraint("percent BETWEEN 0 AND 100", name="routes_percent_is_a_share"),
)

windows = Table(
    "windows",
    metadata,
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("window_start", INSTANT, nullable=False),
    Column("window_end", INSTANT, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("causes", DOCUMENT, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("judged_at", INSTANT, nullable=False),
    Column("outcomes", DOCUMENT),
    PrimaryKeyConstraint("model", "version", "window_start", "window_end", name="windows_pkey"),
    Index("windows_by_end", "model", "window_end"),
)

tallies = Table(
    "tallies",
    metadata,
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("day", Date, nullable=False),
    Column("profile", Text, nullable=False),
    Column("counted_at", INSTANT, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("body", DOCUMENT, nullable=False),
    Column("sample", LargeBinary),
    PrimaryKeyConstraint("model", "version", "day", name="tallies_pkey"),
    Index("tallies_by_day", "model", "day"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("window_start", INSTANT, nullable=False),
    Column("window_end", INSTANT, nullable=False),
    Column("opened_at", INSTANT, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    Column("windows", Integer, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("report", Text),
    Column("resolved_at", INSTANT),
    Column("detail", DOCUMENT),
    Column("acknowledged_at", INSTANT),
    Column("acknowledged_by", Text),
    Column("passed", Integer, nullable=False, server_default=text("0")),
    Column("judged_to", INSTANT),
    Column("links", DOCUMENT, nullable=False, server_default=text("'[]'")),
    Index(
        "incidents_one_unresolved",
        "model",
        "version",
        "cause",
        unique=True,
        postgresql_where=text("state <> 'resolved'"),
    ),
    Index("incidents_by_model", "model", "opened_at"),
)

operations = Table(
    "operations",
    metadata,
    Column("key", Text, primary_key=True),
    Column("inputs", Text, nullable=False),
    Column("answer", DOCUMENT, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("body", DOCUMENT, nullable=False),
    Column("delivered_at", INSTANT),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error", Text),
    Column("retry_at", INSTANT),
    Index("outbox_pending", "id", postgresql_where=text("delivered_at IS NULL")),
)
