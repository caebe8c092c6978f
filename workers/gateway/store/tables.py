"""The tables of the gateway.

Times are nanoseconds since 1970, by the gateway's clock or, where the name says `event`, of the
readings. Documents are JSON in text columns.

A change here is a revision in `workers/gateway/store/migrations` as well; a test holds the two
together.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up only what is exactly INTEGER PRIMARY KEY.
_Id = BigInteger().with_variant(Integer(), "sqlite")


def _ns(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


positions = Table(
    "positions",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
)
"""Up to where the topic of the incidents was taken in."""

counters = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Numbers that are given out in the order of the commits: who takes one locks its row."""

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    _ns("until_ns"),
)
"""What only one gateway does at a time."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sensor_id", String(249), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("tenant", String(64), nullable=False, server_default=""),
    Column("state", String(16), nullable=False),
    Column("severity", Integer, nullable=False),
    Column("peak", Float, nullable=False),
    Column("suppressed", Boolean, nullable=False),
    Column("sequence", Integer, nullable=False),
    _ns("opened_event_ns"),
    _ns("resolved_event_ns", nullable=True),
    _ns("created_ns"),
    _ns("updated_ns"),
    _ns("resolved_ns", nullable=True),
    Column("resolved_by", String(249), nullable=False, server_default=""),
    Column("acknowledged_by", String(249), nullable=False, server_default=""),
    _ns("acknowledged_ns", nullable=True),
    _ns("acknowledged_until_ns", nullable=True),
    Column("verdict", String(16), nullable=False, server_default=""),
    Column("verdict_by", String(249), nullable=False, server_default=""),
    Column("verdict_heeded", Boolean, nullable=False, server_default=text("false")),
    Column("comments", Integer, nullable=False, server_default="0"),
    Column("labels", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("search", Text, nullable=False),
    Column("notes", Text, nullable=False, server_default=""),
    Index(None, "state", "opened_event_ns", "id"),
    Index(None, "opened_event_ns", "id"),
    Index(None, "resolved_ns"),
    Index(None, "updated_ns"),
    Index(None, "acknowledged_until_ns"),
)
"""Incidents as the stream told of them last, and what people did. `sequence` is that of the stream;
`search` and `notes` (of people) are the texts that are searched, in lower case."""

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("id", String(600), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("subject", String(249), nullable=False),
    Column("incident_id", String(36), nullable=True, index=True),
    Column("tenant", String(64), nullable=False, server_default=""),
    _ns("at_ns"),
    Column("document", Text, nullable=False),
    Index(None, "at_ns"),
)
"""All that happened, in the order of the commits: `/v1/stream`. The document is a CloudEvent."""

comments = Table(
    "comments",
    metadata,
    Column("id", _Id, primary_key=True),
    Column(
        "incident_id",
        ForeignKey("incidents.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    _ns("at_ns"),
    Column("by", String(249), nullable=False),
    Column("text", Text, nullable=False),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("tenant", String(64), nullable=False, server_default=""),
    Column("enabled", Boolean, nullable=False),
    Column("spec", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("disabled_reason", Text, nullable=False, server_default=""),
    _ns("failing_since_ns", nullable=True),
    _ns("created_ns"),
    _ns("updated_ns"),
    Column("created_by", String(249), nullable=False),
)
"""`spec` has asterisks where `sealed`, which is encrypted, has the secrets."""

secrets = Table(
    "secrets",
    metadata,
    Column("id", _Id, primary_key=True),
    Column(
        "subscription_id",
        ForeignKey("subscriptions.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("sealed", LargeBinary, nullable=False),
    _ns("created_ns"),
    _ns("until_ns", nullable=True),
)
"""Signing secrets, encrypted; `until_ns` is the end of one that was rotated."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Id, primary_key=True),
    Column(
        "subscription_id",
        ForeignKey("subscriptions.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("event_id", String(600), nullable=False),
    Column("type", String(64), nullable=False),
    Column("incident_id", String(36), nullable=True, index=True),
    Column("order_key", String(300), nullable=False),
    Column("sensor", String(249), nullable=False, server_default=""),
    Column("payload", Text, nullable=True),
    Column("state", String(16), nullable=False),
    Column("muted_by", String(16), nullable=True),
    Column("muted_ref", String(64), nullable=True),
    Column("reason", Text, nullable=False, server_default=""),
    _ns("due_ns"),
    _ns("expires_ns"),
    _ns("escalate_ns", nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("leased_by", String(64), nullable=True),
    _ns("lease_until_ns", nullable=True),
    _ns("created_ns"),
    _ns("delivered_ns", nullable=True),
    UniqueConstraint("subscription_id", "event_id"),
    Index(None, "subscription_id", "order_key", "id"),
    Index(None, "subscription_id", "created_ns"),
    Index(None, "event_id"),
    Index(None, "created_ns"),
    Index(
        "ix_deliveries_due",
        "due_ns",
        "id",
        postgresql_where=text("state = 'waiting'"),
        sqlite_where=text("state = 'waiting'"),
    ),
    Index(
        "ix_deliveries_muted",
        "id",
        postgresql_where=text("state = 'muted'"),
        sqlite_where=text("state = 'muted'"),
    ),
    Index(
        "ix_deliveries_escalate",
        "escalate_ns",
        postgresql_where=text("escalate_ns is not null"),
        sqlite_where=text("escalate_ns is not null"),
    ),
)
"""The outbox. What has one order key (an incident, a group) is sent in the order of the ids. The
payload is null where the document of the event is all there is to say."""

attempts = Table(
    "attempts",
    metadata,
    Column("id", _Id, primary_key=True),
    Column(
        "delivery_id",
        ForeignKey("deliveries.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    _ns("at_ns"),
    Column("took_ms", Float, nullable=False),
    Column("status", Integer, nullable=True),
    Column("error", Text, nullable=False, server_default=""),
    Column("response", Text, nullable=False, server_default=""),
)

groups = Table(
    "groups",
    metadata,
    Column(
        "subscription_id",
        ForeignKey("subscriptions.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("key", String(64), primary_key=True),
    Column("labels", Text, nullable=False),
    Column("state", Text, nullable=False),
    _ns("due_ns", nullable=True),
    Index(None, "due_ns"),
)
"""Incidents that are one notification; `state` is that of `workers.alerts.groups`."""

silences = Table(
    "silences",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant", String(64), nullable=False, server_default=""),
    Column("matchers", Text, nullable=False),
    _ns("starts_ns"),
    _ns("ends_ns"),
    Column("created_by", String(249), nullable=False),
    Column("comment", Text, nullable=False),
    _ns("created_ns"),
    Index(None, "ends_ns"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(249), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("scopes", String(64), nullable=False),
    Column("tenant", String(64), nullable=False, server_default=""),
    _ns("created_ns"),
    Column("created_by", String(249), nullable=False),
    _ns("expires_ns", nullable=True),
    _ns("revoked_ns", nullable=True),
    _ns("last_used_ns", nullable=True),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("token_id", ForeignKey("tokens.id", ondelete="CASCADE"), nullable=True),
    Column("csrf", String(64), nullable=False),
    Column("principal", Text, nullable=False),
    _ns("expires_ns"),
)
"""Of the page: who has the cookie. The principal is kept for those of an identity provider."""

audit = Table(
    "audit",
    metadata,
    Column("id", _Id, primary_key=True),
    _ns("at_ns"),
    Column("by", String(249), nullable=False),
    Column("tenant", String(64), nullable=False, server_default=""),
    Column("action", String(64), nullable=False),
    Column("target", String(300), nullable=False),
    Column("details", Text, nullable=False),
    Index(None, "at_ns"),
)
"""Every change that somebody made; only ever added to, until it is pruned."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("by", String(249), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    _ns("at_ns"),
)
"""Answers to requests with an Idempotency-Key; the body is encrypted, as it may hold a secret."""
