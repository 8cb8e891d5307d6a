"""Tables of notifications, and of the workers and their leases."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from store.tables.base import Instant, metadata

account_news = Table(
    "account_news",
    metadata,
    Column("news_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("person", ForeignKey("people.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("kind", String(30), nullable=False),  # AccountNewsKind
    Column("by", String(200), nullable=False),
    Column("about", String(200), nullable=False),  # such as the label of a token
    Column("link_id", String(40), nullable=True),  # the one-time link that its mail brings
    Column("queued", Boolean, nullable=False, server_default=false()),  # whether its messages were created
    Column("seen_at", Instant, nullable=True),
    Index("ix_account_news_person", "person", "at"),
    Index(
        "ix_account_news_unqueued",
        "news_id",
        sqlite_where=text("queued = 0"),
        postgresql_where=text("NOT queued"),
    ),
    Index(
        "ix_account_news_unseen",
        "person",
        sqlite_where=text("seen_at IS NULL"),
        postgresql_where=text("seen_at IS NULL"),
    ),
)
"""Changes of people's accounts, groups and substitutes. The person is notified of each change and cannot turn these
notifications off.
"""

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("worker", String(120), primary_key=True),
    Column("at", Instant, nullable=False),
)
"""Heartbeats of workers. The heartbeats are in SQL, because Temporal's own list of workers is some seconds old."""

messages = Table(
    "messages",
    metadata,
    Column("message_id", String(40), primary_key=True),
    Column("channel", String(20), nullable=False),
    Column("person", ForeignKey("people.id"), nullable=False),
    Column("state", String(8), nullable=False),  # waiting | sent | refused
    Column("attempts", Integer, nullable=False),
    Column("next_at", Instant, nullable=False),  # time of the next attempt; of the last one, once sent or refused
    Column("problem", Text, nullable=True),  # why the last attempt failed, without the address
    Column("news_id", BigInteger, nullable=True),  # row of `account_news`; such a message has no notices
    Column("former", Boolean, nullable=False, server_default=false()),  # sent to the person's former address
    Index("ix_messages_person", "person", "channel", "state", "next_at"),
    Index("ix_messages_state", "state", "channel", "next_at"),
)
"""One message to one person. Its text is created when it is sent, so this table contains no content of a notification.
"""

notices = Table(
    "notices",
    metadata,
    Column("notice_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("position", ForeignKey("event_positions.position"), nullable=False),
    Column("person", ForeignKey("people.id"), nullable=False),
    Column("channel", String(20), nullable=False),
    Column("kind", String(20), nullable=False),  # NoticeKind
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("task_id", ForeignKey("tasks.task_id"), nullable=True, index=True),
    Column("due_at", Instant, nullable=False),  # when a message may be created
    Column("held_by", String(60), nullable=True),  # the batch whose end it waits for before it joins a message
    Column("message_id", ForeignKey("messages.message_id"), nullable=True, index=True),
    UniqueConstraint("position", "person", "channel"),
    Index(
        "ix_notices_due",
        "due_at",
        "channel",
        "person",
        sqlite_where=text("message_id IS NULL"),
        postgresql_where=text("message_id IS NULL"),
    ),
    Index(
        "ix_notices_waiting",
        "person",
        "channel",
        sqlite_where=text("message_id IS NULL"),
        postgresql_where=text("message_id IS NULL"),
    ),
    Index(
        "ix_notices_held",
        "held_by",
        sqlite_where=text("held_by IS NOT NULL"),
        postgresql_where=text("held_by IS NOT NULL"),
    ),
)
"""Notifications: each about one event, to one person, through one channel.

A row without a message is not in a message yet.
"""

notice_choices = Table(
    "notice_choices",
    metadata,
    Column("person", ForeignKey("people.id"), primary_key=True),
    Column("event", String(20), primary_key=True),  # NoticeKind
    Column("choice", String(10), nullable=False),  # NoticeChoice
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("until", Instant, nullable=False),
)
"""Leases for work that only one program at a time may do: the holder must renew the row."""
